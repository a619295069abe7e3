"""A customer's row, as those who work with one need it: looked at, shared with others, or held alone."""

from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, select

from rows import changes
from rows.changes import Change
from rows.conditions import given, together
from rows.prepared import Prepared
from vault.caller import Caller
from vault.errors import Erased, NotFoundHere, Restricted
from vault.tables import customers, processor_accounts, processor_references

_THIS = given(customers, "live", "customer_id")
_KNOWN = select(
    customers.c.tenant_id,
    customers.c.customer_id,
    customers.c.state,
    customers.c.restricted,
    customers.c.dek_id,
    customers.c.contact_version,
).where(_THIS)
_CONTACT = (customers.c.contact, customers.c.contact_usable)
_WHOLE = select(customers).where(_THIS)
_ONE = Prepared(_WHOLE)
_ONE_HELD = Prepared(_KNOWN.with_for_update(read=True))
_HELD_ACTIVE = (
    select(customers.c.customer_id)
    .where(
        _THIS,
        customers.c.state == "active",
        customers.c.dek_id == bindparam("of_dek"),
        customers.c.contact_version == bindparam("of_contact"),
    )
    .with_for_update(read=True)
)
_ONE_ALONE = Prepared(_WHOLE.with_for_update())
_ONE_WITH_REFERENCE = Prepared(
    _KNOWN.add_columns(*_CONTACT, processor_references.c.reference, processor_references.c.reference_version).outerjoin(
        processor_references,
        and_(
            processor_references.c.tenant_id == customers.c.tenant_id,
            processor_references.c.owner_id == customers.c.customer_id,
            processor_references.c.account_id == bindparam("of_account"),
        ),
    )
)
_ONE_WITH_DEFAULT_ACCOUNT = Prepared(
    _KNOWN.add_columns(
        *_CONTACT,
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
            together(processor_accounts, customers, "live"),
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


def row_of(connection: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The row of a customer who can be worked with. Raises NotFoundHere, Erased."""
    return alive(_ONE.one_or_none(connection, _asked(caller, customer_id)))


def shared_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The row, held against an erasure or a legal hold that would begin before `tx` ends. Raises as `row_of`."""
    return alive(_ONE_HELD.one_or_none(tx, _asked(caller, customer_id)))


def held(caller: Caller, customer_id: str, dek_id: bytes, contact_version: int) -> Change:
    """That a customer is active under this DEK, with this contact, and stays so to the transaction's end.

    It is what `write_whole` must find.
    """
    named = {"of_dek": dek_id, "of_contact": contact_version}
    return changes.held(_HELD_ACTIVE, _asked(caller, customer_id) | named)


def lone_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The row, held against all others who hold it. Raises as `row_of`."""
    return alive(_ONE_ALONE.one_or_none(tx, _asked(caller, customer_id)))


def any_row_of(tx: Connection, caller: Caller, customer_id: str) -> Row[Any]:
    """The row of a customer, of an erased one too, held against all others who hold it. Raises NotFoundHere."""
    row: Row[Any] | None = _ONE_ALONE.one_or_none(tx, _asked(caller, customer_id))
    if row is None:
        raise NotFoundHere("No such customer.")
    return row


def row_with_reference(connection: Connection, caller: Caller, customer_id: str, account_id: str) -> Row[Any]:
    """The row with the processor's sealed name for the customer at one account (NULL where it has none)."""
    asked = _asked(caller, customer_id) | {"of_account": account_id}
    return alive(_ONE_WITH_REFERENCE.one_or_none(connection, asked))


def row_with_default_account(connection: Connection, caller: Caller, customer_id: str) -> Row[Any] | None:
    """The row as at the mode's default account, with what its processor needs; None without customer or account."""
    row = _ONE_WITH_DEFAULT_ACCOUNT.one_or_none(connection, _asked(caller, customer_id))
    return None if row is None else alive(row)


def refuse_restricted(row: Row[Any]) -> None:
    """Raise Restricted for a customer whose processing is restricted."""
    if row.restricted:
        raise Restricted("Processing is restricted for this customer.")


def refuse_erased(row: Row[Any]) -> None:
    """Raise Erased for a customer that is, or is being."""
    if row.state != "active":
        raise Erased("This customer was erased.")


def alive(row: Row[Any] | None) -> Row[Any]:
    """The row of a customer that there is. Raises NotFoundHere, Erased."""
    if row is None:
        raise NotFoundHere("No such customer.")
    refuse_erased(row)
    return row


def _asked(caller: Caller, customer_id: str) -> dict[str, Any]:
    return {"of_tenant": caller.tenant, "of_live": caller.live, "of_customer": customer_id}
