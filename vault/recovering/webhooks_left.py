"""Events from processors that came to nothing: listed for a human, and given back to the worker on the record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, func, select, update

from rows.clock import database_clock
from rows.conditions import spelled
from rows.engine import reading
from rows.tenants import EVERY, for_tenant
from vault import audit
from vault.tables import processor_accounts, webhook_inbox
from vault.workshop import Workshop, desk_of

LEFT = ("unmatched", "given_up")
"""Ours by its tag, and no row of ours came within a day; nothing that the processor said in three days."""


_LEFT = spelled(webhook_inbox.c.state, *LEFT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How many events of each kind a human has to look at."""

    unmatched: int
    given_up: int


def watch(records: Engine) -> Watch:
    """How many there are, of all tenants."""
    state = webhook_inbox.c.state
    counts = select(state, func.count().label("events")).where(_LEFT).group_by(state)
    with reading(for_tenant(records, EVERY)) as connection:
        found = {row.state: row.events for row in connection.execute(counts).all()}
    return Watch(unmatched=found.get("unmatched", 0), given_up=found.get("given_up", 0))


def listed(records: Engine) -> Sequence[Row[Any]]:
    """The events that came to nothing, the oldest first."""
    statement = select(webhook_inbox).where(_LEFT).order_by(webhook_inbox.c.received_at)
    with reading(records) as connection:
        return connection.execute(statement).all()


def retry(shop: Workshop, account_id: str) -> int:
    """Give an account's events back to the worker for one more try each, on the record; how many there are."""
    account = select(processor_accounts).where(processor_accounts.c.account_id == account_id)
    left = webhook_inbox.c.account_id == account_id, _LEFT
    with audit.transaction(shop.records) as tx:
        row = tx.execute(account).one_or_none()
        if row is None:
            return 0
        again = {"state": "pending", "attempts": 0, "next_attempt_at": database_clock()}
        given: int = tx.execute(update(webhook_inbox).where(*left).values(again)).rowcount
        if given:
            desk = desk_of(shop, row.tenant_id, live=row.live)
            audit.record(desk, tx, "webhook.retry", resource=account_id)
    return given
