"""TLS that the server speaks itself: which versions and ciphers, and whether certificate and key are fit for it.

gunicorn's master uses this before gevent patches the standard library: it imports no room of the house.
"""

import ssl  # by its names, never from it: gevent patches what stands there, and warns of whoever has it already
import stat
from pathlib import Path

from panless.errors import SettingsError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption only. Those of 1.3 are all of that kind."""


def harden(context: ssl.SSLContext) -> ssl.SSLContext:
    """Leave nothing older than TLS 1.2, and none of its weaker ciphers."""
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    return context


def refuse_unfit(certificate: Path | None, key: Path | None) -> None:
    """Look at both before anything starts. Raises SettingsError, OSError."""
    if certificate is None or key is None:
        return
    if mode := stat.S_IMODE(key.stat().st_mode) & 0o077:
        raise SettingsError(f"{key} can be read by others ({mode:03o}). Run: chmod 600 {key}")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_none)
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            "PANLESS_TLS_CERTIFICATE_FILE and PANLESS_TLS_KEY_FILE must be a certificate and its key, in PEM, "
            "the key without a password."
        ) from None


def _none() -> str:
    """The password of a key: OpenSSL would ask the terminal for one."""
    return ""
