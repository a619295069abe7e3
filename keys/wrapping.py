"""How a KEK is wrapped by a root key, and a DEK by a KEK; each wrap is bound to the row it stands in."""

import hashlib
import os
from collections.abc import Iterable
from functools import lru_cache
from hmac import compare_digest
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keys.dek import Dek
from keys.errors import Unreadable
from keys.framing import frame
from keys.rootkey import RootKey

KEK_BYTES = 32
NONCE_BYTES = 12


def kek_place(deployment: str, tenant_id: str, kek_id: bytes, epoch: int) -> bytes:
    """What a KEK's wrap is bound to: the framed format name, deployment, tenant, KEK id and epoch (u64)."""
    return frame(b"panless/kek/1", deployment.encode(), tenant_id.encode(), kek_id, epoch.to_bytes(8, "big"))


def dek_place(deployment: str, tenant_id: str, dek_id: bytes, purpose: str, subject_id: str) -> bytes:
    """What a DEK's wrap is bound to: the framed format name, deployment, tenant, DEK id, purpose and subject."""
    return _deks_of(deployment, tenant_id) + frame(dek_id, purpose.encode(), subject_id.encode())


@lru_cache(maxsize=64)
def _deks_of(deployment: str, tenant_id: str) -> bytes:
    """How each DEK's place begins; a frame goes on where another one ended."""
    return frame(b"panless/dek/1", deployment.encode(), tenant_id.encode())


def wrap_kek(root: RootKey, kek: bytes, place: bytes) -> bytes:
    """A KEK (32 bytes) wrapped by `root` together with SHA-256 of its place. Raises RootKeyAway, RootKeyDenied."""
    return root.wrap(kek + hashlib.sha256(place).digest())


def wraps_by(roots: Iterable[RootKey], kek: bytes, place: bytes) -> list[dict[str, Any]]:
    """What the rows of a KEK's wraps say of each of these root keys. Raises RootKeyAway, RootKeyDenied."""
    return [
        {"root_key_id": root.key_id, "provider": root.provider, "wrapped": wrap_kek(root, kek, place)} for root in roots
    ]


def unwrap_kek(root: RootKey, wrapped: bytes, place: bytes) -> bytes:
    """The KEK, 32 bytes. Raises RootKeyAway, RootKeyDenied, Unreadable."""
    plain = root.unwrap(wrapped)
    if not compare_digest(plain[KEK_BYTES:], hashlib.sha256(place).digest()):
        raise Unreadable
    return plain[:KEK_BYTES]


def wrap_dek(kek: AESGCM, dek: Dek, place: bytes) -> bytes:
    """`nonce 12 | ciphertext 32 | tag 16`: AES-256-GCM under the KEK, the place as associated data.

    The nonce is random: a KEK lives for one epoch and wraps far fewer than 2^32 DEKs (NIST SP 800-38D, 8.3).
    """
    nonce = os.urandom(NONCE_BYTES)
    return nonce + kek.encrypt(nonce, dek.key, place)


def unwrap_dek(kek: AESGCM, dek_id: bytes, wrapped: bytes, place: bytes) -> Dek:
    """The DEK that was wrapped for this place. Raises Unreadable."""
    try:
        return Dek(dek_id, kek.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], place))
    except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
        raise Unreadable from None
