"""Anchoring: checkpoints are written where a writer of the databases can't change them, and held against the log.

An anchor lies under `<tenant>/<generation>/<size>.checkpoint`. It keeps whoever restores older records, or rewrites
them, from having another continuation signed: a log whose anchors know more than it does begins a new generation, and
its first entry says what was lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Engine, Row, case, null, select, update

from keys.database import reading, transaction
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.canonical import Plain
from vault.errors import LogBroken
from vault.tables import audit_logs
from vault.tlog import kept, sequencing
from vault.tlog.notes import Checkpoint, NotGenuine, open_note
from vault.tlog.signing import parse_origin, verifiers
from vault.tlog.verifying import RESTORED

ANCHOR_AFTER = timedelta(seconds=20)
"""What is signed is anchored that much later: one anchor for all of it, and well within a minute."""


class AnchorStore(Protocol):
    """Where anchors lie: numbered, each written once. Every method raises LedgerAway."""

    def within(self, folder: str) -> "AnchorStore":
        """The same store a folder further down."""

    def read(self, seq: int) -> bytes | None:
        """The anchor of that number, None if there is none."""

    def write(self, seq: int, entry: bytes) -> bool:
        """Write it durably, only if there is none yet; whether it was written."""

    def newest(self, least: int) -> int | None:
        """The largest number there is from `least` on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWatch:
    """What one worker knows of logs besides their rows: where they are anchored, and how far it saw them."""

    anchors: AnchorStore | None = None
    seen: dict[str, tuple[int, int, bytes]] = field(default_factory=dict)
    """Generation, size and checkpoint, by tenant."""
    resting: dict[str, float] = field(default_factory=dict)
    """Until when (`time.monotonic`) a log is left alone whose last turn failed, by tenant."""


def is_continued(records: Engine, watch: LogWatch, tenant: str) -> bool:
    """Whether this worker may sign on: it has looked at the log, which has not become shorter since."""
    with reading(records) as connection:
        log = kept.log_of(connection, tenant)
    known = watch.seen.get(tenant)
    return log is not None and known is not None and (log.generation, log.size) >= known[:2]


def look(records: Engine, keyring: Keyring, watch: LogWatch, caller: Caller) -> None:
    """See how far the tenant's log was signed; begin a new generation if that is further than its row says.

    Asks the anchors, so it takes as long as those. Raises LogBroken, LedgerAway.
    """
    sequencing.found(records, caller.tenant)
    with reading(records) as connection:
        log = kept.log_of(connection, caller.tenant)
    if log is None:
        raise LogBroken(f"The audit log of {caller.tenant} was deleted while it was begun.")
    known = watch.seen.get(caller.tenant)
    lost = _ahead(keyring, watch, log, known)
    if lost is None:
        watch.seen[caller.tenant] = (log.generation, log.size, log.checkpoint)
    else:
        _begin_generation(records, keyring, caller, log, lost)
        watch.seen.pop(caller.tenant, None)  # the next look holds it against anchors of the new one


def note_seen(records: Engine, watch: LogWatch, tenant: str) -> None:
    """Remember how far the log has come, to notice should it ever be shorter."""
    with reading(records) as connection:
        log = kept.log_of(connection, tenant)
    if log is not None and log.checkpoint:
        watch.seen[tenant] = (log.generation, log.size, log.checkpoint)


def unanchored(records: Engine, now: datetime) -> Sequence[Row[Any]]:
    """The logs of which something has had no anchor for ANCHOR_AFTER."""
    with reading(records) as connection:
        return connection.execute(select(audit_logs).where(audit_logs.c.waiting_since <= now - ANCHOR_AFTER)).all()


def anchor(records: Engine, store: AnchorStore, log: Row[Any], at: datetime) -> None:
    """Anchor a log as its row was read. Raises LedgerAway, LogBroken where another checkpoint has its place."""
    place = store.within(f"{log.tenant_id}/{log.generation}")
    if not place.write(log.size, log.checkpoint) and place.read(log.size) != log.checkpoint:
        raise LogBroken(f"Another checkpoint of {log.tenant_id} is anchored at {log.size}. Run: panless audit verify.")
    this = update(audit_logs).where(audit_logs.c.tenant_id == log.tenant_id, audit_logs.c.generation == log.generation)
    since = case((audit_logs.c.size == log.size, null()), else_=at)
    with transaction(records) as tx:
        tx.execute(this.values(anchored_size=log.size, waiting_since=since))


def anchored(store: AnchorStore, tenant: str, generation: int) -> list[bytes]:
    """The newest anchor of each generation up to this one. Raises LedgerAway."""
    found = []
    for each in range(1, generation + 1):
        place = store.within(f"{tenant}/{each}")
        number = place.newest(1)
        note = None if number is None else place.read(number)
        found += [] if note is None else [note]
    return found


def _ahead(keyring: Keyring, watch: LogWatch, log: Row[Any], known: tuple[int, int, bytes] | None) -> Checkpoint | None:
    """What was signed and is not in this log: the newest of it, as far as anybody here knows."""
    notes = [known[2]] if known is not None and known[2] else []
    if watch.anchors is not None:
        place = watch.anchors.within(f"{log.tenant_id}/{log.generation}")
        number = place.newest(max(log.size, 1))
        notes += [note for note in [place.read(number) if number else None] if note is not None]
    ahead = [_opened(keyring, log, note) for note in notes]
    lost = [each for each in ahead if not log.checkpoint.startswith(f"{each.text}\n".encode())]
    return max(lost, key=lambda each: (parse_origin(each.origin)[2], each.size), default=None)


def _opened(keyring: Keyring, log: Row[Any], note: bytes) -> Checkpoint:
    try:
        return open_note(note, verifiers(keyring, log.tenant_id))
    except NotGenuine as error:
        raise LogBroken(f"An anchor of {log.tenant_id} is none of ours. {error}") from None


def _begin_generation(records: Engine, keyring: Keyring, caller: Caller, log: Row[Any], lost: Checkpoint) -> None:
    next_one = max(log.generation, parse_origin(lost.origin)[2]) + 1
    this = update(audit_logs).where(audit_logs.c.tenant_id == caller.tenant, audit_logs.c.generation == log.generation)
    details: dict[str, Plain] = {"origin": lost.origin, "size": lost.size, "root": lost.root.hex()}
    details |= {"kept": log.size, "generation": next_one}
    with audit.transaction(records) as tx:
        if tx.execute(this.values(generation=next_one, anchored_size=0)).rowcount == 1:
            audit.record(tx, keyring, caller, RESTORED, details=details)
