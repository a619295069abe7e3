"""Anchoring: checkpoints are written where a writer of the databases can't change them, and held against the log.

An anchor lies under `<tenant>/<generation>/<size>.checkpoint`. It keeps whoever restores older records, or rewrites
them, from having another continuation signed: a log whose anchors know more than it does begins a new generation, and
its first entry says what was lost. What lies there and is no checkpoint of that log and size is no anchor: it is passed
over here, and named by `audit verify`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, case, null, or_, select, update

from keys.keyring import Keyring
from rows.engine import reading, transaction
from vault import audit
from vault.canonical import Plain
from vault.desk import Desk
from vault.errors import LedgerAway, LogBroken
from vault.tables import audit_logs
from vault.tlog import kept, sequencing
from vault.tlog.anchor_store import AnchorStore
from vault.tlog.merkle import tree_of
from vault.tlog.notes import Checkpoint, NotGenuine, Verifier, open_note
from vault.tlog.sequencing import Known
from vault.tlog.signing import name_of, origin_of, parse_origin, verifiers
from vault.tlog.verifying import RESTORED
from vault.tlog.watched import LogWatch, Watched

ANCHOR_AFTER = timedelta(seconds=20)
"""What is signed is anchored that much later: one anchor for all of it, and well within a minute."""


class Lost(NamedTuple):
    """What was signed and is not in the log, and how many of the log's entries are surely those that it was over."""

    signed: Checkpoint
    kept: int


class Anchor(NamedTuple):
    """What lies among the anchors; `checkpoint` is None where it is none of that place."""

    place: str
    note: bytes
    checkpoint: Checkpoint | None


def look(desk: Desk, watch: LogWatch) -> None:
    """See how far the tenant's log was signed; begin a new generation if that is further than its row says.

    Asks the anchors, so it takes as long as those. Raises LogBroken, LedgerAway.
    """
    tenant, keys, mine = desk.caller.tenant, verifiers(desk.keyring, desk.caller.tenant), watch.of(desk.caller.tenant)
    sequencing.found(desk.records, tenant)
    with reading(desk.records) as connection:
        log = kept.log_of(connection, tenant)
    if log is None:
        raise LogBroken(f"The audit log of {tenant} was deleted while it was begun.")
    name = name_of(desk.keyring.deployment, tenant)
    known = log.generation, log.anchored_size
    anchored = iter(()) if watch.anchors is None else anchors_of(watch.anchors, keys, name, known=known)
    newest = [*islice(anchored, 1)]
    _refuse_unsound(watch, log, *newest)
    with reading(desk.records) as connection:
        lost = _lost(connection, mine.seen, log, chain(newest, anchored))
    if lost is None:
        mine.seen, mine.is_unsure = Known(log.generation, log.size, _opened(keys, log.checkpoint)), False
    else:
        _begin_generation(desk, log, lost)
        mine.seen = None  # the next look holds it against anchors of the new one


def unanchored(records: Engine, now: datetime) -> Sequence[Row[Any]]:
    """The logs of which something has had no anchor for ANCHOR_AFTER, or since a moment that has not come yet."""
    since = audit_logs.c.waiting_since
    due = or_(since <= now - ANCHOR_AFTER, since > now)
    with reading(records) as connection:
        return connection.execute(select(audit_logs).where(due)).all()


def note_behind(watch: LogWatch, now: datetime) -> None:
    """Note of each log that this worker saw grow since when it has not anchored that."""
    for log in [*watch.logs.values()]:
        seen = log.seen
        if seen is None:
            continue
        is_anchored = not seen.size or log.anchored == (seen.generation, seen.size)
        log.behind_since = None if is_anchored else log.behind_since or now


def forgotten(watch: LogWatch, now: datetime) -> list[str]:
    """Logs that have been behind for long: who writes to rows can say that they are anchored."""
    behind = [(tenant, log.behind_since) for tenant, log in [*watch.logs.items()]]
    return [tenant for tenant, since in behind if since is not None and now - since > 2 * ANCHOR_AFTER]


def rows_of(records: Engine, tenants: Sequence[str]) -> Sequence[Row[Any]]:
    """The logs of these tenants."""
    with reading(records) as connection:
        return connection.execute(select(audit_logs).where(audit_logs.c.tenant_id.in_(tenants))).all()


def anchor(records: Engine, keyring: Keyring, anchors: AnchorStore, mine: Watched, log: Row[Any], at: datetime) -> None:
    """Anchor a log as its row was read, under the size that is signed there. Raises LedgerAway.

    Raises LogBroken where its row holds no checkpoint of it, or another checkpoint has its place.
    """
    origin = origin_of(name_of(keyring.deployment, log.tenant_id), log.generation)
    signed = _opened(verifiers(keyring, log.tenant_id), log.checkpoint)
    if signed is not None and signed.origin != origin:
        return  # a generation that was begun and has not been signed yet
    if signed is None or signed.size != log.size:
        raise LogBroken(f"The row of {log.tenant_id}'s audit log holds no checkpoint of it. Run: panless audit verify.")
    place = anchors.within(f"{log.tenant_id}/{log.generation}")
    if place.write(signed.size, log.checkpoint):
        if mine.anchored is None:
            _refuse_overwriting(place, signed.size, log.checkpoint)
    elif place.read(signed.size) != log.checkpoint:
        raise LogBroken(f"Something else is anchored at {signed.size} of {log.tenant_id}. Run: panless audit verify.")
    mine.anchored, mine.behind_since = (log.generation, log.size), None
    this = update(audit_logs).where(audit_logs.c.tenant_id == log.tenant_id, audit_logs.c.generation == log.generation)
    since = case((audit_logs.c.size == log.size, null()), else_=at)
    with transaction(records) as tx:
        tx.execute(this.values(anchored_size=log.size, waiting_since=since))


