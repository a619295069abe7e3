"""The erasure ledger: what a restored backup would silently undo, kept outside both databases.

Append-only, hash-chained, signed, without personal data. One entry is canonical JSON (RFC 8785): `{v, deployment, seq,
prev_hash, entry_id, kind, tenant, subject_id, dek_id, version, at, key_id, certificate, signature}`.
`signature` is Ed25519 (RFC 8032) over the canonical entry without it, in base64; the entry's hash is SHA-256 over the
whole canonical entry, in hex; `prev_hash` of the first is 64 zeros. `dek_id` and `certificate` are null where the kind
has none; a DEK that an entry names is destroyed when the entry is applied to the keystore.

An entry is decided in a records transaction (an outbox row), appended here by its id, then applied to the keystore,
then to the records. Any process may take up any of these steps; `settle` takes up all that are open.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import rfc8785
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import ColumnElement, Connection, Engine, and_, insert, select, update

from keys import keystore as keystores
from keys.database import reading, transaction
from keys.errors import WatermarkMoved
from keys.keyring import Keyring
from keys.keystore import Watermark
from vault.caller import Caller
from vault.effects import EFFECTS, Entry
from vault.errors import KeystoreRestored, LedgerBroken, MovedOn, RecordsRestored
from vault.ids import new_id
from vault.tables import guard, ledger_outbox

VERSION = 1
_LARGEST_RACE = 1000


class LedgerStore(Protocol):
    """Where entries lie: numbered from 1, each written once. Every method raises LedgerAway."""

    def read(self, seq: int) -> bytes | None:
        """The entry of that number, None if there is none."""

    def write(self, seq: int, entry: bytes) -> bool:
        """Write entry `seq` durably, only if there is none yet; whether it was written."""

    def head(self, known: int) -> int:
        """The number of the last entry, 0 for an empty ledger; `known` is one that existed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The ledger of one deployment, with the keystore that it is applied to and the key that it is signed with."""

    store: LedgerStore
    keystore: Engine
    keyring: Keyring


def decide(
    tx: Connection,
    ledger: Ledger,
    caller: Caller,
    kind: str,
    subject_id: str,
    *,
    version: int,
    dek_id: bytes | None = None,
    certificate: Mapping[str, Any] | None = None,
) -> str:
    """Put an entry into the outbox of `tx`; its id. From the commit on it will reach the ledger, whatever happens."""
    entry_id = new_id("led", caller.tenant)
    body: dict[str, Any] = {
        "v": VERSION,
        "deployment": ledger.keyring.deployment,
        "entry_id": entry_id,
        "kind": kind,
        "tenant": caller.tenant,
        "subject_id": subject_id,
        "dek_id": dek_id.hex() if dek_id else None,
        "version": version,
        "at": caller.at.isoformat(timespec="microseconds"),
        "certificate": certificate,
    }
    row = {
        "tenant_id": caller.tenant,
        "entry_id": entry_id,
        "decided_at": caller.at,
        "body": rfc8785.dumps(body).decode(),
    }
    tx.execute(insert(ledger_outbox), row)
    return entry_id


def settle(ledger: Ledger, records: Engine) -> None:
    """Take every decided entry through all its steps.

    Raises LedgerAway, LedgerBroken, RecordsRestored, KeystoreRestored.
    """
    for body in _pending(records):
        append(ledger, records, body)
    _refuse_restored_keystore(ledger, records)
    _apply_to_records(ledger, records, _apply_to_keystore(ledger))


def append(ledger: Ledger, records: Engine, body: Mapping[str, Any]) -> None:
    """Append an entry unless it stands there already; a lost race reads on and looks for its id again."""
    for _ in range(_LARGEST_RACE):
        # The watermark before the outbox: an entry still pending then can only lie behind that watermark.
        with reading(records) as connection:
            mark = watermark(connection)
            pending = _is_pending(connection, body)
        after = chain(ledger, mark)
        if not pending or any(entry.body["entry_id"] == body["entry_id"] for entry in after):
            return
        last = after[-1].mark if after else mark
        if ledger.store.write(last.seq + 1, _signed(ledger, body, last)):
            return
    raise MovedOn("Other processes write faster to the ledger than this one. Try again.")


def chain(ledger: Ledger, since: Watermark) -> list[Entry]:
    """The entries after `since`, verified. Raises LedgerBroken if `since` is not on the chain or a link is wrong."""
    if since.seq and hash_of(ledger.store.read(since.seq) or b"") != since.hash:
        raise LedgerBroken(f"The ledger's entry {since.seq} is missing or not the one that was applied.")
    entries: list[Entry] = []
    before, head = since, ledger.store.head(since.seq)
    while before.seq < head:
        raw = ledger.store.read(before.seq + 1)
        if raw is None:
            raise LedgerBroken(f"The ledger's entry {before.seq + 1} is missing.")
        entries.append(_verified(ledger, raw, before))
        before = entries[-1].mark
    return entries


def watermark(connection: Connection) -> Watermark:
    """How far the records have followed the ledger."""
    row = connection.execute(select(guard.c.seq, guard.c.hash)).one()
    return Watermark(row.seq, row.hash)


def find(ledger: Ledger, seq: int) -> dict[str, Any]:
    """The entry of that number as it is published. Raises LedgerBroken if it is missing."""
    raw = ledger.store.read(seq)
    if raw is None:
        raise LedgerBroken(f"The ledger's entry {seq} is missing.")
    return _parsed(raw)


def hash_of(raw: bytes) -> bytes:
    """SHA-256 of the canonical entry as it lies in the ledger."""
    return hashlib.sha256(raw).digest()


def public_key(ledger: Ledger) -> bytes:
    """The 32 bytes of the Ed25519 public key that entries and certificates are verified with."""
    return _signing_key(ledger).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def key_id(public: bytes) -> str:
    """How an entry names its key: the first 8 bytes of the public key's SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:16]


