"""Customers: the people who pay. Who they are is sealed; found again by keyed digests."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Label,
    Row,
    Select,
    Table,
    and_,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from keys.dek import Dek
from keys.keyring import Keyring
from rows.conditions import together
from rows.engine import reading
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import CustomerExists
from vault.ids import new_id
from vault.once import Once
from vault.people import customer_index
from vault.people.customer_rows import alive
from vault.personal import BillingContact
from vault.processing import intents
from vault.sealing import place_of, seal_value
from vault.tables import blind_index, charges, customers, tokens

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
    desk: Desk, *, reference: str | None, contact: BillingContact | None, attempt: intents.Attempt
) -> Once[Customer]:
    """A new customer. Raises CustomerExists when the reference is taken."""
    first = intents.replayed(desk, attempt)
    if first is not None:
        return Once(read(desk, first.resource_id), replayed=True)
    new = prepare(desk, reference, contact)
    try:
        with audit.transaction(desk.records) as tx:
            intent = intents.begin(desk, tx, attempt, resource_id=new.id, customer_id=new.id)
            if intent is not None:
                insert_new(desk, tx, new)
                intents.finish(tx, intent)
    except IntegrityError:
        raise _taken(desk, reference) from None
    if intent is None:
        return create(desk, reference=reference, contact=contact, attempt=attempt)
    return Once(read(desk, new.id))


def prepare(desk: Desk, reference: str | None, contact: BillingContact | None) -> NewCustomer:
    """Make the DEK of a new customer: keystore first, so that no record is ever without its key."""
    customer_id = new_id("cus", desk.caller.tenant)
    dek = desk.keyring.new_dek(desk.caller.tenant, "customer", customer_id)
    return NewCustomer(id=customer_id, dek=dek, reference=reference, contact=contact)


def insert_new(desk: Desk, tx: Connection, new: NewCustomer) -> None:
    """Write a new customer with its index rows and audit entry. Raises IntegrityError if its reference is taken."""
    tx.execute(
        insert(customers),
        {
            "tenant_id": desk.caller.tenant,
            "customer_id": new.id,
            "live": desk.caller.live,
            "state": "active",
            "dek_id": new.dek.id,
            "contact": seal_contact(
                desk.keyring, desk.caller.tenant, new.id, new.dek, new.reference, new.contact, version=1
            ),
            "contact_version": 1,
            "created_at": desk.caller.at,
        },
    )
    customer_index.write(desk, tx, new.id, {"reference": new.reference, **customer_index.searchable(new.contact)})
    audit.record(desk, tx, "customer.create", customer=new.id)


def read(desk: Desk, customer_id: str) -> Customer:
    """States and counts of one customer. Raises NotFoundHere, Erased."""
    with reading(desk.records) as connection:
        row = alive(
            connection.execute(_counted(desk.caller).where(customers.c.customer_id == customer_id)).one_or_none()
        )
    return _customer(row)


def search(desk: Desk, field: str, value: str) -> Sequence[Customer]:
    """The customers with exactly this email, phone or reference. The look is on the record before they are shown."""
    with audit.transaction(desk.records) as tx:
        found = select(blind_index.c.customer_id).where(customer_index.by_value(desk, tx, field, value))
        statement = _counted(desk.caller).where(customers.c.customer_id.in_(found), customers.c.state == "active")
        people = [_customer(row) for row in tx.execute(statement.limit(SEARCH_MOST))]
        details = {"field": field, "found": [person.id for person in people]}
        seen: Sequence[str | None] = details["found"] or [None]
        for customer in seen:  # an entry each: every one of them has a right to know who looked
            audit.record(desk, tx, "customer.search", customer=customer, details=details)
    return people


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


def _taken(desk: Desk, reference: str | None) -> CustomerExists:
    with reading(desk.records) as connection:
        existing = customer_index.by_reference(desk, connection, reference or "")
    return CustomerExists(existing or "")


def _mine(caller: Caller) -> Select[Any]:
    return select(customers).where(customers.c.tenant_id == caller.tenant, customers.c.live == caller.live)


def _counted(caller: Caller) -> Select[Any]:
    active = _count(tokens, "tokens", tokens.c.state == "active")
    return _mine(caller).add_columns(active, _count(charges, "charges", true()))


def _count(table: Table, name: str, which: ColumnElement[bool]) -> Label[int]:
    its = and_(together(table, customers, "customer_id"), which)
    return select(func.count()).select_from(table).where(its).scalar_subquery().label(name)


def _customer(row: Row[Any]) -> Customer:
    return Customer(
        id=row.customer_id,
        status=row.state,
        restricted=row.restricted,
        tokens=row.tokens,
        charges=row.charges,
        created_at=row.created_at,
    )
