"""By what a customer is found: keyed digests of reference, email and phone, beside the sealed contact."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from keys.blindindex import NORMALIZATION, Form, digests, label, lookup_digest
from keys.keyring import Keyring
from vault.caller import Caller
from vault.personal import BillingContact
from vault.tables import blind_index


def write(tx: Connection, keyring: Keyring, caller: Caller, customer_id: str, values: dict[str, str | None]) -> None:
    """Put a customer's index rows in place of those it had for the same fields."""
    tx.execute(
        delete(blind_index).where(
            blind_index.c.tenant_id == caller.tenant,
            blind_index.c.customer_id == customer_id,
            blind_index.c.field.in_(values),
        )
    )
    rows = rows_of(keyring, caller, customer_id, values)
    if rows:
        tx.execute(insert(blind_index), rows)


def rows_of(
    keyring: Keyring, caller: Caller, customer_id: str, values: Mapping[str, str | None]
) -> list[dict[str, Any]]:
    """Its rows, under every index key of the tenant: while one takes another's place, each process knows one of both.

    So those who know only the old one, and soon those who know only the new one, find it, and meet its twin.
    """
    return [
        {
            "tenant_id": caller.tenant,
            "field": field,
            "form": form,
            "digest": digest,
            "customer_id": customer_id,
            "live": caller.live,
            "key_id": key_id,
            "normalization": NORMALIZATION,
        }
        for field, value in values.items()
        if value
        for key_id, key in keyring.subkeys(caller.tenant, "index", label(field)).items()
        for form, digest in digests(key, field, value)
    ]


def searchable(contact: BillingContact | None) -> dict[str, str | None]:
    """What of a contact a customer is found by."""
    return {"email": contact.email, "phone": contact.phone} if contact else {}


def by_reference(connection: Connection, keyring: Keyring, caller: Caller, reference: str) -> str | None:
    """The id of the customer with this reference."""
    statement = select(blind_index.c.customer_id).where(by_value(keyring, caller, "reference", reference)).distinct()
    return connection.execute(statement).scalar_one_or_none()


def by_value(keyring: Keyring, caller: Caller, field: str, value: str, form: Form = "raw") -> ColumnElement[bool]:
    """The condition for the index rows of this very value, or of the hex SHA-256 of it, in the caller's mode."""
    keys = keyring.subkeys(caller.tenant, "index", label(field)).values()
    return and_(
        blind_index.c.tenant_id == caller.tenant,
        blind_index.c.field == field,
        blind_index.c.form == form,
        blind_index.c.digest.in_([lookup_digest(key, field, form, value) for key in keys]),
        blind_index.c.live == caller.live,
    )
