"""What need not be remembered any longer goes: idempotency keys that nobody sends again, events that are not repeated.

Some rows at a time, the oldest first, along an index that has nothing else: what has gathered in a year would be more
than a database deletes within the time that a statement has.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Table, and_, bindparam, delete, select

from keys.database import transaction
from vault.columns import database_clock, once
from vault.conditions import spelled
from vault.processing import intents
from vault.recovering import webhooks_in
from vault.tables import intents as intent_table
from vault.tables import webhook_inbox
from vault.workshop import Workshop

AT_ONCE = 500
"""Rows that one transaction deletes."""


def forget_keys(shop: Workshop) -> bool:
    """Delete some intents that ended `intents.KEEP_DAYS` ago, with the client's key; whether there were any."""
    ended = spelled(intent_table.c.state, "done")
    return _forget(shop, intent_table, ended, intent_table.c.finished_at, intents.KEEP_DAYS)


def forget_webhooks(shop: Workshop) -> bool:
    """Delete some events of processors that came `webhooks_in.KEPT_DAYS` ago; whether there were any.

    Those that a human must see stay.
    """
    ended = spelled(webhook_inbox.c.state, *webhooks_in.ENDS)
    return _forget(shop, webhook_inbox, ended, webhook_inbox.c.received_at, webhooks_in.KEPT_DAYS)


def _forget(shop: Workshop, table: Table, ended: ColumnElement[bool], since: ColumnElement[Any], days: int) -> bool:
    key = {f"of_{column.name}": column for column in table.primary_key}
    old = select(*(column.label(name) for name, column in key.items())).where(ended, since < _ago(days))
    this = and_(ended, *(column == bindparam(name) for name, column in key.items()))
    with transaction(shop.records) as tx:
        doomed = [dict(row) for row in tx.execute(old.order_by(since).limit(AT_ONCE)).mappings()]
        if doomed:
            tx.execute(delete(table).where(this), doomed)
    return bool(doomed)


def _ago(days: int) -> ScalarSelect[datetime]:
    return once(database_clock(-days * 24 * 3600))
