"""Webhooks in: stored before they are answered, applied by the worker, which asks the processor how things stand.

What is stored is which objects an event names, never what it says of them: so that order and repetition do not matter.
None is dropped: one that came to nothing is listed, for a human (`webhooks_left`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, select, update

from keys.keyring import Keyring
from rows.changes import write
from rows.clock import database_clock
from rows.conditions import of_row, spelled, together
from rows.engine import reading, transaction
from rows.tenants import EVERY, for_tenant
from vault import leases
from vault.errors import NeedsHuman
from vault.ids import is_id
from vault.processing import accounts, inbox
from vault.processing.connecting import Processors
from vault.recovering import webhook_looks
from vault.recovering.webhook_looks import Seen
from vault.tables import processor_accounts as account_table
from vault.tables import webhook_inbox
from vault.turns import a_few_of_each
from vault.workshop import Workshop

LEASE_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 2, 600
GIVEN_UP_AFTER = timedelta(days=3)
"""When the processor is asked no more about an event of which it did not say anything."""

UNMATCHED_AFTER = timedelta(hours=24)
"""How long an event about something of ours waits for the row of it."""

KEPT_DAYS = 90
"""How long an event's digest is remembered: Stripe repeats one for three days, and lets it be sent again for 30."""

ENDS = (Seen.APPLIED, Seen.IGNORED)


def receive(
    records: Engine,
    keyring: Keyring,
    processors: Processors,
    account_id: str,
    body: bytes,
    headers: Mapping[str, str],
    at: datetime,
) -> bool:
    """Store a genuine event, once; False for one that is not genuine, or of an account that is not there."""
    if not is_id(account_id, "pa"):  # nor would PostgreSQL take every string
        return False
    there = select(account_table).where(account_table.c.account_id == account_id, account_table.c.deleted_at.is_(None))
    with reading(for_tenant(records, EVERY)) as connection:
        account = connection.execute(there).one_or_none()
    processor = processors.get(account.kind) if account is not None else None
    if account is None or processor is None:
        return False
    tenant = account.tenant_id
    secret = accounts.credentials_of(keyring, tenant, account).webhook_secret
    notice = processor.parse_webhook(body, headers, secret=secret, now=at) if secret is not None else None
    if notice is None:
        return False
    named = {name: getattr(notice, name) for name in ("payment", "method", "dispute", "setup")}
    kept = inbox.kept(keyring, tenant, account_id, event=notice.event, kind=notice.type, named=named, at=at)
    with transaction(for_tenant(records, tenant)) as tx:
        write(tx, kept)
    return True


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some events whose turn it is, of each account a few, with its mode and since when it is proven."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of an attempt; whether this process got it."""
    still, tries = webhook_inbox.c.state == "pending", webhook_inbox.c.attempts + 1
    return leases.take(shop.records, webhook_inbox, row, "next_attempt_at", LEASE_SECONDS, still, attempts=tries)


def apply(shop: Workshop, row: Row[Any]) -> bool | None:
    """Look into an event that was taken up: True where it came to its end, False where the processor did not say.

    None where it waits for its row. Raises NeedsHuman where this was its last try.
    """
    try:
        seen = webhook_looks.look(shop, row)
    except Exception:
        _put_off(shop, row, Seen.SILENT)
        raise
    if seen not in ENDS:
        _put_off(shop, row, seen)
        return False if seen is Seen.SILENT else None
    with transaction(shop.records) as tx:
        tx.execute(update(webhook_inbox).where(of_row(webhook_inbox, row)).values(state=str(seen), named=None))
    return True


def _put_off(shop: Workshop, row: Row[Any], seen: Seen) -> None:
    """Try again after 2, 4, 8 ... seconds; after its last try it is left to a human, with what it names."""
    age = shop.clock() - row.received_at
    is_last = age > (UNMATCHED_AFTER if seen is Seen.WAITS else GIVEN_UP_AFTER)
    left = {"state": "unmatched" if seen is Seen.WAITS else "given_up"}
    later = {"next_attempt_at": database_clock(leases.pause(row.attempts, first=FIRST_PAUSE, longest=LONGEST_PAUSE))}
    with transaction(shop.records) as tx:
        tx.execute(update(webhook_inbox).where(of_row(webhook_inbox, row)).values(left if is_last else later))
    if is_last:
        raise NeedsHuman(f"An event {row.type} of {row.account_id} came to nothing: see `panless webhooks left`.")


_DUE = a_few_of_each(
    select(webhook_inbox, account_table.c.live, account_table.c.proven_at)
    .join(account_table, together(account_table, webhook_inbox, "account_id"))
    .where(spelled(webhook_inbox.c.state, "pending"), webhook_inbox.c.next_attempt_at <= database_clock()),
    webhook_inbox.c.received_at,
)
