"""Lanes of telling: controllers how their requests stand, tenants what happened."""

from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import Row

from vault.events import event_delivery, event_queueing
from vault.lanes.steps import Report, guarded
from vault.protocols import callbacks
from vault.workshop import Workshop, caller_of

TELLING_SECONDS = 5.0
"""After this no further callback is begun in a round: servers that hang must not hold up charges or erasures."""


def tell_once(shop: Workshop, report: Report, seconds: float = TELLING_SECONDS) -> int:
    """Tell everybody who wants to hear how a rights request stands, and has not heard of it.

    A host that was called in vain is not called again in this round, so that one that is slow costs one call of it;
    after so many `seconds` no further call is begun.
    """
    told, end = 0, monotonic() + seconds
    failing: set[callbacks.Host] = set()
    for row in callbacks.due(shop.records):
        if monotonic() > end:  # whoever is slow has a pause before the next attempt: the others' turn comes
            break
        if callbacks.take_up(shop.records, row):
            told += guarded(report, "callback", partial(_tell, shop, row, failing))
    return told


def _tell(shop: Workshop, row: Row[Any], failing: set[callbacks.Host]) -> bool:
    caller = caller_of(shop, row.tenant_id, live=row.live)
    return callbacks.tell(shop.records, shop.keyring, shop.tellers, caller, row, failing)


def deliver_once(shop: Workshop, report: Report, seconds: float = TELLING_SECONDS) -> int:
    """Tell tenants what happened; as `tell_once`."""
    done, end = event_queueing.fan_out(shop), monotonic() + seconds
    failing: set[tuple[str, str]] = set()
    for row in event_delivery.due(shop):
        if monotonic() > end:
            break
        if event_delivery.take_up(shop, row):
            done += guarded(report, "event", partial(event_delivery.deliver, shop, row, failing))
    return done
