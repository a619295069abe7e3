"""Lanes of telling: controllers how their requests stand, tenants what happened."""

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Row

from vault.events import delivery, queueing
from vault.lanes.steps import Report, guarded
from vault.protocols import callbacks
from vault.workshop import Workshop, desk_of

TELLING_SECONDS = 5.0
"""After this no further call is begun in a round: servers that hang must not hold up charges or erasures."""

AT_ONCE = 32
"""Endpoints of all tenants: those of one host may all begin to hang at the same moment."""

LOOK_SECONDS = 0.5
"""How long what just happened waits at most for somebody to see it, while calls are under way."""


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
    desk = desk_of(shop, row.tenant_id, live=row.live)
    return callbacks.tell(desk, shop.tellers, row, failing)


def deliver_once(shop: Workshop, report: Report, seconds: float = TELLING_SECONDS) -> int:
    """Tell tenants what happened, at endpoints that answer; after so many `seconds` no further turn is begun."""
    return _take_turns(shop, report, delivery.ANSWERING, seconds)


def retry_once(shop: Workshop, report: Report, seconds: float = TELLING_SECONDS) -> int:
    """Deliver to endpoints that did not answer last: in a lane of its own, calls which hang hold up no other."""
    return _take_turns(shop, report, delivery.FAILING, seconds)


def _take_turns(shop: Workshop, report: Report, which: ColumnElement[bool], seconds: float) -> int:
    """Endpoints' turns, several at once; at how many something arrived.

    Whoever comes in between has the next turn that is free: nobody waits for the calls that are under way.
    """
    ended, end, under_way = 0, monotonic() + seconds, set[Future[bool]]()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            if monotonic() < end:
                queueing.fan_out(shop)
                for row in delivery.due(shop, which, AT_ONCE - len(under_way)):
                    if delivery.take_up(shop, row):
                        turn = partial(delivery.deliver, shop, row)
                        under_way.add(pool.submit(guarded, report, "event", turn))
            if not under_way:
                return ended
            done, under_way = wait(under_way, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            ended += sum(turn.result() for turn in done)
