"""Webhooks in: stored before they are answered, applied by the worker, which asks the processor how things stand.

What is stored is which objects an event names, never what it says of them: so that order and repetition do not matter.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, select, update

from keys.context import Context
from keys.database import reading, transaction
from keys.keyring import Keyring
from keys.tenant_rows import EVERY, for_tenant
from vault.cards import token_updates
from vault.columns import database_clock
from vault.ids import is_id
from vault.money import charge_looking, disputes, refunds_elsewhere
from vault.processing import processor_accounts, references
from vault.processing.processing import Connected, Processors, connect
from vault.processing.processor_answers import Notice
from vault.sealing import open_own, place_of, seal_value
from vault.statements import insert_if_absent
from vault.tables import charges, webhook_inbox
from vault.tables import processor_accounts as account_table
from vault.workshop import Workshop, caller_of

LEASE_SECONDS = 60
FIRST_PAUSE, LONGEST_PAUSE = 2, 600
GIVEN_UP_AFTER = timedelta(days=3)
KEPT_DAYS = 90
"""How long an event's digest is remembered: Stripe repeats one for three days, and lets it be sent again for 30."""

BATCH = 100


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
    secret = processor_accounts.credentials_of(keyring, account.tenant_id, account).webhook_secret
    notice = processor.parse_webhook(body, headers, secret=secret, now=at) if secret is not None else None
    if notice is None:
        return False
    with transaction(for_tenant(records, account.tenant_id)) as tx:
        insert_if_absent(tx, webhook_inbox, _row(keyring, account, notice, at))
    return True


def _row(keyring: Keyring, account: Row[Any], notice: Notice, at: datetime) -> dict[str, Any]:
    tenant, event = account.tenant_id, references.digest(keyring, account.tenant_id, account.account_id, notice.event)
    value = {"payment": notice.payment, "method": notice.method, "dispute": notice.dispute}
    concerns = any(value.values())
    sealed = (
        seal_value(keyring.tenant_key(tenant, "secrets"), value, _place(keyring, tenant, event)) if concerns else None
    )
    return {
        "tenant_id": tenant,
        "account_id": account.account_id,
        "event_digest": event,
        "type": notice.type,
        "named": sealed,
        "state": "pending" if concerns else "ignored",
        "next_attempt_at": at,
        "received_at": at,
    }


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some events whose turn it is, with their account's mode."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of an attempt, longer after each; whether this process got it."""
    mine = and_(_this(row), webhook_inbox.c.state == "pending", webhook_inbox.c.next_attempt_at <= database_clock())
    pause = max(LEASE_SECONDS, min(FIRST_PAUSE * 2 ** min(row.attempts, 12), LONGEST_PAUSE))
    taken = {"next_attempt_at": database_clock(pause), "attempts": webhook_inbox.c.attempts + 1}
    with transaction(shop.records) as tx:
        return tx.execute(update(webhook_inbox).where(mine).values(taken)).rowcount == 1


def apply(shop: Workshop, row: Row[Any]) -> bool:
    """Ask the processor about what an event names, and write down what is seen; whether that was done."""
    named = named_in(shop.keyring, row)
    with reading(shop.records) as connection:
        account = processor_accounts.by_id(connection, row.tenant_id, row.account_id)
    connected = connect(shop.processors, shop.keyring, row.tenant_id, account)
    done = _applied(shop, row, connected, named)
    if done or shop.clock() - row.received_at > GIVEN_UP_AFTER:
        with transaction(shop.records) as tx:
            end = {"state": "applied" if done else "ignored", "named": None}
            tx.execute(update(webhook_inbox).where(_this(row)).values(end))
    return done


def named_in(keyring: Keyring, row: Row[Any]) -> dict[str, str | None]:
    """What an event is about: `{payment, method, dispute}`, by the processor's names. Raises Unreadable."""
    place = _place(keyring, row.tenant_id, row.event_digest, row.named_version)
    return open_own(keyring, "secrets", row.named, place)


def _applied(shop: Workshop, row: Row[Any], connected: Connected, named: Mapping[str, str | None]) -> bool:
    caller = caller_of(shop, row.tenant_id, live=row.live)
    if named["method"]:
        return token_updates.follow(shop.records, shop.keyring, caller, connected, row.account_id, named["method"])
    charge_id = _charge_of(shop, row, named["payment"])
    if charge_id is None:  # a payment that is not ours
        return True
    if named["dispute"]:
        return disputes.follow(
            shop.records, shop.keyring, caller, connected, row.account_id, charge_id, named["dispute"]
        )
    if row.type.startswith("payment_intent."):
        charge_looking.look(shop.records, shop.keyring, shop.processors, caller, charge_id)
        return True
    return refunds_elsewhere.follow(
        shop.records, shop.keyring, caller, connected, row.account_id, charge_id, named["payment"] or ""
    )


def _charge_of(shop: Workshop, row: Row[Any], payment: str | None) -> str | None:
    if payment is None:
        return None
    digest = references.digest(shop.keyring, row.tenant_id, row.account_id, payment)
    mine = and_(charges.c.tenant_id == row.tenant_id, charges.c.live == row.live, charges.c.reference_digest == digest)
    with reading(shop.records) as connection:
        found: str | None = connection.scalar(select(charges.c.charge_id).where(mine))
        return found


def forget_old(shop: Workshop) -> None:
    """Delete what is left of events that are not repeated any more."""
    old = and_(webhook_inbox.c.state != "pending", webhook_inbox.c.received_at < database_clock(-KEPT_DAYS * 86400))
    with transaction(shop.records) as tx:
        tx.execute(delete(webhook_inbox).where(old))


def _place(keyring: Keyring, tenant: str, event: bytes, version: int = 1) -> Context:
    return place_of(keyring, tenant, "webhook_inbox", "named", event, version=version)


def _this(row: Row[Any]) -> ColumnElement[bool]:
    return and_(
        webhook_inbox.c.tenant_id == row.tenant_id,
        webhook_inbox.c.account_id == row.account_id,
        webhook_inbox.c.event_digest == row.event_digest,
    )


_DUE = (
    select(webhook_inbox, account_table.c.live)
    .join(
        account_table,
        and_(
            account_table.c.tenant_id == webhook_inbox.c.tenant_id,
            account_table.c.account_id == webhook_inbox.c.account_id,
        ),
    )
    .where(webhook_inbox.c.state == "pending", webhook_inbox.c.next_attempt_at <= database_clock())
    .order_by(webhook_inbox.c.received_at)
    .limit(BATCH)
)
