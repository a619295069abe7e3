"""A root key in the transit engine of HashiCorp Vault, or of OpenBao, which speaks the same."""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Iterator
from contextlib import contextmanager

from hvac import Client
from hvac.exceptions import VaultError
from requests import RequestException

from keys.errors import Unreadable
from keys.providers.of_process import OfProcess
from keys.providers.transit_answers import TOO_OLD, NoTransitEngine, data_of, is_of_ciphertext, meaning

LONGEST_CALL = 5.0
"""Seconds after which a call to a silent server has ended: connect 2, read 3."""
ASSOCIATED = base64.b64encode(b"panless/kek/1").decode()
CIPHERTEXT = re.compile(r"vault:v[1-9][0-9]*:([A-Za-z0-9+/]+={0,2})")
NOBODYS = f"vault:v1:{base64.b64encode(bytes(40)).decode()}"
"""A ciphertext as long as an empty one of any type, which no key made."""


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
        with self._translated():
            self._require_engine()
            answer = self._client.get().secrets.transit.encrypt_data(
                self._key, base64.b64encode(plain).decode(), mount_point=self._mount, associated_data=ASSOCIATED
            )
            return str(data_of(answer)["ciphertext"]).encode()

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises RootKeyAway, RootKeyDenied, Unreadable."""
        ciphertext = _canonical(wrapped)
        with self._translated():
            return base64.b64decode(self._decrypt(ciphertext), validate=True)

    def _decrypt(self, ciphertext: str) -> str:
        answer = self._client.get().secrets.transit.decrypt_data(
            self._key, ciphertext, mount_point=self._mount, associated_data=ASSOCIATED
        )
        return str(data_of(answer)["plaintext"])

    def _require_engine(self) -> None:
        """Have the key refuse a ciphertext of nobody's, before it is sent a KEK.

        A kv engine would keep the KEK for all who may read there. And to encrypt by a key that is missing is answered
        403, as to a token that ended; to decrypt by it is answered with what is wrong.
        """
        try:
            self._decrypt(NOBODYS)
        except VaultError as error:
            if not is_of_ciphertext(error) and TOO_OLD not in " ".join(error.errors or ()):
                raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the SDK as ours, without what they carry."""
        try:
            yield
        # The last four: an answer, but none of a transit engine.
        except (VaultError, RequestException, NoTransitEngine, TypeError, KeyError, ValueError) as error:
            raise meaning(error, self._url, self.key_id) from None


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
