"""The public keys of an issuer of tokens (a JWKS, RFC 7517), from its URL or a file, kept in memory.

They are read when the first token comes, again after ten minutes, and for a token whose key is unknown, but never more
than once a minute, whatever tokens come. While the issuer is away its last keys go on for a day: who may charge must
not depend on a server that is asked for something else.
"""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import urllib3
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from panless.errors import SettingsError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones only: with another kind who can verify a token can make one."""

LEAST_RSA_BITS = 2048
LARGEST = 256 * 1024
SILENCE_SECONDS = 3.0
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
        self._keys: dict[str, PyJWK] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def get(self, key_id: str) -> PyJWK | None:
        """The key of this id, None if the issuer has none."""
        if self._is_wanting(key_id) and self._lock.acquire(blocking=not self._keys):  # one asks; who can, goes on
            try:
                if self._is_wanting(key_id):
                    self._read()
            finally:
                self._lock.release()
        return self._keys.get(key_id)

    def _is_wanting(self, key_id: str) -> bool:
        """Whether the issuer is to be asked now."""
        if self._tried_at is None:
            return True
        if self._monotonic() - self._tried_at < (ONCE_A_MINUTE if self._keys else SOON):
            return False
        return key_id not in self._keys or self._age() >= OLD

    def _age(self) -> float:
        return TOO_OLD if self._read_at is None else self._monotonic() - self._read_at

    def _read(self) -> None:
        self._tried_at = self._monotonic()
        try:
            self._keys = parse(self._load())
            self._read_at = self._monotonic()
        except (OSError, ValueError, urllib3.exceptions.HTTPError) as error:
            structlog.get_logger().warning("issuer_keys_unavailable", kind=type(error).__name__)
            if self._age() >= TOO_OLD:
                self._keys = {}


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
    with suppress(PyJWTError, ValueError, TypeError):
        key = PyJWK(written)
        is_short = isinstance(key.key, RSAPublicKey) and key.key.key_size < LEAST_RSA_BITS
        return key if key.algorithm_name in ALGORITHMS and not is_short and "d" not in written else None
    return None


def loader(where: str) -> Callable[[], bytes]:
    """What reads a JWKS from its URL or its file.

    The URL is the operator's, and most often inside: our guard for what clients name would refuse that. It follows no
    redirect, and verifies the server's certificate with the system's authorities (SSL_CERT_FILE names others).
    """
    if not where.startswith(("https://", "http://")):
        return Path(where).read_bytes
    pool = urllib3.PoolManager(num_pools=1, timeout=SILENCE_SECONDS, retries=False)

    def fetch() -> bytes:
        answer = pool.request(
            "GET", where, redirect=False, preload_content=False, headers={"Accept": "application/json"}
        )
        try:
            body: bytes = answer.read(LARGEST + 1)
        finally:
            answer.close()
        if answer.status != 200 or len(body) > LARGEST:  # noqa: PLR2004  # its name is OK
            raise ValueError("the issuer's keys were not answered with 200, or are too many")
        return body

    return fetch


def check_file(where: str) -> None:
    """See that a file holds keys, before anything starts; a URL is asked later. Raises SettingsError, OSError."""
    if not where.startswith(("https://", "http://")):
        try:
            parse(Path(where).read_bytes())
        except ValueError:
            raise SettingsError("PANLESS_OAUTH_JWKS names a file without a key that is fit to verify tokens.") from None
