"""The keys that the ledger's entries are signed with: one signs, those before it still verify what they signed.

Each is derived from a DEK of the deployment's own. One that takes another's place is announced in the ledger first, in
an entry that the old one signs: so a keystore from before, which does not have it, verifies the ledger all the same.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.dek import Dek, derive
from keys.keyring import Keyring

ANNOUNCED = "key.renewed"
"""The kind of an entry that announces a key: its subject is the key's id, its terms `{public_key}`."""

_LABEL = "ledger-ed25519"
_SEED = ("signing", _LABEL)


class Numbered(Protocol):
    """Where entries lie, by number."""

    def read(self, seq: int) -> bytes | None:
        """The entry of that number, None if there is none."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An Ed25519 key pair (RFC 8032): `public` are its 32 bytes, `key_id` how an entry names it."""

    private: Ed25519PrivateKey = field(repr=False)
    public: bytes
    key_id: str


def signing_pair(keyring: Keyring) -> KeyPair:
    """The pair that signs now. Raises as `Keyring.tenant_key`."""
    return pair_of(keyring.subkey(keyring.deployment, *_SEED))


def public_key(keyring: Keyring) -> bytes:
    """The 32 bytes of the public key that entries and certificates of now are verified with."""
    return signing_pair(keyring).public


def public_keys(keyring: Keyring) -> list[bytes]:
    """The public key of now and those that it replaced, newest first: what they signed is verified with them."""
    return [pair_of(seed).public for seed in keyring.subkeys(keyring.deployment, *_SEED).values()]


def public_of(keyring: Keyring, key_id: str) -> bytes | None:
    """The deployment's public key of that id, if this keystore has it."""
    for subkeys in (keyring.subkeys, keyring.subkeys_now):  # another process may have begun to use a new one
        for seed in subkeys(keyring.deployment, *_SEED).values():
            pair = pair_of(seed)
            if pair.key_id == key_id:
                return pair.public
    return None


def public_of_dek(dek: Dek) -> bytes:
    """The public key that a DEK of the deployment's own will sign with."""
    return pair_of(derive(dek, _LABEL)).public


def key_id(public: bytes) -> str:
    """How an entry names its key: the first 8 bytes of the public key's SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:16]


@lru_cache(maxsize=8)  # the keyring says above whether the seed may be used; deriving the pair costs 100 us
def pair_of(seed: bytes) -> KeyPair:
    """The pair of a seed of 32 bytes."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return KeyPair(private, public, key_id(public))
