"""The erasure ledger: what a restored backup would silently undo, kept outside both databases.

Append-only, hash-chained, signed, without personal data: `entries` is what one entry is.

`settling` says how what was decided comes here, and from here into both databases.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Engine

from keys.identity import Witness
from keys.keyring import Keyring
from keys.keystore import Watermark
from rows.changes import Change
from rows.engine import reading
from vault.errors import LedgerBroken
from vault.ledger import protocol
from vault.ledger.announcements import announced
from vault.ledger.batches import Batches
from vault.ledger.effects import Entry
from vault.ledger.entries import hash_of, key_named, parsed, verified
from vault.ledger.keys import public_of
from vault.ledger.watermarks import identity


class LedgerStore(Protocol):
    """Where entries lie: numbered from 1, each written once. Every method raises LedgerAway."""

    def read(self, seq: int) -> bytes | None:
        """The entry of that number, None if there is none."""

    def write(self, seq: int, entry: bytes) -> bool:
        """Write entry `seq` durably, only if there is none yet; whether it was written."""

    def head(self, known: int) -> int:
        """The number of the last entry, 0 for an empty ledger; `known` is one that existed."""

    def seems_to_have(self, seq: int) -> bool:
        """Whether there is an entry of that number, where this is told in microseconds; else no. Raises nothing."""


Decided = tuple[Engine, tuple[Watermark, Change] | None]
"""Records with open entries; the one that was just decided, and the watermark that was read in its transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The ledger of one deployment, with the keystore that it is applied to and the key that it is signed with.

    `witness` knows the records that follow it; the keyring has the keystore's. `place` is what the
    settings say of where it lies.
    """

    store: LedgerStore
    keystore: Engine
    keyring: Keyring
    place: str
    witness: Witness = field(default_factory=Witness)
    announced: dict[str, bytes] = field(default_factory=dict)
    """Public keys by id that this keystore does not have and the ledger announces: read once."""
    batches: Batches[Decided] = field(default_factory=Batches)


def chain(ledger: Ledger, since: Watermark) -> list[Entry]:
    """The entries after `since`, verified. Raises LedgerBroken if `since` is not on the chain or a link is wrong."""
    there = ledger.store.read(since.seq) if since.seq else None
    if not protocol.is_on_chain(since, hash_of(there) if there else None):
        raise LedgerBroken(f"The ledger's entry {since.seq} is missing or not the one that was applied.")
    entries: list[Entry] = []
    before, head = since, ledger.store.head(since.seq)
    while before.seq < head:
        raw = ledger.store.read(before.seq + 1)
        if raw is None:
            raise LedgerBroken(f"The ledger's entry {before.seq + 1} is missing.")
        entries.append(verified(_public_of(ledger, raw), raw, before))
        before = entries[-1].mark
    return entries


def _public_of(ledger: Ledger, raw: bytes) -> bytes:
    """The public key that an entry names, one of the deployment's. Raises LedgerBroken."""
    try:
        key_id = key_named(raw)
        known = public_of(ledger.keyring, key_id) or ledger.announced.get(key_id)
        found = known or announced(ledger.keyring, ledger.store, key_id)
    except ValueError as error:
        raise LedgerBroken(f"An entry of the ledger does not verify: {error}") from None
    if found is None:
        raise LedgerBroken(f"An entry of the ledger is signed with {key_id}, no key of this deployment.")
    if known is None:
        ledger.announced[key_id] = found
    return found


def assure(ledger: Ledger, records: Engine) -> None:
    """Say that these are the records that the guard vouched for. Raises Refused, DatabaseReplaced."""
    expected = ledger.witness.vouched
    with reading(records) as connection:
        seen = identity(connection)
    ledger.witness.check(seen, expected)


def find(ledger: Ledger, seq: int) -> dict[str, Any]:
    """The entry of that number as it is published. Raises LedgerBroken if it is missing."""
    raw = ledger.store.read(seq)
    if raw is None:
        raise LedgerBroken(f"The ledger's entry {seq} is missing.")
    return parsed(raw)
