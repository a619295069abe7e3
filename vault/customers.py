"""Customers: the people who pay. Who they are is sealed; found again by keyed digests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Label,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from keys.database import reading
from keys.dek import Dek
from keys.keyring import Keyring
from keys.prepared import Prepared
from vault import audit, customer_index, intents, statements
from vault.caller import Caller
from vault.errors import CustomerExists, Erased, NotFoundHere, Restricted
from vault.ids import new_id
from vault.personal import BillingContact
from vault.sealing import place_of, seal_value
from vault.statements import Change
from vault.tables import blind_index, charges, customers, processor_accounts, processor_references, tokens

SEARCH_MOST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """What may be shown of a customer without reading who it is: states and counts."""

    id: str
    status: str
    restricted: bool
    tokens: int
    charges: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer:
    """A customer about to be made; its DEK is in the keystore already."""

    id: str
    dek: Dek
    reference: str | None
    contact: BillingContact | None


def create(
    records: Engine,
    keyring: Keyring,
    caller: Caller,
    *,
    reference: str | None,
    contact: BillingContact | None,
    attempt: intents.Attempt,
) -> tuple[Customer, bool]:
    """A new customer, and whether it is a replay. Raises CustomerExists when the reference is taken."""
    with reading(records) as connection:
        first = intents.replayed(connection, keyring, caller, attempt)
    if first is not None:
        return read(records, caller, first.resource_id), True
    new = prepare(keyring, caller, reference, contact)
    try:
        with audit.transaction(records) as tx:
            intent = intents.begin(tx, keyring, caller, attempt, resource_id=new.id, customer_id=new.id)
            if intent is not None:
                insert_new(tx, keyring, caller, new)
                intents.finish(tx, intent)
    except IntegrityError:
        raise _taken(records, keyring, caller, reference) from None
    if intent is None:
        return create(records, keyring, caller, reference=reference, contact=contact, attempt=attempt)
    return read(records, caller, new.id), False


def prepare(keyring: Keyring, caller: Caller, reference: str | None, contact: BillingContact | None) -> NewCustomer:
    """Make the DEK of a new customer: keystore first, so that no record is ever without its key."""
    customer_id = new_id("cus", caller.tenant)
    dek = keyring.new_dek(caller.tenant, "customer", customer_id)
    return NewCustomer(id=customer_id, dek=dek, reference=reference, contact=contact)


def insert_new(tx: Connection, keyring: Keyring, caller: Caller, new: NewCustomer) -> None:
    """Write a new customer with its index rows and audit entry. Raises IntegrityError if its reference is taken."""
    tx.execute(
        insert(customers),
        {
            "tenant_id": caller.tenant,
            "customer_id": new.id,
            "live": caller.live,
            "state": "active",
            "dek_id": new.dek.id,
            "contact": seal_contact(keyring, caller.tenant, new.id, new.dek, new.reference, new.contact, version=1),
            "contact_version": 1,
            "created_at": caller.at,
        },
    )
    customer_index.write(
        tx, keyring, caller, new.id, {"reference": new.reference, **customer_index.searchable(new.contact)}
    )
    audit.record(tx, keyring, caller, "customer.create", customer=new.id)


def read(records: Engine, caller: Caller, customer_id: str) -> Customer:
    """States and counts of one customer. Raises NotFoundHere, Erased."""
    with reading(records) as connection:
        row = _alive(connection.execute(_counted(caller).where(customers.c.customer_id == customer_id)).one_or_none())
    return _customer(row)


def search(records: Engine, keyring: Keyring, caller: Caller, field: str, value: str) -> Sequence[Customer]:
    """The customers with exactly this email, phone or reference. The look is on the record before they are shown."""
    found = select(blind_index.c.customer_id).where(customer_index.by_value(keyring, caller, field, value))
    statement = _counted(caller).where(customers.c.customer_id.in_(found), customers.c.state == "active")
    with audit.transaction(records) as tx:
        people = [_customer(row) for row in tx.execute(statement.limit(SEARCH_MOST))]
        details = {"field": field, "found": [person.id for person in people]}
        seen: Sequence[str | None] = details["found"] or [None]
        for customer in seen:  # an entry each: every one of them has a right to know who looked
            audit.record(tx, keyring, caller, "customer.search", customer=customer, details=details)
    return people


def row_of(connection: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The row of a customer who can be worked with. Raises NotFoundHere, Erased."""
    return _alive(_ONE.one_or_none(connection, _asked(caller, customer_id)))


def shared_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The same, held against an erasure or a legal hold that would begin before `tx` ends."""
    return _alive(_ONE_HELD.one_or_none(tx, _asked(caller, customer_id)))


def held(caller: Caller, customer_id: str, dek_id: bytes) -> Change:
    """That a customer is active under this DEK, and stays so to the transaction's end: what `write_whole` must find."""
    return statements.held(_HELD_ACTIVE, _asked(caller, customer_id) | {"of_dek": dek_id})


def lone_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The same, held against all others who hold it."""
    return _alive(_ONE_ALONE.one_or_none(tx, _asked(caller, customer_id)))


def any_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The same, of an erased customer too. Raises NotFoundHere."""
    row: Row[Any] | None = _ONE_ALONE.one_or_none(tx, _asked(caller, customer_id))
    if row is None:
        raise NotFoundHere("No such customer.")
    return row


