"""What tests of events share: a tenant's server, and endpoints that lead there."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from house import Tenant, make_app
from sqlalchemy import delete, update

from keys.database import transaction
from vault.lanes.news import deliver_once
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
    reported: list[tuple[str, Exception]] = []
    deliver_once(shop.house.components.workshop, lambda what, error: reported.append((what, error)))
    return reported


def waiting(shop: Tenant, **ago: float) -> None:
    """Let the attempts that are to come be due now, and what failed have begun to fail so long ago."""
    with transaction(shop.house.components.records) as tx:
        mine = event_deliveries.c.tenant_id == shop.id
        tx.execute(update(event_deliveries).where(mine).values(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC)))
        if ago:
            then = datetime.now(UTC) - timedelta(**ago)
            tx.execute(update(event_deliveries).where(mine).values(first_attempt_at=then))
            tx.execute(
                update(webhook_endpoints).where(webhook_endpoints.c.tenant_id == shop.id).values(failing_since=then)
            )