def _pending(records: Engine) -> list[dict[str, Any]]:
    statement = select(ledger_outbox.c.body).where(ledger_outbox.c.seq.is_(None)).order_by(ledger_outbox.c.decided_at)
    with reading(records) as connection:
        return [_parsed(body.encode()) for body in connection.scalars(statement)]


def _is_pending(connection: Connection, body: Mapping[str, Any]) -> bool:
    return connection.scalar(select(ledger_outbox.c.seq).where(_this(body))) is None


def _this(body: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(ledger_outbox.c.tenant_id == body["tenant"], ledger_outbox.c.entry_id == body["entry_id"])


def _signed(ledger: Ledger, body: Mapping[str, Any], last: Watermark) -> bytes:
    place = {"seq": last.seq + 1, "prev_hash": last.hash.hex(), "key_id": key_id(public_key(ledger))}
    unsigned = {**body, **place}
    signature = _signing_key(ledger).sign(rfc8785.dumps(unsigned))
    return rfc8785.dumps({**unsigned, "signature": b64encode(signature).decode()})


def _verified(ledger: Ledger, raw: bytes, before: Watermark) -> Entry:
    try:
        body = _parsed(raw)
        linked = (body["seq"], body["prev_hash"]) == (before.seq + 1, before.hash.hex())
        unsigned = {name: value for name, value in body.items() if name != "signature"}
        public = Ed25519PublicKey.from_public_bytes(public_key(ledger))
        public.verify(b64decode(body["signature"], validate=True), rfc8785.dumps(unsigned))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        linked = False
    if not linked:
        raise LedgerBroken(f"The ledger's entry {before.seq + 1} does not verify.")
    return Entry(mark=Watermark(before.seq + 1, hash_of(raw)), body=body)


def _refuse_restored_keystore(ledger: Ledger, records: Engine) -> None:
    """Raise KeystoreRestored for a keystore behind the records: catching up would hide what it has lost."""
    with reading(records) as connection:
        of_records = watermark(connection)
    with reading(ledger.keystore) as connection:
        of_keystore = keystores.watermark(connection)
    if of_keystore.seq < of_records.seq:
        raise KeystoreRestored("The keystore is behind the records: it was restored. Bring back a newer one.")


def _apply_to_keystore(ledger: Ledger) -> Watermark:
    """Follow the ledger to its head; where the keystore stands then."""
    for _ in range(_LARGEST_RACE):
        with reading(ledger.keystore) as connection:
            before = keystores.watermark(connection)
        after = chain(ledger, before)
        if not after:
            return before
        doomed = [
            (entry.body["tenant"], bytes.fromhex(entry.body["dek_id"])) for entry in after if entry.body["dek_id"]
        ]
        with suppress(WatermarkMoved):
            keystores.advance(ledger.keystore, before=before, after=after[-1].mark, destroyed=doomed, at=after[-1].at)
    raise MovedOn("Other processes apply the ledger faster than this one. Try again.")


def _apply_to_records(ledger: Ledger, records: Engine, until: Watermark) -> None:
    """Follow the ledger as far as the keystore has, never further: keys go first."""
    for _ in range(_LARGEST_RACE):
        with reading(records) as connection:
            mark = watermark(connection)
        after = [entry for entry in chain(ledger, mark) if entry.mark.seq <= until.seq]
        if not after:
            return
        for entry in after:
            with transaction(records) as tx:
                if not _move(tx, mark, entry.mark):
                    break  # another process applied it first: read again where the records stand
                _acknowledge(tx, entry)
                EFFECTS[entry.body["kind"]](tx, entry)
            mark = entry.mark
    raise MovedOn("Other processes apply the ledger faster than this one. Try again.")


def _move(tx: Connection, before: Watermark, after: Watermark) -> bool:
    statement = update(guard).where(guard.c.seq == before.seq, guard.c.hash == before.hash)
    return tx.execute(statement.values(seq=after.seq, hash=after.hash)).rowcount == 1


def _acknowledge(tx: Connection, entry: Entry) -> None:
    if tx.execute(update(ledger_outbox).where(_this(entry.body)).values(seq=entry.mark.seq)).rowcount != 1:
        raise RecordsRestored("The ledger holds an entry that these records never decided: they were restored.")


def _signing_key(ledger: Ledger) -> Ed25519PrivateKey:
    seed = ledger.keyring.subkey(ledger.keyring.deployment, "signing", "ledger-ed25519")
    return Ed25519PrivateKey.from_private_bytes(seed)


def _parsed(raw: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(raw)
    return body
