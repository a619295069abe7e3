"""By what a customer is found: keyed digests of reference, email and phone, beside the sealed contact."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select

from keys.blindindex import Form, digest, label
from keys.keyring import Keyring
from vault.desk import Desk
from vault.people import identities
from vault.personal import BillingContact
from vault.tables import blind_index, tenants


def write(desk: Desk, tx: Connection, customer_id: str, values: dict[str, str | None]) -> None:
    """Put a customer's index rows in place of those it had for the same fields."""
    tx.execute(
        delete(blind_index).where(
            blind_index.c.tenant_id == desk.caller.tenant,
            blind_index.c.customer_id == customer_id,
            blind_index.c.field.in_(values),
        )
    )
    rows = rows_of(desk, tx, customer_id, values)
    if rows:
        tx.execute(insert(blind_index), rows)


def rows_of(desk: Desk, tx: Connection, customer_id: str, values: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """The rows that a customer is found by, under every index key of the tenant.

    While one key takes another's place, each process knows one of both: so those who know only the old one, and soon
    those who know only the new one, find the customer, and meet its twin.
    """
    return [
        {"tenant_id": desk.caller.tenant, "customer_id": customer_id, "live": desk.caller.live, **row}
        for field, value in values.items()
        if value
        for row in _rows(
            desk.keyring, desk.caller.tenant, field, value, _region_read_in(tx, desk.caller.tenant, field, value)
        )
    ]


def _rows(keyring: Keyring, tenant: str, field: str, value: str, region: str | None) -> Iterable[dict[str, Any]]:
    """`region` is the one that the value was read in; None where none was needed."""
    raw = identities.canonical(field, value, region or "")
    texts = [("raw", raw)] if raw else []
    texts += [("sha256", each) for each in identities.hashes(field, value, region or "")]
    for key_id, key in keyring.subkeys(tenant, "index", label(field)).items():
        for form, text in texts:
            yield {
                "field": field,
                "form": form,
                "digest": digest(key, form=form, value=text),
                "key_id": key_id,
                "normalization": identities.version(field),
                "region": region,
            }


def _region_read_in(tx: Connection, tenant: str, field: str, value: str) -> str | None:
    return _region_of(tx, tenant) if identities.needs_region(field, value) else None


def searchable(contact: BillingContact | None) -> dict[str, str | None]:
    """What of a contact a customer is found by."""
    return {"email": contact.email, "phone": contact.phone} if contact else {}


def by_reference(desk: Desk, connection: Connection, reference: str) -> str | None:
    """The id of the customer with this reference."""
    this = by_value(desk, connection, "reference", reference)
    return connection.execute(select(blind_index.c.customer_id).where(this).distinct()).scalar_one_or_none()


def by_value(desk: Desk, connection: Connection, field: str, value: str, form: Form = "raw") -> ColumnElement[bool]:
    """The condition for the index rows of this very value, or of the hex SHA-256 of it, in the caller's mode."""
    keys = desk.keyring.subkeys(desk.caller.tenant, "index", label(field)).values()

    def among(texts: Iterable[str]) -> ColumnElement[bool]:
        return blind_index.c.digest.in_([digest(key, form=form, value=text) for key in keys for text in texts if text])

    return and_(
        blind_index.c.tenant_id == desk.caller.tenant,
        blind_index.c.field == field,
        blind_index.c.form == form,
        among([value.strip().lower()])
        if form == "sha256"
        else _either(connection, desk.caller.tenant, field, value, among),
        blind_index.c.live == desk.caller.live,
    )


def _either(
    connection: Connection, tenant: str, field: str, value: str, among: Callable[[Iterable[str]], ColumnElement[bool]]
) -> ColumnElement[bool]:
    """The one form of the value; in rows that are to be made anew also what earlier rules made of it."""
    region = _region_of(connection, tenant) if field == "phone" else ""
    now = identities.canonical(field, value, region)
    if field not in identities.VERSIONS:
        return among([now])
    old = or_(blind_index.c.normalization < identities.version(field), blind_index.c.region == "")
    return and_(among([now, *identities.earlier(field, value, region)]), or_(among([now]), old))


def _region_of(connection: Connection, tenant: str) -> str:
    """In which region the tenant's people dial; empty where nobody said so."""
    return (
        connection.execute(select(tenants.c.phone_region).where(tenants.c.tenant_id == tenant)).scalar_one_or_none()
        or ""
    )
