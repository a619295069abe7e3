"""The public keys of an issuer of tokens (a JWKS, RFC 7517), from its URL or a file, kept in memory.

They are read when the first token comes, again after ten minutes, and for a token whose key is unknown, but never more
than once a minute, whatever tokens come. While the issuer is away its last keys go on for a day: who may charge must
not depend on a server that is asked for something else. Nor on one that is slow: whoever asks has seconds for it, and
nobody waits for them once an asking has failed.
"""

import json
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from api.parts import IssuerAway
from panless.errors import SettingsError
from panless.issuing.fetching import fetch

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with another kind who can verify a token can make one."""

LEAST_RSA_BITS = 2048
LARGEST = 256 * 1024
FETCH_SECONDS = 3.0
"""How long an issuer may take for all of its answer."""

WAIT_SECONDS = 1.0
ONCE_A_MINUTE = 60.0
OLD = 600.0
TOO_OLD = 86400.0
SOON = 5.0
"""Seconds until keys are asked for again when there are none."""


class IssuerKeys:
    """The keys of one issuer, by their ids."""

    def __init__(self, load: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        """Take what gives the JWKS; nothing is read yet."""
        self._load = load
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._found: tuple[float, dict[str, PyJWK]] = (-math.inf, {})
        self._tried_at = -math.inf
        self._failed = False

    def get(self, key_id: str) -> PyJWK | None:
        """The key of this id, None if the issuer has none. Raises IssuerAway where that can't be told."""
        if self._is_wanting(key_id) and self._lock.acquire(timeout=self._patience()):  # one asks; who can, goes on
            try:
                if self._is_wanting(key_id):
                    self._read()
            finally:
                self._lock.release()
        keys = self._keys()
        if key_id not in keys and (self._failed or not keys):
            raise IssuerAway
        return keys.get(key_id)

    def _keys(self) -> dict[str, PyJWK]:
        """Those that are still good, whatever has become of asking since."""
        read_at, keys = self._found
        return keys if self._monotonic() - read_at < TOO_OLD else {}

    def _patience(self) -> float:
        """How long to wait for somebody else's asking: it takes a turn, which API keys want, too."""
        return 0 if self._failed or self._keys() else WAIT_SECONDS

    def _is_wanting(self, key_id: str) -> bool:
        """Whether the issuer is to be asked now."""
        keys, now = self._keys(), self._monotonic()
        if now - self._tried_at < (ONCE_A_MINUTE if keys else SOON):
            return False
        return key_id not in keys or now - self._found[0] >= OLD

    def _read(self) -> None:
        self._tried_at = self._monotonic()
        try:
            self._found = (self._monotonic(), parse(self._load()))
            self._failed = False
        except Exception as error:  # noqa: BLE001  # nobody's call depends on what an issuer answers
            self._failed = True
            structlog.get_logger().warning("issuer_keys_unavailable", kind=type(error).__name__)


def parse(jwks: bytes) -> dict[str, PyJWK]:
    """The keys of a JWKS that tokens may be signed with, by id. Raises ValueError if it is none, or has no such key."""
    written = json.loads(jwks)
    listed = written.get("keys") if isinstance(written, dict) else None
    fit = map(_fit, listed if isinstance(listed, list) else [])
    found = {key.key_id: key for key in fit if key is not None and isinstance(key.key_id, str)}
    if not found:
        raise ValueError("a JWKS without a key that is fit to verify tokens")
    return found


def _fit(written: Any) -> PyJWK | None:  # noqa: ANN401  # JSON
    """One key, None if it is not for signatures, symmetric, too short, or of a kind that is unknown here."""
    if not isinstance(written, dict) or written.get("use", "sig") != "sig":
        return None
    with suppress(Exception):  # of PyJWT and of cryptography: one odd key must not take the others along
        key = PyJWK(written)
        is_short = isinstance(key.key, RSAPublicKey) and key.key.key_size < LEAST_RSA_BITS
        return key if key.algorithm_name in ALGORITHMS and not is_short and "d" not in written else None
    return None


def loader(where: str) -> Callable[[], bytes]:
    """What reads a JWKS from its URL or its file.

    The URL is the operator's, and most often inside: our guard for what clients name would refuse that.
    """
    if not where.startswith(("https://", "http://")):
        return Path(where).read_bytes
    return partial(fetch, where, seconds=FETCH_SECONDS, largest=LARGEST)


def check_file(where: str) -> None:
    """See that a file holds keys, before anything starts; a URL is asked later. Raises SettingsError, OSError."""
    if not where.startswith(("https://", "http://")):
        try:
            parse(Path(where).read_bytes())
        except ValueError:
            raise SettingsError("PANLESS_OAUTH_JWKS names a file without a key that is fit to verify tokens.") from None
