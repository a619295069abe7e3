"""Processor accounts: one account at one processor, of one tenant. Credentials go in, never out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import insert, update_row, write
from rows.conditions import given
from rows.engine import reading
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Blocked, MovedOn, NotFoundHere, NotUsable
from vault.ids import new_id
from vault.once import Once
from vault.personal import Secret
from vault.processing import account_needs, account_proofs, doubt, intents
from vault.processing.account_proofs import Before, Proof
from vault.processing.processor import Processor
from vault.sealing import open_own, place_of, seal_value
from vault.tables import processor_accounts, tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What may be shown of a processor account."""

    id: str
    kind: str
    live: bool
    label: str
    is_default: bool
    is_proven: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a processor account proves itself with, and what its webhooks are signed with."""

    api_key: Secret = field(repr=False)
    webhook_secret: Secret | None = field(default=None, repr=False)


def add(
    desk: Desk,
    processors: Mapping[str, Processor],
    *,
    kind: str,
    label: str,
    credentials: Mapping[str, str],
    default: bool,
    attempt: intents.Attempt,
) -> Once[Account]:
    """Add an account in the caller's mode; the first of a mode is its default.

    The processor is asked whose account it is; one that does not answer now is asked again by the worker's walk.
    Raises Invalid for a key of the other mode and one that is refused.
    """
    account_id, processor, key = new_id("pa", desk.caller.tenant), processors[kind], Secret(credentials["api_key"])
    account_proofs.refuse_other_mode(processor, key, live=desk.caller.live)
    proof = account_proofs.of_new(processor, key)
    own_id = proof.own_id if proof else None
    known_on = doubt.known_on(desk, processor, key) if proof else None
    with audit.transaction(desk.records) as tx:
        _take_turns(tx, desk.caller)
        first = _default(tx, desk.caller) is None
        intent = intents.begin(desk, tx, attempt, resource_id=account_id)
        if intent is not None:
            if default and not first:
                tx.execute(update(processor_accounts).where(_theirs(desk.caller)).values(is_default=False))
            sealed = _seal(desk.keyring, desk.caller.tenant, account_id, _with_own_id(credentials, own_id))
            row = {
                "tenant_id": desk.caller.tenant,
                "account_id": account_id,
                "kind": kind,
                "live": desk.caller.live,
                "label": label,
                "credentials": sealed,
                "proven_at": desk.caller.at if proof and proof.is_proven else None,
                "named": account_proofs.named(desk.keyring, desk.caller.tenant, kind, own_id) if own_id else None,
                "known_on": known_on if not doubt.is_any(tx, desk.caller) else None,
                "is_default": default or first,
                "created_at": desk.caller.at,
            }
            insert(tx, processor_accounts, row)
            intents.finish(tx, intent)
            audit.record(desk, tx, "processor_account.add", resource=account_id, details={"kind": kind})
    if intent is None:
        before = intents.replayed(desk, attempt)
        account_id = before.resource_id if before else account_id
    return Once(read(desk, account_id), replayed=intent is None)


def _with_own_id(credentials: Mapping[str, str], own_id: str | None) -> dict[str, str]:
    return {**credentials, **({"own_id": own_id} if own_id is not None else {})}


def read(desk: Desk, account_id: str) -> Account:
    """One account of the caller's mode. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        return _account(_one(connection, desk.caller, account_id))


def list_accounts(desk: Desk) -> Sequence[Account]:
    """All accounts of the caller's mode, oldest first."""
    statement = select(processor_accounts).where(_theirs(desk.caller)).order_by(processor_accounts.c.created_at)
    with reading(desk.records) as connection:
        return [_account(row) for row in connection.execute(statement)]


def change(desk: Desk, processors: Mapping[str, Processor], account_id: str, credentials: Mapping[str, str]) -> Account:
    """Put those credentials that are named in place of the ones before; what waited for them is tried at once.

    The secret of webhooks is known later than the account: a processor asks for our address first. Raises NotFoundHere,
    Invalid for a key of the other mode and one that is refused, NotUsable for another account's (`other_account`), one
    that nothing proves while calls are open (`account_unproven`) and a kind that this deployment lacks,
    ProcessorNotReached where the processor does not say whose it is, MovedOn.
    """
    with reading(desk.records) as connection:
        row = _one(connection, desk.caller, account_id)
        whole = {**_opened(desk.keyring, desk.caller.tenant, row), **credentials}
        before = account_proofs.before(connection, row, whole.get("own_id"))
    proof = _proof(desk.keyring, processors, row, before, whole) if "api_key" in credentials else None
    proven = {"proven_at": desk.caller.at if proof.is_proven else None} if proof else {}
    with audit.transaction(desk.records) as tx:
        is_unproven = proof is not None and not proof.is_proven
        if is_unproven and account_needs.INTENTS in account_needs.found(tx, desk.caller.tenant, account_id):
            raise NotUsable("account_unproven", account_proofs.BY_NOBODY)
        if not _put(
            tx, desk.keyring, row, _with_own_id(whole, proof.own_id) if proof else whole, **proven, walk_at=None
        ):
            raise MovedOn("Others changed this account at the same time. Try again.")
        write(tx, *account_needs.tried_at_once(desk.caller.tenant, account_id, desk.caller.at))
        audit.record(desk, tx, "processor_account.update", resource=account_id)
    return read(desk, account_id)


