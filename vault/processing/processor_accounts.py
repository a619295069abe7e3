"""Processor accounts: one account at one processor, of one tenant. Credentials go in, never out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, func, insert, select, update

from keys.database import reading
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.errors import Blocked, NotFoundHere, NotUsable
from vault.ids import new_id
from vault.personal import Secret
from vault.processing import intents
from vault.sealing import open_own, place_of, seal_value
from vault.statements import update_row
from vault.tables import erasure_recipients, processor_accounts, tenants, tokens
from vault.tables import intents as intent_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What may be shown of a processor account."""

    id: str
    kind: str
    live: bool
    label: str
    is_default: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a processor account proves itself with, and what its webhooks are signed with."""

    api_key: Secret = field(repr=False)
    webhook_secret: Secret | None = field(default=None, repr=False)


def add(
    records: Engine,
    keyring: Keyring,
    caller: Caller,
    *,
    kind: str,
    label: str,
    credentials: Mapping[str, str],
    default: bool,
    attempt: intents.Attempt,
) -> tuple[Account, bool]:
    """Add an account in the caller's mode; the first of a mode is its default. Also whether it is a replay."""
    account_id = new_id("pa", caller.tenant)
    with audit.transaction(records) as tx:
        _take_turns(tx, caller)
        first = _default(tx, caller) is None
        intent = intents.begin(tx, keyring, caller, attempt, resource_id=account_id)
        if intent is not None:
            if default and not first:
                _clear_default(tx, caller)
            sealed = _seal(keyring, caller.tenant, account_id, credentials)
            tx.execute(
                insert(processor_accounts),
                {
                    "tenant_id": caller.tenant,
                    "account_id": account_id,
                    "kind": kind,
                    "live": caller.live,
                    "label": label,
                    "credentials": sealed,
                    "is_default": default or first,
                    "created_at": caller.at,
                },
            )
            intents.finish(tx, intent)
            audit.record(tx, keyring, caller, "processor_account.add", resource=account_id, details={"kind": kind})
    if intent is None:
        with reading(records) as connection:
            before = intents.replayed(connection, keyring, caller, attempt)
        account_id = before.resource_id if before else account_id
    return read(records, caller, account_id), intent is None


def read(records: Engine, caller: Caller, account_id: str) -> Account:
    """One account of the caller's mode. Raises NotFoundHere."""
    with reading(records) as connection:
        return _account(_one(connection, caller, account_id))


def list_accounts(records: Engine, caller: Caller) -> Sequence[Account]:
    """All accounts of the caller's mode, oldest first."""
    statement = select(processor_accounts).where(_theirs(caller)).order_by(processor_accounts.c.created_at)
    with reading(records) as connection:
        return [_account(row) for row in connection.execute(statement)]


def change(
    records: Engine, keyring: Keyring, caller: Caller, account_id: str, credentials: Mapping[str, str]
) -> Account:
    """Put those credentials that are named in place of the ones before. Raises NotFoundHere.

    The secret of webhooks is known later than the account: a processor asks for our address first.
    """
    with audit.transaction(records) as tx:
        row = _one(tx, caller, account_id)
        version = row.credentials_version + 1
        whole = {**_opened(keyring, caller.tenant, row), **credentials}
        sealed = _seal(keyring, caller.tenant, account_id, whole, version)
        key = {"tenant_id": caller.tenant, "account_id": account_id}
        update_row(tx, processor_accounts, key, {"credentials": sealed, "credentials_version": version})
        audit.record(tx, keyring, caller, "processor_account.update", resource=account_id)
    return _account(row)


def delete(records: Engine, keyring: Keyring, caller: Caller, account_id: str) -> None:
    """Take an account out of use and destroy its credentials.

    Raises Blocked while tokens need it or its processor must still be asked or told something, NotFoundHere.
    """
    with audit.transaction(records) as tx:
        _one(tx, caller, account_id)
        _refuse_while_needed(tx, caller, account_id)
        tx.execute(
            update(processor_accounts)
            .where(processor_accounts.c.tenant_id == caller.tenant, processor_accounts.c.account_id == account_id)
            .values(deleted_at=caller.at, credentials=None, is_default=False)
        )
        audit.record(tx, keyring, caller, "processor_account.delete", resource=account_id)


