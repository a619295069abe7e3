"""Delivering events: tried for three days, at least once each, by turns of the endpoints that something waits for.

Who has an endpoint's turn is the only one that calls it: several deliveries at once, as long as one of them arrives.
Once none does, the endpoint is failing. It is left alone for as long as it has been, an hour at most, then called with
one; so all that waits for it is postponed by its own row, and an attempt is a call. A delivery that was called in vain
has a pause of its own besides: what an endpoint refuses holds up nothing that it takes.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, or_, select, update

from rows.changes import write
from rows.clock import database_clock, once
from rows.conditions import given, of_row, spelled, together
from rows.engine import reading, transaction
from vault import leases
from vault.events import raising, webhook_endpoints
from vault.events.messages import message
from vault.outgoing import NotPosted, Posted, failure
from vault.personal import Secret
from vault.tables import event_deliveries as deliveries
from vault.tables import events as event_table
from vault.tables import tenants
from vault.tables import webhook_endpoints as endpoints
from vault.workshop import Workshop, desk_of

RETRIED_FOR = timedelta(days=3)
KEPT_DAYS = 30
LEASE_SECONDS = 60
TURN_SECONDS = 5.0
"""After so long no further call is begun in an endpoint's turn: with the slowest call, far less than the lease."""

FIRST_PAUSE, LONGEST_PAUSE = 5, 3600
BATCH = 100
AT_ONCE = 8
"""Calls of one endpoint: one that takes a second to answer is told of eight events in it."""

ANSWERING, FAILING = endpoints.c.failing_since.is_(None), endpoints.c.failing_since.is_not(None)


def due(shop: Workshop, which: ColumnElement[bool], most: int) -> Sequence[Row[Any]]:
    """Endpoints whose turn it is, that one first for which a delivery has waited longest."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE.where(which).limit(most)).all()


def take_up(shop: Workshop, endpoint: Row[Any]) -> bool:
    """Take an endpoint's turn; whether this process got it."""
    return leases.take(shop.records, endpoints, endpoint, "next_call_at", LEASE_SECONDS, endpoints.c.state == "enabled")


def deliver(shop: Workshop, endpoint: Row[Any]) -> bool:
    """An endpoint's turn: call it with what is due there, as long as it answers; whether anything arrived.

    Whatever fails here, the turn is over with its lease.
    """
    since, arrived, end = endpoint.failing_since, False, monotonic() + TURN_SECONDS
    call = partial(_call, shop, webhook_endpoints.address(shop.keyring, endpoint))
    queue, at_once = _queue(shop, endpoint), 1 if since else AT_ONCE
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while queue and monotonic() < end:
            at, called, queue = shop.clock(), queue[:at_once], queue[at_once:]
            secrets = webhook_endpoints.signing(shop.keyring, endpoint, at)
            outcomes = [*pool.map(partial(call, secrets, at), called)]
            arrived = _write_down(shop, called, outcomes, at) or arrived
            if all(map(failure, outcomes)):
                since = since or at
                break
            since, at_once = None, AT_ONCE
    _end_turn(shop, endpoint, since)
    return arrived


def _call(shop: Workshop, url: str, secrets: Sequence[Secret], at: datetime, event: Row[Any]) -> Posted | NotPosted:
    sent = message(event, secrets, at)
    return shop.post(url, sent.body, sent.headers)


def _write_down(
    shop: Workshop, called: Sequence[Row[Any]], outcomes: Sequence[Posted | NotPosted], at: datetime
) -> bool:
    """What came of calls, each in its own transaction: a replay locks rows in another order. Whether any arrived."""
    for row, outcome in zip(called, outcomes, strict=True):
        why, now = failure(outcome), shop.clock()
        seen = {
            "attempts": deliveries.c.attempts + 1,
            "last_status": outcome.status if isinstance(outcome, Posted) else None,
            "last_error": why,
            "first_attempt_at": row.first_attempt_at or at,
        }
        became = _next(row, why, now)
        with transaction(shop.records) as tx:
            tx.execute(update(deliveries).where(of_row(deliveries, row)).values(**seen, **became))
        waited = now - (row.first_attempt_at or row.next_attempt_at)
        shop.attempted(str(became.get("state", "postponed")), waited.total_seconds())
    return not all(map(failure, outcomes))


