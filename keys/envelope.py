"""The record format: how one value is sealed.

    offset  bytes  field
         0      1  version, 1
         1      1  suite, 1: HKDF-SHA256 and AES-256-GCM
         2     16  dek_id, which DEK opens it
        18     32  salt, fresh for every record
        50     32  commitment
        82      n  ciphertext, as long as the plaintext
      82+n     16  tag

HKDF-SHA256 (RFC 5869) of the DEK with that salt and info `panless/record/1` gives 76 bytes: key 32, nonce 12,
commitment 32. The ciphertext and tag are AES-256-GCM (NIST SP 800-38D) under that key and nonce; the associated data
are the record's first 50 bytes and then the encoded context, so that a value moved elsewhere does not open.

The nonce is derived, not drawn, and that is safe because the key beside it is as new as the salt: a pair of key and
nonce serves one record. The commitment is there because AES-GCM alone opens one ciphertext under two keys, and then
"the key was destroyed" would prove nothing. It commits to the key, not to the context: whoever holds the DEK can seal
anything anyway.
"""

import os
from hmac import compare_digest

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.context import Context
from keys.dek import Dek
from keys.errors import Unreadable

PREFIX = b"\x01\x01"
"""Version and suite."""

INFO = b"panless/record/1"
SALT_BYTES = 32
OVERHEAD = 98
"""How many bytes a record is longer than its plaintext."""


def seal(dek: Dek, plaintext: bytes, context: Context) -> bytes:
    """`plaintext` sealed under `dek` for the one place that `context` names: a record, 98 bytes longer."""
    salt = os.urandom(SALT_BYTES)
    header = PREFIX + dek.id + salt
    key, nonce, commitment = _record_key(dek, salt)
    return header + commitment + AESGCM(key).encrypt(nonce, plaintext, header + context.encode())


def unseal(dek: Dek, record: bytes, context: Context) -> bytes:
    """The plaintext of `record`. Raises Unreadable, whatever the reason."""
    if dek_id_of(record) != dek.id:
        raise Unreadable
    header = record[:50]
    key, nonce, commitment = _record_key(dek, header[18:])
    if not compare_digest(commitment, record[50:82]):
        raise Unreadable
    try:
        return AESGCM(key).decrypt(nonce, record[82:], header + context.encode())
    except InvalidTag:
        raise Unreadable from None


def dek_id_of(record: bytes) -> bytes:
    """The id of the DEK that `record` says it is sealed under: 16 bytes, not authenticated. Raises Unreadable."""
    if len(record) < OVERHEAD or record[:2] != PREFIX:
        raise Unreadable
    return record[2:18]


def _record_key(dek: Dek, salt: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, nonce and commitment of the one record that has this salt."""
    out = HKDF(algorithm=SHA256(), length=76, salt=salt, info=INFO).derive(dek.key)
    return out[:32], out[32:44], out[44:]