def _proof(
    keyring: Keyring, processors: Mapping[str, Processor], row: Row[Any], before: Before, whole: Mapping[str, str]
) -> Proof:
    if row.kind not in processors:
        raise NotUsable("processor_account_unusable", f"This deployment has no processor {row.kind} to ask.")
    processor, key = processors[row.kind], Secret(whole["api_key"])
    account_proofs.refuse_other_mode(processor, key, live=row.live)
    return account_proofs.of_known(keyring, processor, before, key)


def prove(desk: Desk, processor: Processor, row: Row[Any]) -> None:
    """Ask again whose account one is that is not proven, and keep it, once the key or a customer of ours there says so.

    Raises NotUsable (`other_account`), Invalid where the key is refused, ProcessorNotReached.
    """
    whole = _opened(desk.keyring, row.tenant_id, row)
    with reading(desk.records) as connection:
        before = account_proofs.before(connection, row, whole.get("own_id"))
    proof = account_proofs.of_known(desk.keyring, processor, before, Secret(whole["api_key"]))
    if proof.is_proven:
        with audit.transaction(desk.records) as tx:
            if _put(tx, desk.keyring, row, _with_own_id(whole, proof.own_id), proven_at=desk.caller.at):
                audit.record(desk, tx, "processor_account.prove", resource=row.account_id)


def _put(tx: Connection, keyring: Keyring, row: Row[Any], whole: Mapping[str, str], **also: Any) -> bool:  # noqa: ANN401  # columns of the table
    """Put other credentials in place of those in `row`, unless somebody was faster."""
    version = row.credentials_version + 1
    key = {name: getattr(row, name) for name in ("tenant_id", "account_id", "credentials_version")}
    sealed = _seal(keyring, row.tenant_id, row.account_id, whole, version)
    return update_row(tx, processor_accounts, key, {"credentials": sealed, "credentials_version": version, **also})


def delete(desk: Desk, account_id: str) -> None:
    """Take an account out of use and destroy its credentials.

    Raises Blocked while tokens need it or its processor must still be asked or told something, NotFoundHere.
    """
    with audit.transaction(desk.records) as tx:
        _one(tx, desk.caller, account_id)
        _refuse_while_needed(tx, desk.caller, account_id)
        key = {"tenant_id": desk.caller.tenant, "account_id": account_id}
        update_row(
            tx, processor_accounts, key, {"deleted_at": desk.caller.at, "credentials": None, "is_default": False}
        )
        audit.record(desk, tx, "processor_account.delete", resource=account_id)


def _refuse_while_needed(tx: Connection, caller: Caller, account_id: str) -> None:
    """Its key is what tells a processor of an erasure: an account is needed until the last redaction there, too."""
    needs = account_needs.found(tx, caller.tenant, account_id)
    if needs:
        raise Blocked([*needs], {name: until for name, until in needs.items() if until is not None})


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
    place = _place(keyring, tenant, row.account_id, row.credentials_version)
    return open_own(keyring, "secrets", row.credentials, place)


def by_id(connection: Connection, tenant: str, account_id: str) -> Row[Any]:
    """The row of an account, a deleted one too."""
    return connection.execute(_ANY, {"of_tenant": tenant, "of_account": account_id}).one()


def _seal(keyring: Keyring, tenant: str, account_id: str, credentials: Mapping[str, str], version: int = 1) -> bytes:
    place = _place(keyring, tenant, account_id, version)
    return seal_value(keyring.tenant_key(tenant, "secrets"), credentials, place)


def _place(keyring: Keyring, tenant: str, account_id: str, version: int) -> Context:
    return place_of(keyring, tenant, "processor_accounts", "credentials", account_id, version=version)


def _theirs(caller: Caller) -> ColumnElement[bool]:
    return and_(
        processor_accounts.c.tenant_id == caller.tenant,
        processor_accounts.c.live == caller.live,
        processor_accounts.c.deleted_at.is_(None),
    )


_ANY = select(processor_accounts).where(given(processor_accounts, "account_id"))
_DEFAULT = select(processor_accounts).where(
    given(processor_accounts, "live"),
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
    return connection.execute(_DEFAULT, {"of_tenant": caller.tenant, "of_live": caller.live}).one_or_none()


def _take_turns(tx: Connection, caller: Caller) -> None:
    """Of a tenant's accounts that are added at once each sees those before it, so that one default is left."""
    its = select(tenants.c.tenant_id).where(tenants.c.tenant_id == caller.tenant)
    tx.execute(its.with_for_update(key_share=True))  # foreign keys to the tenant go on being checked


def _account(row: Row[Any]) -> Account:
    return Account(
        id=row.account_id,
        kind=row.kind,
        live=row.live,
        label=row.label,
        is_default=row.is_default,
        is_proven=row.proven_at is not None,
        created_at=row.created_at,
    )
