"""Whose turn it is among the logs, in the two lanes that the worker has for them.

The lane that places asks no anchor, which may hang: a log that this worker has not looked at waits for the other one.
"""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Row

from vault.errors import LogBroken, NotContinued
from vault.tlog import anchoring as anchors
from vault.tlog import sequencing
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
    if others := anchors.forgotten(shop.logs, shop.clock()):
        due |= {log.tenant_id: log for log in anchors.rows_of(shop.records, others)}
    return looks + [partial(_anchor, shop, log) for log in due.values()]


def _is_known(shop: Workshop, tenant: str) -> bool:
    return tenant in shop.logs.seen and tenant not in shop.logs.unsure


def _waiting(shop: Workshop) -> list[str]:
    now = monotonic()
    return [each for each in sequencing.waiting(shop.records) if shop.logs.resting.get(each, 0.0) <= now]


def _moved(shop: Workshop) -> list[str]:
    """Every few seconds, the known logs that are elsewhere than this worker saw them."""
    watch, now = shop.logs, monotonic()
    if now - watch.followed < FOLLOW_SECONDS:
        return []
    watch.followed, there = now, sequencing.sizes(shop.records)
    known = ((tenant, (seen.generation, seen.size)) for tenant, seen in [*watch.seen.items()])
    moved = [tenant for tenant, place in known if there.get(tenant, place) != place and _is_known(shop, tenant)]
    return [tenant for tenant in moved if watch.resting.get(tenant, 0.0) <= now]


def _follow(shop: Workshop, tenant: str) -> bool:
    watch = shop.logs
    watch.resting[tenant] = monotonic() + watch.rest
    try:
        watch.seen[tenant] = sequencing.follow(shop.records, shop.keyring, tenant, watch.seen[tenant])
    except NotContinued:
        watch.unsure.add(tenant)  # the other lane looks at it, once there is something to be placed
    watch.resting.pop(tenant, None)
    return False


def _place(shop: Workshop, tenant: str) -> bool:
    watch, known = shop.logs, shop.logs.seen[tenant]
    watch.resting[tenant] = monotonic() + watch.rest
    most = sequencing.batch(shop.records)
    try:
        now = sequencing.sequence(shop.records, shop.keyring, tenant, shop.clock(), most, known)
    except NotContinued:
        watch.unsure.add(tenant)  # the other lane looks at it
        now = known
    watch.resting.pop(tenant, None)
    if now is None:
        _refuse_held(shop, tenant)
        return False
    watch.held.pop(tenant, None)
    watch.seen[tenant] = now
    return now.size - known.size == most


def _refuse_held(shop: Workshop, tenant: str) -> None:
    """Another worker has the log's row for moments. Raises LogBroken where somebody has it for longer."""
    since = shop.logs.held.setdefault(tenant, monotonic())
    if monotonic() - since > shop.logs.rest:
        raise LogBroken(
            f"Somebody holds the row of {tenant}'s audit log, so that nothing is signed. Find that session."
        )


def _look(shop: Workshop, tenant: str) -> bool:
    shop.logs.resting[tenant] = monotonic() + shop.logs.rest
    anchors.look(shop.records, shop.keyring, shop.logs, caller_of(shop, tenant, live=True))
    shop.logs.resting.pop(tenant, None)
    return True


def _anchor(shop: Workshop, log: Row[Any]) -> bool:
    anchors.anchor(shop.records, shop.keyring, shop.logs, log, shop.clock())
    return True
