"""Intents that are open: how many, how old; and those that only a human can end."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Row, func, select, update

from keys.database import reading
from keys.tenant_rows import EVERY, for_tenant
from vault import audit
from vault.columns import database_clock
from vault.tables import intents, processor_accounts
from vault.workshop import Workshop, caller_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """`oldest_seconds` is the age of the oldest open one; `differences` is what the last reconciliations found."""

    pending: int
    manual: int
    oldest_seconds: int
    differences: int


def watch(records: Engine, at: datetime) -> Watch:
    """How it stands at the moment `at`."""
    pending, manual_ones = intents.c.state == "pending", intents.c.state == "manual"
    statement = select(
        func.count().filter(pending), func.count().filter(manual_ones), func.min(intents.c.created_at).filter(pending)
    ).where(intents.c.state.in_(("pending", "manual")))
    differences = select(func.coalesce(func.sum(processor_accounts.c.differences), 0))
    with reading(for_tenant(records, EVERY)) as connection:
        open_ones, humans, oldest = connection.execute(statement).one()
        differ = connection.scalar(differences)
    age = int((at - oldest).total_seconds()) if oldest is not None else 0
    return Watch(pending=open_ones, manual=humans, oldest_seconds=max(age, 0), differences=int(differ or 0))


def manual(records: Engine) -> Sequence[Row[Any]]:
    """Those that need a human, the oldest first."""
    with reading(records) as connection:
        return connection.execute(
            select(intents).where(intents.c.state == "manual").order_by(intents.c.created_at)
        ).all()


def retry(shop: Workshop, intent_id: str) -> bool:
    """Give one of them back to the worker, on the record; whether there is such a one."""
    this = intents.c.intent_id == intent_id, intents.c.state == "manual"
    with audit.transaction(shop.records) as tx:
        tenant = tx.scalar(select(intents.c.tenant_id).where(*this).with_for_update())
        if tenant is None:
            return False
        again = {"state": "pending", "attempts": 0, "lease_until": database_clock()}
        tx.execute(update(intents).where(*this).values(again))
        audit.record(tx, shop.keyring, caller_of(shop, tenant, live=True), "intent.retry", resource=intent_id)
    return True
