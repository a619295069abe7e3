"""Delivering events: signed, tried for three days, at least once each.

The `webhook-id` is the event's id, so that a receiver knows a repeat. Signatures and headers are those of Standard
Webhooks (github.com/standard-webhooks/standard-webhooks, version 1).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, Row, and_, delete, select, update
from standardwebhooks.webhooks import Webhook

from keys.database import reading, transaction
from vault import leases
from vault.canonical import canonical
from vault.columns import database_clock, once
from vault.conditions import given, of_row, spelled, together
from vault.events import events, webhook_endpoints
from vault.outgoing import Posted, failure
from vault.statements import write
from vault.tables import event_deliveries as deliveries
from vault.tables import events as event_table
from vault.tables import tenants
from vault.tables import webhook_endpoints as endpoint_table
from vault.workshop import Workshop, caller_of

RETRIED_FOR = timedelta(days=3)
KEPT_DAYS = 30
LEASE_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 5, 3600
BATCH = 100


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the body's bytes, and the headers that sign them."""

    body: bytes
    headers: dict[str, str]


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some deliveries whose turn it is, with their event and their endpoint."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of an attempt; whether this process got it."""
    still, tries = deliveries.c.state == "pending", deliveries.c.attempts + 1
    return leases.take(shop.records, deliveries, row, "next_attempt_at", LEASE_SECONDS, still, attempts=tries)


def deliver(shop: Workshop, row: Row[Any], failing: set[tuple[str, str]]) -> bool:
    """Send one, and write down what came of it; whether it arrived. A host among `failing` is not called again now."""
    url, at = webhook_endpoints.address(shop.keyring, row), shop.clock()
    host = (row.tenant_id, urlsplit(url).netloc)
    if host in failing:
        return False
    outcome = shop.post(url, *_parts(message(shop, row, at)))
    why = failure(outcome)
    status = outcome.status if isinstance(outcome, Posted) else None
    failing.update({host} if why else ())
    with transaction(shop.records) as tx:
        seen = {"last_status": status, "last_error": why, "first_attempt_at": row.first_attempt_at or at}
        tx.execute(update(deliveries).where(of_row(deliveries, row)).values(**seen, **_next(row, why, at)))
        _judge(tx, shop, row, at, well=why is None)
    return why is None


def message(shop: Workshop, row: Row[Any], at: datetime) -> Message:
    """An event as it is sent at that moment, signed with each secret that is good then."""
    body = canonical(
        {
            "id": row.event_id,
            "type": row.type,
            "created_at": row.created_at.isoformat(),
            "live": row.live,
            "data": json.loads(row.data),
        }
    )
    secrets = webhook_endpoints.signing(shop.keyring, row, at)
    signatures = (Webhook(secret.value).sign(row.event_id, at, body.decode()) for secret in secrets)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Panless",
        "webhook-id": row.event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return Message(body=body, headers=headers)


def _parts(sent: Message) -> tuple[bytes, dict[str, str]]:
    return sent.body, sent.headers


def _next(row: Row[Any], why: str | None, at: datetime) -> dict[str, Any]:
    """Delivered, given up after three days, or tried again, later each time."""
    if why is None:
        return {"state": "delivered", "delivered_at": at}
    if row.first_attempt_at is not None and at - row.first_attempt_at >= RETRIED_FOR:
        return {"state": "failed"}
    return {"next_attempt_at": database_clock(leases.pause(row.attempts, first=FIRST_PAUSE, longest=LONGEST_PAUSE))}


def _judge(tx: Connection, shop: Workshop, row: Row[Any], at: datetime, *, well: bool) -> None:
    """An endpoint that has answered nothing for three days is disabled, and its tenant finds an event that says so."""
    this = and_(endpoint_table.c.tenant_id == row.tenant_id, endpoint_table.c.endpoint_id == row.endpoint_id)
    if well:
        if row.failing_since is not None:
            tx.execute(update(endpoint_table).where(this).values(failing_since=None))
        return
    if row.failing_since is None:
        fresh = endpoint_table.c.failing_since.is_(None)
        tx.execute(update(endpoint_table).where(this, fresh).values(failing_since=at))
    elif at - row.failing_since >= RETRIED_FOR:
        off = update(endpoint_table).where(this, endpoint_table.c.state == "enabled").values(state="disabled")
        if tx.execute(off).rowcount == 1:
            data = {"id": row.endpoint_id, "object": "webhook_endpoint", "status": "disabled"}
            caller = caller_of(shop, row.tenant_id, live=row.live)
            write(tx, events.made(caller, "webhook_endpoint.disabled", row.endpoint_id, data))


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
_DUE = (
    select(
        deliveries,
        event_table.c.type,
        event_table.c.data,
        event_table.c.live,
        endpoint_table.c.address,
        endpoint_table.c.address_version,
        endpoint_table.c.secrets,
        endpoint_table.c.secrets_version,
        endpoint_table.c.failing_since,
    )
    .join(event_table, together(event_table, deliveries, "event_id"))
    .join(endpoint_table, together(endpoint_table, deliveries, "endpoint_id"))
    .where(
        spelled(deliveries.c.state, "pending"),
        deliveries.c.next_attempt_at <= database_clock(),
        endpoint_table.c.state == "enabled",
    )
    .order_by(deliveries.c.next_attempt_at, deliveries.c.created_at)
    .limit(BATCH)
)
