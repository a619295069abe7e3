"""Events and their deliveries as a tenant sees them: listing, and delivering again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row, and_, select

from rows.engine import reading
from vault import audit, cursors
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.events import queueing, webhook_endpoints
from vault.tables import event_deliveries, events


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event."""

    id: str
    type: str
    resource: str
    live: bool
    data: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event at one endpoint: `pending`, `delivered` or `failed`, and what the last attempt met."""

    event: str
    status: str
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events to list; what is None does not matter."""

    type: str | None = None
    resource: str | None = None
    since: datetime | None = None


def read(desk: Desk, event_id: str) -> Event:
    """One event. Raises NotFoundHere."""
    mine = and_(
        events.c.tenant_id == desk.caller.tenant, events.c.live == desk.caller.live, events.c.event_id == event_id
    )
    with reading(desk.records) as connection:
        row = connection.execute(select(events).where(mine)).one_or_none()
    if row is None:
        raise NotFoundHere("No such event.")
    return _event(row)


def find(desk: Desk, wanted: Filter, page: cursors.Wanted) -> cursors.Page[Event]:
    """Events, newest first."""
    statement = select(events).where(events.c.tenant_id == desk.caller.tenant, events.c.live == desk.caller.live)
    for column, value in ((events.c.type, wanted.type), (events.c.resource_id, wanted.resource)):
        statement = statement if value is None else statement.where(column == value)
    if wanted.since is not None:
        statement = statement.where(events.c.created_at >= wanted.since)
    with reading(desk.records) as connection:
        order = (events.c.created_at, events.c.event_id)
        return cursors.page(connection, statement, order, page, lambda rows: [_event(row) for row in rows])


def deliveries(desk: Desk, endpoint_id: str, page: cursors.Wanted) -> cursors.Page[Delivery]:
    """What was and will be sent to an endpoint, the newest event first. Raises NotFoundHere."""
    sent = event_deliveries
    statement = select(sent).where(sent.c.tenant_id == desk.caller.tenant, sent.c.endpoint_id == endpoint_id)
    with reading(desk.records) as connection:
        endpoint = webhook_endpoints.row_of(connection, desk.caller, endpoint_id)
        order = (sent.c.created_at, sent.c.event_id)
        return cursors.page(connection, statement, order, page, partial(_deliveries, endpoint))


def replay(desk: Desk, endpoint_id: str, *, event: str | None, since: datetime | None) -> int:
    """Deliver one event again, or all since a moment; how many. Raises NotFoundHere."""
    if event is not None:
        read(desk, event)
    with audit.transaction(desk.records) as tx:
        webhook_endpoints.row_of(tx, desk.caller, endpoint_id)
        which = events.c.event_id == event if event is not None else events.c.created_at >= since
        count = queueing.replay(tx, desk.caller, endpoint_id, which)
        webhook_endpoints.end_pause(tx, desk.caller, endpoint_id)
        audit.record(desk, tx, "webhook_endpoint.replay", resource=endpoint_id, details={"events": count})
    return count


def _deliveries(endpoint: Row[Any], rows: Sequence[Row[Any]]) -> list[Delivery]:
    """None is tried before its endpoint is called again."""
    return [
        Delivery(
            event=row.event_id,
            status=row.state,
            attempts=row.attempts,
            last_status=row.last_status,
            last_error=row.last_error,
            next_attempt_at=_later(row.next_attempt_at, endpoint.next_call_at) if row.state == "pending" else None,
            delivered_at=row.delivered_at,
        )
        for row in rows
    ]


def _later(one: datetime, other: datetime | None) -> datetime:
    return one if other is None else max(one, other)


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.event_id,
        type=row.type,
        resource=row.resource_id,
        live=row.live,
        data=json.loads(row.data),
        created_at=row.created_at,
    )
