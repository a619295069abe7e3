"""What tests of events share: a tenant's server, and endpoints that lead there."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from house import Tenant, make_app
from sqlalchemy import Table, bindparam, delete, select, update

from rows.changes import write
from rows.engine import reading, transaction
from vault.events import queueing
from vault.events import raising as event_rows
from vault.lanes.news import deliver_once, retry_once
from vault.outgoing import NotPosted, Posted
from vault.tables import event_deliveries, webhook_endpoints

URL = "https://shop.example/hooks"


class Receiver:
    """A tenant's server: it answers as it is told and keeps what it was sent."""

    def __init__(self) -> None:
        self.answer: Posted | NotPosted = Posted(200)
        self.calls: list[tuple[str, bytes, dict[str, str]]] = []

    def post(self, url: str, body: bytes, headers: Any) -> Posted | NotPosted:
        self.calls.append((url, body, dict(headers)))
        return self.answer


def shop_of(tenant: Tenant, receiver: Receiver) -> Tenant:
    """The tenant, its events going to the receiver; nothing is left to deliver of tests before it."""
    with transaction(tenant.house.components.records) as tx:
        tx.execute(delete(event_deliveries))
        tx.execute(delete(webhook_endpoints))
    components = replace(tenant.house.components, post=receiver.post)
    return replace(tenant, house=replace(tenant.house, components=components, app=make_app(components)))


def endpoint(shop: Tenant, **order: object) -> dict[str, Any]:
    answer = shop.call("POST", "/v1/webhook-endpoints", {"url": URL, **order})
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.get_json()


def parsed(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body)
    return found


def deliver(shop: Tenant) -> list[tuple[str, Exception]]:
    """A round of both lanes; what they reported."""
    reported: list[tuple[str, Exception]] = []
    for lane in (deliver_once, retry_once):
        lane(shop.house.components.workshop, lambda what, error: reported.append((what, error)))
    return reported


def written(shop: Tenant, *tenants: str, count: int = 1) -> None:
    """So many pending events of each tenant, one in turn, a millisecond apart."""
    caller = shop.caller
    with transaction(shop.house.components.records) as tx:
        for number in range(count):
            for tenant in tenants:
                made = replace(caller, tenant=tenant, at=caller.at + timedelta(milliseconds=number))
                write(tx, event_rows.made(made, "charge.succeeded", "chg_x", {"number": number}))


def queued(shop: Tenant, count: int) -> None:
    """So many events more, each queued for the endpoints that want it."""
    parts = shop.house.components.workshop
    while queueing.fan_out(parts):
        pass
    written(shop, shop.id, count=count)
    while queueing.fan_out(parts):
        pass


def let_pass(shop: Tenant, seconds: float) -> None:
    """Let so many seconds go by for what waits: each moment that it has is so much longer ago."""
    _move(shop, event_deliveries, seconds, "first_attempt_at", "next_attempt_at")
    _move(shop, webhook_endpoints, seconds, "failing_since", "next_call_at")


def _move(shop: Tenant, table: Table, seconds: float, *names: str) -> None:
    keys = [column.name for column in table.primary_key]
    mine = table.c.tenant_id == shop.id, table.c.state.in_(("pending", "enabled"))
    with reading(shop.house.components.records) as connection:
        found = connection.execute(select(*(table.c[name] for name in (*keys, *names))).where(*mine)).all()
    ago = timedelta(seconds=seconds)
    values = [
        {f"of_{key}": getattr(one, key) for key in keys}
        | {name: None if getattr(one, name) is None else getattr(one, name) - ago for name in names}
        for one in found
    ]
    these = [table.c[key] == bindparam(f"of_{key}") for key in keys]
    with transaction(shop.house.components.records) as tx:
        if values:
            tx.execute(update(table).where(*these).values({name: bindparam(name) for name in names}), values)


def waiting(shop: Tenant, *, endpoints: bool = True, **ago: float) -> None:
    """Let the attempts that are to come be due now, and what failed have begun to fail so long ago."""
    with transaction(shop.house.components.records) as tx:
        mine = event_deliveries.c.tenant_id == shop.id
        tx.execute(update(event_deliveries).where(mine).values(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC)))
        if endpoints:
            theirs = webhook_endpoints.c.tenant_id == shop.id
            tx.execute(update(webhook_endpoints).where(theirs).values(next_call_at=None))
        if ago:
            then = datetime.now(UTC) - timedelta(**ago)
            tx.execute(update(event_deliveries).where(mine).values(first_attempt_at=then))
            tx.execute(
                update(webhook_endpoints).where(webhook_endpoints.c.tenant_id == shop.id).values(failing_since=then)
            )
