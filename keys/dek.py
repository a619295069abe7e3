"""A data encryption key in the clear, for as long as one operation needs it."""

import os
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ID_BYTES = 16
KEY_BYTES = 32
DERIVE_INFO = b"panless/derive/1|"


@dataclass(frozen=True, slots=True, repr=False)
class Dek:
    """One DEK: a random `id` of 16 bytes, and the `key`, 32 bytes that its repr never shows."""

    id: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"Dek({self.id.hex()})"


def new_dek() -> Dek:
    """A DEK that nobody had before."""
    return Dek(id=os.urandom(ID_BYTES), key=os.urandom(KEY_BYTES))


def derive(dek: Dek, label: str, length: int = KEY_BYTES) -> bytes:
    """A subkey of `length` bytes (at most 8160) for the one purpose that `label` names.

    HKDF-SHA256 (RFC 5869) of the DEK, without salt, info `panless/derive/1|label`. Only for a tenant's own keys: a
    subkey that somebody keeps outlives the destruction of its DEK.
    """
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=DERIVE_INFO + label.encode()).derive(dek.key)