def row_with_reference(connection: Connection, caller: Caller, customer_id: str, account_id: str) -> Row[Any]:
    """The same, with the processor's sealed name for the customer at one account (NULL where it has none)."""
    asked = _asked(caller, customer_id) | {"account": account_id}
    return _alive(_ONE_WITH_REFERENCE.one_or_none(connection, asked))


def refuse_restricted(row: Row[Any]) -> None:
    """Raise Restricted for a customer whose processing is restricted."""
    if row.restricted:
        raise Restricted("Processing is restricted for this customer.")


def seal_contact(
    keyring: Keyring,
    tenant: str,
    customer_id: str,
    dek: Dek,
    reference: str | None,
    contact: BillingContact | None,
    *,
    version: int,
) -> bytes:
    """The sealed class `contact`: who the customer is, and what the tenant calls it."""
    place = place_of(keyring, tenant, "customers", "contact", customer_id, customer=customer_id, version=version)
    return seal_value(dek, {"reference": reference, "contact": asdict(contact) if contact else None}, place)


def _taken(records: Engine, keyring: Keyring, caller: Caller, reference: str | None) -> CustomerExists:
    with reading(records) as connection:
        existing = customer_index.by_reference(connection, keyring, caller, reference or "")
    return CustomerExists(existing or "")


def row_with_default_account(connection: Connection, caller: Caller, customer_id: str) -> Row[Any] | None:
    """The same, at the mode's default account and with what its processor needs; None without either."""
    row = _ONE_WITH_DEFAULT_ACCOUNT.one_or_none(connection, _asked(caller, customer_id))
    return None if row is None else _alive(row)


_THIS = and_(
    customers.c.tenant_id == bindparam("tenant"),
    customers.c.live == bindparam("live"),
    customers.c.customer_id == bindparam("customer"),
)
_KNOWN = select(
    customers.c.tenant_id, customers.c.customer_id, customers.c.state, customers.c.restricted, customers.c.dek_id
).where(_THIS)
_WHOLE = select(customers).where(_THIS)
_ONE = Prepared(_WHOLE)
_ONE_HELD = Prepared(_KNOWN.with_for_update(read=True))
_HELD_ACTIVE = (
    select(customers.c.customer_id)
    .where(_THIS, customers.c.state == "active", customers.c.dek_id == bindparam("of_dek"))
    .with_for_update(read=True)
)
_ONE_ALONE = Prepared(_WHOLE.with_for_update())
_ONE_WITH_REFERENCE = Prepared(
    _KNOWN.add_columns(processor_references.c.reference, processor_references.c.reference_version).outerjoin(
        processor_references,
        and_(
            processor_references.c.tenant_id == customers.c.tenant_id,
            processor_references.c.owner_id == customers.c.customer_id,
            processor_references.c.account_id == bindparam("account"),
        ),
    )
)
_ONE_WITH_DEFAULT_ACCOUNT = Prepared(
    _KNOWN.add_columns(
        processor_references.c.reference,
        processor_references.c.reference_version,
        processor_accounts.c.account_id,
        processor_accounts.c.kind,
        processor_accounts.c.credentials,
        processor_accounts.c.credentials_version,
    )
    .join(
        processor_accounts,
        and_(
            processor_accounts.c.tenant_id == customers.c.tenant_id,
            processor_accounts.c.live == customers.c.live,
            processor_accounts.c.is_default,
            processor_accounts.c.deleted_at.is_(None),
        ),
    )
    .outerjoin(
        processor_references,
        and_(
            processor_references.c.tenant_id == customers.c.tenant_id,
            processor_references.c.owner_id == customers.c.customer_id,
            processor_references.c.account_id == processor_accounts.c.account_id,
        ),
    )
)


def _asked(caller: Caller, customer_id: str) -> dict[str, Any]:
    return {"tenant": caller.tenant, "live": caller.live, "customer": customer_id}


def _mine(caller: Caller) -> Select[Any]:
    return select(customers).where(customers.c.tenant_id == caller.tenant, customers.c.live == caller.live)


def _counted(caller: Caller) -> Select[Any]:
    active = _count(tokens, "tokens", tokens.c.state == "active")
    return _mine(caller).add_columns(active, _count(charges, "charges", true()))


def _count(table: Table, name: str, which: ColumnElement[bool]) -> Label[int]:
    its = and_(table.c.tenant_id == customers.c.tenant_id, table.c.customer_id == customers.c.customer_id, which)
    return select(func.count()).select_from(table).where(its).scalar_subquery().label(name)


def refuse_erased(row: Row[Any]) -> None:
    """Raise Erased for a customer that is, or is being."""
    if row.state != "active":
        raise Erased("This customer was erased.")


def _alive(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFoundHere("No such customer.")
    refuse_erased(row)
    return row


def _customer(row: Row[Any]) -> Customer:
    return Customer(
        id=row.customer_id,
        status=row.state,
        restricted=row.restricted,
        tokens=row.tokens,
        charges=row.charges,
        created_at=row.created_at,
    )
