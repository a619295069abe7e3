"""A root key in the transit engine of HashiCorp Vault, or of OpenBao, which speaks the same."""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Iterator
from contextlib import contextmanager

from hvac import Client
from hvac.exceptions import Forbidden, InternalServerError, InvalidPath, InvalidRequest, Unauthorized, VaultError
from requests import RequestException

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.providers.of_process import OfProcess

LONGEST_CALL = 5.0
"""Seconds after which a call to a silent server has ended: connect 2, read 3."""
ASSOCIATED = base64.b64encode(b"panless/kek/1").decode()
CIPHERTEXT = re.compile(r"vault:v[1-9][0-9]*:([A-Za-z0-9+/]+={0,2})")

_NO_KEY = "encryption key not found"
_TOO_OLD = "disallowed by policy (too old)"
_FORGED = "message authentication failed"
"""What a server says to a ciphertext that does not open; from 1.5 on, for years, with status 500 instead of 400."""


class TransitKey:
    """A key by its mount and name, not by its server: one that moved goes on opening what it wrapped.

    Safe for threads, and after a fork. A call takes LONGEST_CALL at most, for each address it has to try.
    """

    provider = "hashicorp-transit"

    def __init__(self, *, url: str, mount: str, key: str, token: str) -> None:
        self.key_id = f"{mount}/{key}"
        self._url, self._mount, self._key = url, mount, key
        # A redirect would carry the token to whom we don't know.
        self._client: OfProcess[Client] = OfProcess(
            lambda: Client(url=url, token=token, timeout=(2, 3), allow_redirects=False)
        )

    def __repr__(self) -> str:
        return f"TransitKey({self._url!r}, {self.key_id!r})"

    def wrap(self, plain: bytes) -> bytes:
        """The server's own ciphertext, `vault:v1:` and base64. Raises RootKeyAway, RootKeyDenied."""
        with self._translated(
            RootKeyDenied(self._refusal("the key's type, which must be able to encrypt with AES-GCM"))
        ):
            answer = self._client.get().secrets.transit.encrypt_data(
                self._key, base64.b64encode(plain).decode(), mount_point=self._mount, associated_data=ASSOCIATED
            )
            return str(answer["data"]["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises RootKeyAway, RootKeyDenied, Unreadable."""
        ciphertext = _canonical(wrapped)
        with self._translated(Unreadable()):
            answer = self._client.get().secrets.transit.decrypt_data(
                self._key, ciphertext, mount_point=self._mount, associated_data=ASSOCIATED
            )
            return base64.b64decode(answer["data"]["plaintext"], validate=True)

    @contextmanager
    def _translated(self, wrong_request: KeysError) -> Iterator[None]:
        """Errors of the SDK as ours, without what they carry."""
        try:
            yield
        except VaultError as error:
            by_status = wrong_request if isinstance(error, InvalidRequest) else self._away(error)
            raise self._told(error) or by_status from None
        except (RequestException, TypeError, KeyError, ValueError) as error:  # no answer, or none of a transit engine
            raise self._away(error) from None

    def _told(self, error: VaultError) -> KeysError | None:
        """What the server's own words mean, where they say more than the status."""
        words = " ".join(error.errors or ())
        if isinstance(error, Forbidden | Unauthorized):
            return RootKeyDenied(self._refusal("the token (PANLESS_TRANSIT_TOKEN), or its policy"))
        if isinstance(error, InvalidPath) or _NO_KEY in words:
            return RootKeyDenied(self._refusal("the mount or the key, which is not there"))
        if _TOO_OLD in words:
            return RootKeyDenied(self._refusal("min_decryption_version, which is above that of this wrap"))
        return Unreadable() if _FORGED in words and isinstance(error, InternalServerError) else None

    def _refusal(self, what: str) -> str:
        return f"{self._url} does not let us use the transit key {self.key_id}: look at {what}"

    def _away(self, error: Exception) -> RootKeyAway:
        return RootKeyAway(f"{self._url} does not answer for the transit key {self.key_id} ({type(error).__name__})")


def _canonical(wrapped: bytes) -> str:
    """The ciphertext, if it is written in the one way in which servers write it. Raises Unreadable.

    Servers decode base64 leniently: without this, a wrap with some bits flipped would open all the same.
    """
    match = CIPHERTEXT.fullmatch(wrapped.decode("ascii", "replace"))
    try:
        if match is None or base64.b64encode(base64.b64decode(match[1], validate=True)).decode() != match[1]:
            raise Unreadable
    except NotBase64:
        raise Unreadable from None
    return match[0]
