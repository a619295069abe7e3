"""What need not be remembered any longer goes: idempotency keys that nobody sends again, events that are not repeated.

Some rows at a time, along an index that has nothing else: what has gathered in a year would be more than a database
deletes within the time that a statement has.
"""

from datetime import datetime

from sqlalchemy import ScalarSelect, and_

from rows.clock import database_clock, once
from rows.conditions import spelled
from rows.deleting import delete_some
from vault.processing import intents
from vault.recovering import webhooks_in
from vault.tables import intents as intent_table
from vault.tables import webhook_inbox
from vault.workshop import Workshop


def forget_keys(shop: Workshop) -> bool:
    """Delete some intents that ended `intents.KEEP_DAYS` ago, with the client's key; whether there were any."""
    since = intent_table.c.finished_at
    old = and_(spelled(intent_table.c.state, "done"), since < _ago(intents.KEEP_DAYS))
    return delete_some(shop.records, intent_table, old, since)


def forget_webhooks(shop: Workshop) -> bool:
    """Delete some events of processors that came `webhooks_in.KEPT_DAYS` ago; whether there were any.

    Those that a human must see stay.
    """
    since = webhook_inbox.c.received_at
    old = and_(spelled(webhook_inbox.c.state, *webhooks_in.ENDS), since < _ago(webhooks_in.KEPT_DAYS))
    return delete_some(shop.records, webhook_inbox, old, since)


def _ago(days: int) -> ScalarSelect[datetime]:
    return once(database_clock(-days * 24 * 3600))
