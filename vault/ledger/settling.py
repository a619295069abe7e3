"""How what was decided comes into the ledger, and from there into both databases.

1. An entry is decided in a records transaction: a row of the outbox (`deciding`).
2. It is appended to the ledger by its id, unless it stands there already.
3. The keystore follows the ledger: keys go first.
4. The records follow as far as the keystore has.

Any process may take up any of these steps; `settle` takes up all that are open.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, select

from keys import keystore as keystores
from keys.errors import WatermarkMoved
from keys.keystore import Watermark
from rows.changes import Change, updated
from rows.conditions import given
from rows.engine import reading
from rows.prepared import Prepared
from rows.tenants import for_tenant
from vault import audit
from vault.errors import KeystoreRestored, MovedOn, RecordsRestored
from vault.ledger import protocol
from vault.ledger.book import Decided, Ledger, chain
from vault.ledger.effects import EFFECTS, Entry
from vault.ledger.entries import hash_of, parsed, signed
from vault.ledger.watermarks import watermark, watermark_moved
from vault.tables import guard, ledger_outbox

_LARGEST_RACE = 1000


def settle(ledger: Ledger, records: Engine, just: tuple[Watermark, Change] | None = None) -> None:
    """Take every decided entry through all its steps, or the one that was `just` decided.

    That one comes with the records' watermark, read in its transaction: it can only lie in the ledger behind it.
    Of records bound to one tenant those are its own entries: the others are their processes', and the worker's.
    Raises LedgerAway, LedgerBroken, RecordsRestored, KeystoreRestored.
    """
    ledger.batches.take((records, just), partial(_settle, ledger))


def _settle(ledger: Ledger, batch: Sequence[Decided], *, waited: bool) -> None:
    """What several have decided, who may have read the records at different times.

    An entry lies behind its own mark, so all are looked for behind the oldest; the keystore and the records go on from
    the newest.
    """
    open_work = [*(_open_in(batch) if waited else map(_just_open, batch))]
    marks = sorted((mark for _, mark, _ in open_work), key=lambda mark: mark.seq)
    entries: Sequence[Entry] = ()
    for records, _, pending in open_work:
        for body in pending:
            entries = append(ledger, records, marks[0], body, entries if _continues(entries, marks[0]) else ())
    until, entries = follow(ledger, marks[-1], [each for each in entries if each.mark.seq > marks[-1].seq])
    if until.seq > marks[-1].seq:
        _apply_to_records(ledger, batch[0][0], marks[-1], until, entries)


OpenWork = tuple[Engine, Watermark, Sequence[Mapping[str, Any]]]
"""Records, where they stood, and the bodies of entries that were pending there."""


def _just_open(decided: Decided) -> OpenWork:
    records, just = decided
    return records, *((just[0], [parsed(just[1].values["body"])]) if just else _open_work(records))


def _open_in(batch: Sequence[Decided]) -> Iterator[OpenWork]:
    """Looked at again: while these waited others were at work, and much of the ledger lies before where it goes on."""
    seen = set[str]()
    for records, just in batch:
        if just is None or just[1].values["entry_id"] not in seen:
            mark, pending = _open_work(records)
            yield records, mark, [body for body in pending if body["entry_id"] not in seen]
            seen |= {body["entry_id"] for body in pending}


def append(
    ledger: Ledger, records: Engine, mark: Watermark, body: Mapping[str, Any], known: Sequence[Entry] = ()
) -> Sequence[Entry]:
    """Append an entry that was pending when the records stood at `mark`, unless it stands in the ledger already.

    What is `known` of the ledger behind that mark is not read again: if it has grown since, the place is taken. A lost
    race reads on and looks for its id again. What was read of the ledger, and what was written there.
    """
    after = known or chain(ledger, mark)
    for _ in range(_LARGEST_RACE):
        if protocol.stands(body["entry_id"], after):
            return after
        last = after[-1].mark if after else mark
        raw = signed(ledger.keyring, body, last)
        if ledger.store.write(last.seq + 1, raw):
            return [*after, Entry(mark=Watermark(last.seq + 1, hash_of(raw)), body=parsed(raw))]
        mark, pending = _open_work(records)
        if not _is_pending(records, body, pending):
            return ()
        after = chain(ledger, mark)
    raise MovedOn("Other processes write faster to the ledger than this one. Try again.")


def _is_pending(records: Engine, body: Mapping[str, Any], pending: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an entry still waits for its place. Raises RecordsRestored if it is lost."""
    if any(each["entry_id"] == body["entry_id"] for each in pending):
        return True
    with reading(records) as connection:
        known = _KNOWN.one_or_none(connection, {"of_tenant": body["tenant"], "of_entry": body["entry_id"]})
    if protocol.lost(pending=False, known=known is not None) == protocol.UNKNOWN:
        raise RecordsRestored("These records do not have what was just decided in them: they were restored.")
    return False


