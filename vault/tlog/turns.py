"""Whose turn it is among the logs, in the two lanes that the worker has for them.

The lane that places asks no anchor, which may hang: a log that this worker has not looked at waits for the other one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Row

from vault.errors import LogBroken, NotContinued
from vault.tlog import anchoring as anchors
from vault.tlog import sequencing
from vault.tlog.anchor_store import AnchorStore
from vault.tlog.watched import Watched
from vault.workshop import Workshop, caller_of

FOLLOW_SECONDS = 5.0
"""How far behind another worker this one may be: a log that is put back to where this one saw it would be signed on."""

Step = Callable[[], bool]


def placing(shop: Workshop) -> list[Step]:
    """A turn for each log with entries to be placed, or that others took on; it says whether there is more to do."""
    follows: list[Step] = [partial(_follow, shop, tenant) for tenant in _moved(shop)]
    return follows + [partial(_place, shop, tenant) for tenant in _waiting(shop) if _is_known(shop, tenant)]


def anchoring(shop: Workshop) -> list[Step]:
    """A look at each log that this worker does not know, and an anchor for each that is due."""
    looks: list[Step] = [partial(_look, shop, tenant) for tenant in _waiting(shop) if not _is_known(shop, tenant)]
    if shop.logs.anchors is None:
        return looks
    due = {log.tenant_id: log for log in anchors.unanchored(shop.records, shop.clock())}
    anchors.note_behind(shop.logs, shop.clock())
    if others := anchors.forgotten(shop.logs, shop.clock()):
        due |= {log.tenant_id: log for log in anchors.rows_of(shop.records, others)}
    return looks + [partial(_anchor, shop, shop.logs.anchors, log) for log in due.values()]


def _is_known(shop: Workshop, tenant: str) -> bool:
    return shop.logs.of(tenant).known is not None


def _rests(shop: Workshop, tenant: str) -> bool:
    return shop.logs.of(tenant).rests_until > monotonic()


def _waiting(shop: Workshop) -> list[str]:
    return [tenant for tenant in sequencing.waiting(shop.records) if not _rests(shop, tenant)]


def _moved(shop: Workshop) -> list[str]:
    """Every few seconds, the known logs that are elsewhere than this worker saw them."""
    watch, now = shop.logs, monotonic()
    if now - watch.followed < FOLLOW_SECONDS:
        return []
    watch.followed, there = now, sequencing.sizes(shop.records)
    known = [(tenant, seen) for tenant, log in [*watch.logs.items()] if (seen := log.known) is not None]
    places = [(tenant, (seen.generation, seen.size)) for tenant, seen in known]
    return [tenant for tenant, place in places if there.get(tenant, place) != place and not _rests(shop, tenant)]


@contextmanager
def _turn(shop: Workshop, tenant: str) -> Iterator[Watched]:
    """A log's turn: one that fails leaves it alone for a while."""
    log = shop.logs.of(tenant)
    log.rests_until = monotonic() + shop.logs.rest
    yield log
    log.rests_until = 0.0


def _follow(shop: Workshop, tenant: str) -> bool:
    with _turn(shop, tenant) as log:
        seen = log.seen
        if seen is None:
            return False  # the other lane has just begun a new generation of it
        try:
            log.seen = sequencing.follow(shop.records, shop.keyring, tenant, seen)
        except NotContinued:
            log.is_unsure = True  # the other lane looks at it, once there is something to be placed
    return False


def _place(shop: Workshop, tenant: str) -> bool:
    most = sequencing.batch(shop.records)
    with _turn(shop, tenant) as log:
        known = now = log.seen
        if known is None:
            return False  # as above
        try:
            now = sequencing.sequence(shop.records, shop.keyring, tenant, shop.clock(), most, known)
        except NotContinued:
            log.is_unsure = True  # the other lane looks at it
    if now is None:
        _refuse_held(shop, tenant, log)
        return False
    log.held_since, log.seen = None, now
    return now.size - known.size == most


def _refuse_held(shop: Workshop, tenant: str, log: Watched) -> None:
    """Another worker has the log's row for moments. Raises LogBroken where somebody has it for longer."""
    log.held_since = log.held_since or monotonic()
    if monotonic() - log.held_since > shop.logs.rest:
        raise LogBroken(
            f"Somebody holds the row of {tenant}'s audit log, so that nothing is signed. Find that session."
        )


def _look(shop: Workshop, tenant: str) -> bool:
    with _turn(shop, tenant):
        anchors.look(shop.desk(caller_of(shop, tenant, live=True)), shop.logs)
    return True


def _anchor(shop: Workshop, store: AnchorStore, log: Row[Any]) -> bool:
    anchors.anchor(shop.records, shop.keyring, store, shop.logs.of(log.tenant_id), log, shop.clock())
    return True