def _refuse_while_needed(tx: Connection, caller: Caller, account_id: str) -> None:
    """Its key is what tells a processor of an erasure: an account is needed until the last redaction there, too."""
    looks = {
        "active_tokens": (tokens, tokens.c.state.in_(("pending", "requires_action", "active"))),
        "open_intents": (intent_table, intent_table.c.state == "pending"),
        "open_erasures": (erasure_recipients, erasure_recipients.c.result == "pending"),
    }
    reasons = []
    for reason, (table, is_open) in looks.items():
        its = and_(table.c.tenant_id == caller.tenant, table.c.account_id == account_id, is_open)
        if tx.execute(select(table.c.account_id).where(its).limit(1)).first() is not None:
            reasons.append(reason)
    last = tx.execute(_LAST_REDACTION, {"tenant": caller.tenant, "account": account_id}).scalar_one()
    if last is not None:
        reasons.append("scheduled_redactions")
    if reasons:
        raise Blocked(reasons, {"scheduled_redactions": last} if last else None)


def choose(connection: Connection, caller: Caller, account_id: str | None) -> Row[Any]:
    """The account to store a card at: the named one, else the mode's default. Raises NotFoundHere, NotUsable."""
    if account_id is not None:
        return _one(connection, caller, account_id)
    row = _default(connection, caller)
    if row is None:
        raise NotUsable("no_processor_account", "This tenant has no processor account yet. Add one first.")
    return row


def credentials_of(keyring: Keyring, tenant: str, row: Row[Any]) -> Credentials:
    """What a row of `processor_accounts` has sealed."""
    value = _opened(keyring, tenant, row)
    webhook_secret = value.get("webhook_secret")
    return Credentials(
        api_key=Secret(value["api_key"]), webhook_secret=Secret(webhook_secret) if webhook_secret else None
    )


def _opened(keyring: Keyring, tenant: str, row: Row[Any]) -> dict[str, Any]:
    version = row.credentials_version
    place = place_of(keyring, tenant, "processor_accounts", "credentials", row.account_id, version=version)
    return open_own(keyring, "secrets", row.credentials, place)


def by_id(connection: Connection, tenant: str, account_id: str) -> Row[Any]:
    """The row of an account, a deleted one too."""
    return connection.execute(_ANY, {"tenant": tenant, "account": account_id}).one()


def _seal(keyring: Keyring, tenant: str, account_id: str, credentials: Mapping[str, str], version: int = 1) -> bytes:
    place = place_of(keyring, tenant, "processor_accounts", "credentials", account_id, version=version)
    return seal_value(keyring.tenant_key(tenant, "secrets"), credentials, place)


def _theirs(caller: Caller) -> ColumnElement[bool]:
    return and_(
        processor_accounts.c.tenant_id == caller.tenant,
        processor_accounts.c.live == caller.live,
        processor_accounts.c.deleted_at.is_(None),
    )


_ANY = select(processor_accounts).where(
    processor_accounts.c.tenant_id == bindparam("tenant"), processor_accounts.c.account_id == bindparam("account")
)
_LAST_REDACTION = select(func.max(erasure_recipients.c.next_attempt_at)).where(
    erasure_recipients.c.tenant_id == bindparam("tenant"),
    erasure_recipients.c.account_id == bindparam("account"),
    erasure_recipients.c.result == "scheduled",
)
_DEFAULT = select(processor_accounts).where(
    processor_accounts.c.tenant_id == bindparam("tenant"),
    processor_accounts.c.live == bindparam("live"),
    processor_accounts.c.deleted_at.is_(None),
    processor_accounts.c.is_default,
)


def _one(connection: Connection, caller: Caller, account_id: str) -> Row[Any]:
    statement = select(processor_accounts).where(_theirs(caller), processor_accounts.c.account_id == account_id)
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFoundHere("No such processor account.")
    return row


def _default(connection: Connection, caller: Caller) -> Row[Any] | None:
    return connection.execute(_DEFAULT, {"tenant": caller.tenant, "live": caller.live}).one_or_none()


def _take_turns(tx: Connection, caller: Caller) -> None:
    """Of a tenant's accounts that are added at once each sees those before it, so that one default is left."""
    its = select(tenants.c.tenant_id).where(tenants.c.tenant_id == caller.tenant)
    tx.execute(its.with_for_update(key_share=True))  # foreign keys to the tenant go on being checked


def _clear_default(tx: Connection, caller: Caller) -> None:
    tx.execute(update(processor_accounts).where(_theirs(caller)).values(is_default=False))


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.account_id,
        kind=row.kind,
        live=row.live,
        label=row.label,
        is_default=row.is_default,
        created_at=row.created_at,
    )