def _open_work(records: Engine) -> tuple[Watermark, list[dict[str, Any]]]:
    """Where the records stand and what is pending there, in one look.

    So an entry that is pending can only lie in the ledger behind that watermark, or not at all.
    """
    with reading(records) as connection:
        rows = _OPEN_WORK.all(connection, {})
    return Watermark(rows[0].seq, rows[0].hash), [parsed(row.body) for row in rows if row.body is not None]


def follow(ledger: Ledger, of_records: Watermark, known: Sequence[Entry] = ()) -> tuple[Watermark, Sequence[Entry]]:
    """Have the keystore follow the ledger to its head; where it stands then, and the entries that took it there.

    `known` entries, which this process just read or wrote, are not read again where the keystore stands before them;
    that it stands where the records do, as it mostly does, is tried and not looked at. Raises KeystoreRestored for one
    behind `of_records`: catching up would hide what it has lost.
    """
    if _continues(known, of_records):
        with suppress(WatermarkMoved):
            return _advance(ledger, of_records, known)
    for _ in range(_LARGEST_RACE):
        with reading(ledger.keystore) as connection:
            before = keystores.watermark(connection)
        if not protocol.may_follow(before, of_records):
            raise KeystoreRestored("The keystore is behind the records: it was restored. Bring back a newer one.")
        after = known if _continues(known, before) else chain(ledger, before)
        if not after:
            return before, ()
        with suppress(WatermarkMoved):
            return _advance(ledger, before, after)
    raise MovedOn("Other processes apply the ledger faster than this one. Try again.")


def _advance(ledger: Ledger, before: Watermark, after: Sequence[Entry]) -> tuple[Watermark, Sequence[Entry]]:
    """Apply entries to a keystore that stands at `before`. Raises WatermarkMoved, with nothing changed, elsewhere."""
    last, gone = after[-1], protocol.doomed(after)
    keystores.advance(ledger.keystore, before=before, after=last.mark, destroyed=gone, at=last.at)
    return last.mark, after


def _continues(entries: Sequence[Entry], mark: Watermark) -> bool:
    return bool(entries) and (entries[0].mark.seq, entries[0].body["prev_hash"]) == (mark.seq + 1, mark.hash.hex())


def _apply_to_records(
    ledger: Ledger, records: Engine, mark: Watermark, until: Watermark, entries: Sequence[Entry]
) -> None:
    """Follow the ledger as far as the keystore has, never further: keys go first.

    `entries` are those that were just read: they serve where the records stand before the first of them.
    """
    for _ in range(_LARGEST_RACE):
        if not _continues(entries, mark):
            entries = chain(ledger, mark)
        mark = _apply(records, mark, protocol.due(entries, mark, until))
        if mark.seq >= until.seq:
            return
        mark, _ = _open_work(records)  # another process applied some first: read again where the records stand
    raise MovedOn("Other processes apply the ledger faster than this one. Try again.")


def _apply(records: Engine, mark: Watermark, entries: Sequence[Entry]) -> Watermark:
    """Apply entries, each in one transaction; where the records stand when all are, or another process was first."""
    for entry in entries:
        its_own = for_tenant(records, entry.body["tenant"])
        if not audit.write_whole(its_own, partial(_applying, mark, entry)):
            _refuse_unknown(its_own, mark, entry)
            return mark
        mark = entry.mark
    return mark


def _applying(mark: Watermark, entry: Entry, _tx: Connection) -> tuple[Change, ...]:
    return watermark_moved(mark, entry.mark), _acknowledged(entry), *EFFECTS[entry.body["kind"]](entry)


def _refuse_unknown(records: Engine, mark: Watermark, entry: Entry) -> None:
    """Nothing, where another process moved the watermark first. Raises RecordsRestored if the entry is not known."""
    with reading(records) as connection:
        there = watermark(connection) == mark
        known = _KNOWN.one_or_none(connection, {"of_tenant": entry.body["tenant"], "of_entry": entry.id}) is not None
    if protocol.fate(moved=there, known=known) == protocol.UNKNOWN:
        raise RecordsRestored("The ledger holds an entry that these records never decided: they were restored.")


def _acknowledged(entry: Entry) -> Change:
    key = {"tenant_id": entry.body["tenant"], "entry_id": entry.body["entry_id"]}
    return updated(ledger_outbox, key, {"seq": entry.mark.seq})


_KNOWN = Prepared(select(ledger_outbox.c.seq).where(given(ledger_outbox, "entry_id")))
_OPEN_WORK = Prepared(
    select(guard.c.seq, guard.c.hash, ledger_outbox.c.body)
    .select_from(guard)
    .outerjoin(ledger_outbox, ledger_outbox.c.seq.is_(None))
    .order_by(ledger_outbox.c.decided_at)
)