def anchors_of(
    store: AnchorStore,
    keys: Sequence[Verifier],
    name: str,
    most: int | None = None,
    known: tuple[int, int] | None = None,
) -> Iterator[Anchor]:
    """What is anchored of a log, the newest generation first, in each the largest first, at `most` so many.

    `known` is a generation and a size that is believed to be anchored: who wants no more than the newest has no more
    listed than came after it, and whoever wrote down a wrong one has all listed. Raises LedgerAway.
    """
    tenant = name.rpartition("/")[2]
    generations = [int(each) for each in store.within(tenant).folders() if each.isascii() and each.isdigit()]
    for generation in sorted(generations, reverse=True):
        folder = store.within(f"{tenant}/{generation}")
        believed = known[1] if known is not None and known[0] == generation else 0
        for number in islice(_from_the_largest(folder, believed), most):
            yield _anchor(folder, keys, name, generation, number)


def _from_the_largest(folder: AnchorStore, believed: int) -> Iterator[int]:
    """The numbers in a folder, those below one that is believed to be there listed only where they are asked for."""
    yield from reversed(folder.numbers(believed - 1))
    if believed > 0:
        yield from (number for number in reversed(folder.numbers()) if number < believed)


def _refuse_unsound(watch: LogWatch, log: Row[Any], newest: Anchor | None = None) -> None:
    """Raise where the anchors can't be what they were: none are left of a log that had some, or they are no anchors."""
    if watch.anchors is None:
        return
    if newest is not None:
        generation, number = newest.place.split("/")
        _refuse_overwriting(watch.anchors.within(f"{log.tenant_id}/{generation}"), int(number), newest.note)
    elif log.anchored_size:
        raise LogBroken(
            f"The audit log of {log.tenant_id} was anchored, and there is no anchor of it. Bring them back, or copy "
            "them to where PANLESS_AUDIT_ANCHOR leads now."
        )


def _refuse_overwriting(folder: AnchorStore, number: int, note: bytes) -> None:
    """Write once more what is there, which changes nothing whatever the store does."""
    if folder.write(number, note):
        raise LedgerAway("The anchors' store writes over what it has: it ignores If-None-Match. Take another.")


def _anchor(folder: AnchorStore, keys: Sequence[Verifier], name: str, generation: int, number: int) -> Anchor:
    note = folder.read(number) or b""
    signed = _opened(keys, note)
    fits = signed is not None and (signed.origin, signed.size) == (origin_of(name, generation), number)
    return Anchor(f"{generation}/{number}", note, signed if fits else None)


def _lost(connection: Connection, known: Known | None, log: Row[Any], anchored: Iterable[Anchor]) -> Lost | None:
    """What was signed and is not in this log: the newest of it, as far as anybody here knows.

    A log that is shorter was put back, and all of it is kept. One that is as long or longer was signed on elsewhere
    over something else: of it only that is sure which another anchor was over too.
    """
    seen = [known.checkpoint] if known is not None and known.generation >= log.generation else []
    gone = [each for each in seen if each is not None and not _agrees(connection, log, each)]
    sure = 0
    for signed in _of_now(log, anchored):
        if _agrees(connection, log, signed):
            sure = signed.size
            break
        gone.append(signed)
    newest = max(gone, key=_order, default=None)
    if newest is None:
        return None
    is_shorter = (log.generation, log.size) < _order(newest)
    return Lost(newest, log.size if is_shorter else sure)


def _of_now(log: Row[Any], anchored: Iterable[Anchor]) -> Iterator[Checkpoint]:
    """What is anchored of this generation and later ones. How this one began is told by its own entry."""
    for each in anchored:
        if each.checkpoint is not None and _order(each.checkpoint)[0] < log.generation:
            return
        if each.checkpoint is not None:
            yield each.checkpoint


def _agrees(connection: Connection, log: Row[Any], signed: Checkpoint) -> bool:
    """Whether the log begins with what a checkpoint of this or an earlier generation was signed over."""
    if _order(signed) > (log.generation, log.size) or signed.size > log.size:
        return False
    try:
        tree = tree_of(signed.size, lambda level, number: kept.tile(connection, log.tenant_id, level, number))
    except ValueError:
        return False
    return tree.root() == signed.root


def _order(signed: Checkpoint) -> tuple[int, int]:
    return parse_origin(signed.origin)[2], signed.size


def _opened(keys: Sequence[Verifier], note: bytes) -> Checkpoint | None:
    try:
        return open_note(note, keys)
    except NotGenuine:
        return None


def _begin_generation(desk: Desk, log: Row[Any], lost: Lost) -> None:
    """Let the log go on in a generation of its own, which says what it lost. Another worker may be first."""
    signed = lost.signed
    next_one = max(log.generation, _order(signed)[0]) + 1
    this = update(audit_logs).where(
        audit_logs.c.tenant_id == desk.caller.tenant,
        audit_logs.c.generation == log.generation,
        audit_logs.c.size == log.size,
    )
    details: dict[str, Plain] = {"origin": signed.origin, "size": signed.size, "root": signed.root.hex()}
    details |= {"kept": lost.kept, "generation": next_one}
    with audit.transaction(desk.records) as tx:
        if tx.execute(this.values(generation=next_one, anchored_size=0)).rowcount == 1:
            audit.record(desk, tx, RESTORED, details=details)
