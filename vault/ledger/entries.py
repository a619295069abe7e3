"""Entries of the erasure ledger as they lie there: one is canonical JSON (RFC 8785), hash-chained and signed.

`{v, deployment, seq, prev_hash, entry_id, kind, tenant, subject_id, dek_id, version, live, at, key_id, certificate,
terms, signature}`. `signature` is Ed25519 (RFC 8032) over the canonical entry without it, in base64; the entry's hash
is SHA-256 over the whole canonical entry, in hex; `prev_hash` of the first is 64 zeros. `dek_id` and `certificate` are
null where the kind has none; a DEK that an entry names is destroyed when the entry is applied to the keystore. So are
those in `former_dek_ids`, which only entries about what was resealed have.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keys.keyring import Keyring
from keys.keystore import Watermark
from vault.canonical import canonical
from vault.errors import LedgerBroken
from vault.ledger.effects import Entry
from vault.ledger.keys import signing_pair

VERSION = 1


def genuine(raw: bytes, public: bytes) -> dict[str, Any]:
    """The entry in `raw`, in any JSON form, if `public` signed it. Raises ValueError, which says what is wrong."""
    try:
        return _genuine(raw, public)
    except InvalidSignature:
        raise ValueError("the signature does not fit the text or the key.") from None
    except (KeyError, TypeError):
        raise ValueError("it is not an entry of a ledger.") from None


def signed(keyring: Keyring, body: Mapping[str, Any], last: Watermark) -> bytes:
    """The entry that follows `last`, with this body."""
    pair = signing_pair(keyring)
    unsigned = {**body, "seq": last.seq + 1, "prev_hash": last.hash.hex(), "key_id": pair.key_id}
    signature = pair.private.sign(canonical(unsigned))
    return canonical({**unsigned, "signature": b64encode(signature).decode()})


def verified(public: bytes, raw: bytes, before: Watermark) -> Entry:
    """The entry in `raw`, held against the key that it names and the one before. Raises LedgerBroken."""
    try:
        body = _genuine(raw, public)
        linked = (body["seq"], body["prev_hash"]) == (before.seq + 1, before.hash.hex())
    except (InvalidSignature, ValueError, KeyError, TypeError):
        linked = False
    if not linked:
        raise LedgerBroken(f"The ledger's entry {before.seq + 1} does not verify.")
    return Entry(mark=Watermark(before.seq + 1, hash_of(raw)), body=body)


@lru_cache(maxsize=256)  # one entry is read several times on its way; its bytes are the key
def _genuine(raw: bytes, public: bytes) -> dict[str, Any]:
    """The entry in `raw`, its signature verified. Raises InvalidSignature, ValueError, KeyError, TypeError."""
    body = parsed(raw)
    unsigned = {name: value for name, value in body.items() if name != "signature"}
    signature = b64decode(body["signature"], validate=True)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, canonical(unsigned))
    return body


def hash_of(raw: bytes) -> bytes:
    """SHA-256 of the canonical entry as it lies in the ledger."""
    return hashlib.sha256(raw).digest()


def key_named(raw: bytes) -> str:
    """The id of the key that an entry says it is signed with. Raises ValueError if it says none."""
    try:
        return str(_key_named(raw))
    except (KeyError, TypeError):
        raise ValueError("it is not an entry of a ledger.") from None


@lru_cache(maxsize=256)
def _key_named(raw: bytes) -> object:
    return parsed(raw)["key_id"]


def parsed(raw: str | bytes) -> dict[str, Any]:
    """The JSON in it, nothing verified."""
    body: dict[str, Any] = json.loads(raw)
    return body
