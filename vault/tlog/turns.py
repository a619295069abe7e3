"""Whose turn it is among the logs, in the two lanes that the worker has for them.

The lane that places asks no anchor, which may hang: a log that this worker has not looked at waits for the other one.
"""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Row

from vault.tlog import anchoring as anchors
from vault.tlog import sequencing
from vault.workshop import Workshop, caller_of

RESTING_SECONDS = 30.0
"""How long a log is left alone whose turn failed: it must not hold up the others."""

Step = Callable[[], bool]


def placing(shop: Workshop) -> list[Step]:
    """A turn for each log with entries to be placed; each says whether there is more to be done at once."""
    due = (each for each in _waiting(shop) if anchors.is_continued(shop.records, shop.logs, each))
    return [partial(_place, shop, tenant) for tenant in due]


def anchoring(shop: Workshop) -> list[Step]:
    """A look at each log that is new to this worker or has become shorter, and an anchor for each that is due."""
    unseen = [each for each in _waiting(shop) if not anchors.is_continued(shop.records, shop.logs, each)]
    looks: list[Step] = [partial(_look, shop, tenant) for tenant in unseen]
    store = shop.logs.anchors
    if store is None:
        return looks
    return looks + [partial(_anchor, shop, store, log) for log in anchors.unanchored(shop.records, shop.clock())]


def _waiting(shop: Workshop) -> list[str]:
    now = monotonic()
    return [each for each in sequencing.waiting(shop.records) if shop.logs.resting.get(each, 0.0) <= now]


def _place(shop: Workshop, tenant: str) -> bool:
    shop.logs.resting[tenant] = monotonic() + RESTING_SECONDS
    placed = sequencing.sequence(shop.records, shop.keyring, tenant, shop.clock())
    anchors.note_seen(shop.records, shop.logs, tenant)
    del shop.logs.resting[tenant]
    return placed == sequencing.BATCH


def _look(shop: Workshop, tenant: str) -> bool:
    shop.logs.resting[tenant] = monotonic() + RESTING_SECONDS
    anchors.look(shop.records, shop.keyring, shop.logs, caller_of(shop, tenant, live=True))
    del shop.logs.resting[tenant]
    return True


def _anchor(shop: Workshop, store: anchors.AnchorStore, log: Row[Any]) -> bool:
    anchors.anchor(shop.records, store, log, shop.clock())
    return True
