"""Billing contacts: read on the record, entered, corrected. A correction destroys the old value."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, select, update

from keys.keyring import Keyring
from rows.conditions import given
from rows.engine import reading
from vault import audit
from vault.desk import Desk
from vault.errors import Erased, MovedOn, NotUsable
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.people import customer_index
from vault.people.customer_rows import refuse_restricted, row_of
from vault.people.customers import seal_contact
from vault.personal import BillingContact
from vault.processing import intents
from vault.sealing import open_value, place_of
from vault.tables import customers, processor_references

_LARGEST_RACE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """That a contact was changed, not what."""

    customer: str
    version: int


def read(desk: Desk, customer_id: str) -> BillingContact:
    """The billing contact, with the look committed to the audit log before it is given out.

    Raises NotFoundHere, Erased, Restricted (when the purpose is billing), NotUsable after a lost correction.
    """
    with reading(desk.records) as connection:
        row = row_of(connection, desk.caller, customer_id)
    if desk.caller.purpose == "billing":
        refuse_restricted(row)
    _, contact = opened(desk.keyring, row)
    audit.write_whole(desk.records, lambda tx: [audit.entry(desk, tx, "contact.read", customer=customer_id)])
    return contact


def change(
    desk: Desk,
    ledger: Ledger,
    customer_id: str,
    edit: Callable[[BillingContact], BillingContact],
    also: Callable[[Connection], None] = lambda _tx: None,
) -> Corrected:
    """Put `edit(contact)` in the contact's place; the index follows, and the ledger is told that it was corrected.

    `also` does what belongs to it in the same transaction.
    """
    changed = commit(desk, ledger, customer_id, edit, also)
    settle(ledger, desk.records)
    return changed


def commit(
    desk: Desk,
    ledger: Ledger,
    customer_id: str,
    edit: Callable[[BillingContact], BillingContact],
    also: Callable[[Connection], None],
) -> Corrected:
    """Do what `change` does, for a caller who settles the ledger afterwards."""
    for _ in range(_LARGEST_RACE):
        with reading(desk.records) as connection:
            row = row_of(connection, desk.caller, customer_id)
        if _replace(desk, ledger, row, edit, also):
            return Corrected(customer=customer_id, version=row.contact_version + 1)
    raise MovedOn("Others keep changing this contact. Try again.")


def _replace(
    desk: Desk,
    ledger: Ledger,
    row: Row[Any],
    edit: Callable[[BillingContact], BillingContact],
    also: Callable[[Connection], None],
) -> bool:
    """Write the new contact over the one in `row`; False when somebody was faster."""
    reference, contact = opened(desk.keyring, row) if row.contact_usable else (None, BillingContact())
    edited, version = edit(contact), row.contact_version + 1
    dek = desk.keyring.dek(desk.caller.tenant, row.dek_id)
    sealed = seal_contact(desk.keyring, desk.caller.tenant, row.customer_id, dek, reference, edited, version=version)
    this = (
        (customers.c.tenant_id == desk.caller.tenant)
        & (customers.c.customer_id == row.customer_id)
        & (customers.c.contact_version == row.contact_version)
        & (customers.c.dek_id == row.dek_id)  # resealed meanwhile: the new DEK is the one to seal under
        & (customers.c.state == "active")
    )
    with audit.transaction(desk.records) as tx:
        changed = update(customers).where(this).values(contact=sealed, contact_version=version, contact_usable=True)
        if tx.execute(changed).rowcount != 1:
            return False
        customer_index.write(desk, tx, row.customer_id, customer_index.searchable(edited))
        decide(tx, ledger, desk.caller, "contact.corrected", row.customer_id, version=version)
        pass_on(desk, tx, row.customer_id)
        audit.record(desk, tx, "contact.correct", customer=row.customer_id)
        also(tx)
    return True


def held(keyring: Keyring, row: Row[Any]) -> BillingContact:
    """The contact in a customer's row; an empty one where it was lost, or never entered."""
    return opened(keyring, row)[1] if row.contact_usable else BillingContact()


def corrected(held: BillingContact, entered: BillingContact) -> BillingContact:
    """What a contact becomes by one that is entered elsewhere: what is left out or empty there says nothing."""
    return replace(held, **{name: value for name, value in asdict(entered).items() if value})


def pass_on(desk: Desk, tx: Connection, customer_id: str) -> None:
    """Have the worker send the contact to each account that knows the customer (`contact_sending`)."""
    for account_id in tx.scalars(_ACCOUNTS, {"of_tenant": desk.caller.tenant, "of_customer": customer_id}).all():
        attempt = intents.Attempt(operation="contact.send", key=None, fingerprint=b"")
        intent = intents.begin(
            desk, tx, attempt, resource_id=customer_id, customer_id=customer_id, account_id=account_id
        )
        if intent is not None:
            intents.leave_to_worker(tx, intent)


_ACCOUNTS = select(processor_references.c.account_id).where(given(processor_references, "customer_id")).distinct()


def opened(keyring: Keyring, row: Row[Any]) -> tuple[str | None, BillingContact]:
    """The reference and contact in a customer's row. Raises Erased, NotUsable after a lost correction."""
    if not row.contact_usable:
        raise NotUsable("contact_lost", "A correction was lost when these records were restored. Enter it again.")
    if row.contact is None:
        raise Erased("This customer was erased.")
    return opened_anyway(keyring, row)


def opened_anyway(keyring: Keyring, row: Row[Any]) -> tuple[str | None, BillingContact]:
    """What `opened` gives, also where a correction was lost. Raises Unreadable, KeyDestroyed, KeyMissing."""
    place = place_of(
        keyring,
        row.tenant_id,
        "customers",
        "contact",
        row.customer_id,
        customer=row.customer_id,
        version=row.contact_version,
    )
    value = open_value(keyring, row.contact, place)
    return value["reference"], BillingContact(**(value["contact"] or {}))
