"""A root key in the transit engine of HashiCorp Vault, or of OpenBao, which speaks the same."""

import base64
import re
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from hvac import Client
from hvac.exceptions import VaultError
from requests import RequestException

from keys.errors import KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.providers.transit_address import TransitAddress
from keys.providers.transit_answers import TOO_OLD, NoTransitEngine, data_of, is_of_ciphertext, meaning

ASSOCIATED = base64.b64encode(b"panless/kek/1").decode()
CIPHERTEXT = re.compile(r"vault:v[1-9][0-9]*:([A-Za-z0-9+/]+={0,2})")
NOBODYS = f"vault:v1:{base64.b64encode(bytes(40)).decode()}"
"""A ciphertext as long as an empty one of any type, which no key made."""

T = TypeVar("T")


class TransitKey:
    """A key by its mount and name, not by its server: one that moved goes on opening what it wrapped.

    It is the same key at each address, the first of which is asked first until another had to answer. Safe for threads,
    and after a fork. A call takes LONGEST_CALL at most, for each address it has to try.
    """

    provider = "hashicorp-transit"

    def __init__(self, *, addresses: Sequence[TransitAddress], mount: str, key: str) -> None:
        self.key_id = f"{mount}/{key}"
        self.addresses = tuple(addresses)
        self._mount, self._key = mount, key

    def __repr__(self) -> str:
        return f"TransitKey({self.key_id!r}, {[*self.addresses]!r})"

    def wrap(self, plain: bytes) -> bytes:
        """The server's own ciphertext, `vault:v1:` and base64. Raises RootKeyAway, RootKeyDenied."""
        return self._ask(lambda client: self._encrypt(client, plain))

    def unwrap(self, wrapped: bytes) -> bytes:
        """What was wrapped. Raises RootKeyAway, RootKeyDenied, Unreadable."""
        ciphertext = _canonical(wrapped)
        return self._ask(lambda client: base64.b64decode(self._decrypt(client, ciphertext), validate=True))

    def at(self, address: TransitAddress) -> "TransitKey":
        """The key at one address alone."""
        return TransitKey(addresses=[address], mount=self._mount, key=self._key)

    def properties(self) -> dict[str, object]:
        """What the engine tells of the key, such as its type and whether it can be exported. Raises as `wrap` does."""
        return self._ask(
            lambda client: dict(data_of(client.secrets.transit.read_key(self._key, mount_point=self._mount)))
        )

    def token(self) -> dict[str, object]:
        """What the server tells of our token. Raises as `wrap` does."""
        return self._ask(lambda client: dict(data_of(client.auth.token.lookup_self())))

    def _ask(self, call: Callable[[Client], T]) -> T:
        """What the first address gives that is neither away nor refuses; a refusal is told rather than silence."""
        failures: list[KeysError] = []
        for address in self.addresses:
            try:
                with _translated(address.url, self.key_id):
                    answer = address.ask(call)
            except (RootKeyAway, RootKeyDenied) as error:
                failures.append(error)
            else:
                self.addresses = (address, *(other for other in self.addresses if other is not address))
                return answer
        raise min(failures, key=lambda error: error.retryable)

    def _encrypt(self, client: Client, plain: bytes) -> bytes:
        self._require_engine(client)
        answer = client.secrets.transit.encrypt_data(
            self._key, base64.b64encode(plain).decode(), mount_point=self._mount, associated_data=ASSOCIATED
        )
        return str(data_of(answer)["ciphertext"]).encode()

    def _decrypt(self, client: Client, ciphertext: str) -> str:
        answer = client.secrets.transit.decrypt_data(
            self._key, ciphertext, mount_point=self._mount, associated_data=ASSOCIATED
        )
        return str(data_of(answer)["plaintext"])

    def _require_engine(self, client: Client) -> None:
        """Have the key refuse a ciphertext of nobody's, before it is sent a KEK.

        A kv engine would keep the KEK for all who may read there. And to encrypt by a key that is missing is answered
        403, as to a token that ended; to decrypt by it is answered with what is wrong.
        """
        try:
            self._decrypt(client, NOBODYS)
        except VaultError as error:
            if not is_of_ciphertext(error) and TOO_OLD not in " ".join(error.errors or ()):
                raise


@contextmanager
def _translated(url: str, key_id: str) -> Iterator[None]:
    """Errors of the SDK as ours, without what they carry."""
    try:
        yield
    # The last four: an answer, but none of a transit engine.
    except (VaultError, RequestException, NoTransitEngine, TypeError, KeyError, ValueError) as error:
        raise meaning(error, url, key_id) from None


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