def _next(row: Row[Any], why: str | None, at: datetime) -> dict[str, Any]:
    """Delivered, given up after three days, or tried again, later each time."""
    if why is None:
        return {"state": "delivered", "delivered_at": at}
    if row.first_attempt_at is not None and at - row.first_attempt_at >= RETRIED_FOR:
        return {"state": "failed"}
    return {"next_attempt_at": database_clock(leases.pause(row.attempts, first=FIRST_PAUSE, longest=LONGEST_PAUSE))}


def _end_turn(shop: Workshop, endpoint: Row[Any], since: datetime | None) -> None:
    """Give the turn back, at once or after a pause. What answered nothing for three days is disabled, and told so."""
    this, at = of_row(endpoints, endpoint), shop.clock()
    with transaction(shop.records) as tx:
        tx.execute(update(endpoints).where(this).values(failing_since=since, next_call_at=_pause(since, at)))
        if since is not None and at - since >= RETRIED_FOR:
            off = update(endpoints).where(this, endpoints.c.state == "enabled").values(state="disabled")
            if tx.execute(off).rowcount == 1:
                data = {"id": endpoint.endpoint_id, "object": "webhook_endpoint", "status": "disabled"}
                desk = desk_of(shop, endpoint.tenant_id, live=endpoint.live)
                write(tx, raising.made(desk.caller, "webhook_endpoint.disabled", endpoint.endpoint_id, data))


def _pause(since: datetime | None, at: datetime) -> database_clock | None:
    if since is None:
        return None
    return database_clock(min(max(int((at - since).total_seconds()), FIRST_PAUSE), LONGEST_PAUSE))


def _queue(shop: Workshop, endpoint: Row[Any]) -> Sequence[Row[Any]]:
    theirs = deliveries.c.tenant_id == endpoint.tenant_id, deliveries.c.endpoint_id == endpoint.endpoint_id
    with reading(shop.records) as connection:
        return connection.execute(_WAITING.where(*theirs)).all()


def purge(shop: Workshop) -> int:
    """Delete some events of each tenant that are older than `KEPT_DAYS`, with their deliveries; how many."""
    with reading(shop.records) as connection:
        theirs = connection.scalars(select(tenants.c.tenant_id)).all()
    return sum(_purge(shop, tenant, live=live) for tenant in theirs for live in (True, False))


def _purge(shop: Workshop, tenant: str, *, live: bool) -> int:
    with transaction(shop.records) as tx:
        found = [*tx.scalars(_OLD, {"of_tenant": tenant, "of_live": live})]
        for table in (deliveries, event_table) if found else ():
            tx.execute(delete(table).where(table.c.tenant_id == tenant, table.c.event_id.in_(found)))
    return len(found)


# By tenant and mode, and by the moment: as the index goes that lists have.
_OLD = (
    select(event_table.c.event_id)
    .where(
        given(event_table, "live"),
        event_table.c.created_at < once(database_clock(-KEPT_DAYS * 24 * 3600)),
        event_table.c.state == "out",
    )
    .order_by(event_table.c.created_at)
    .limit(BATCH)
)
_PENDING = spelled(deliveries.c.state, "pending")
_OLDEST: Select[Any] = select(func.min(deliveries.c.next_attempt_at)).where(
    together(deliveries, endpoints, "endpoint_id"), _PENDING
)
_DUE = (
    select(endpoints)
    .where(
        endpoints.c.state == "enabled",
        or_(endpoints.c.next_call_at.is_(None), endpoints.c.next_call_at <= database_clock()),
        _OLDEST.scalar_subquery() <= database_clock(),
    )
    .order_by(_OLDEST.scalar_subquery())
)
_WAITING = (
    select(deliveries, event_table.c.type, event_table.c.data, event_table.c.live)
    .join(event_table, together(event_table, deliveries, "event_id"))
    .where(_PENDING, deliveries.c.next_attempt_at <= database_clock())
    .order_by(deliveries.c.next_attempt_at, deliveries.c.created_at)
    .limit(BATCH)
)
