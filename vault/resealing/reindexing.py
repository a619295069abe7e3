"""Index rows under a tenant's new index key: their values come out of the sealed contacts.

Every process writes rows under both keys by now, and looks for both. What a process that still keeps the old key writes
after that was destroyed, `sweep` deletes; the same value stands beside it under the new one.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select

from keys import renewal
from keys.database import reading
from keys.errors import KeyDestroyed, KeyMissing, Unreadable
from vault import audit
from vault.people import customer_index
from vault.people.contacts import opened_anyway
from vault.resealing.resealed_values import Told
from vault.statements import insert_if_absent
from vault.tables import blind_index, customers
from vault.workshop import Workshop, caller_of

FIELDS = ("email", "phone", "reference")
BATCH = 200


def reindex(shop: Workshop, tenant: str, old: Collection[bytes], told: Told) -> int:
    """Put rows under the newest index key in place of those under the `old` ones; how many people's can't be."""
    closed, after = 0, ""
    while people := _people(shop, tenant, old, after):
        for row in people:
            closed += not _reindexed(shop, tenant, row, old)
        after = people[-1].customer_id
        told(len(people))
    return closed


def people_left(shop: Workshop, tenant: str, old: Collection[bytes]) -> int:
    """How many have rows under these keys."""
    statement = select(func.count(blind_index.c.customer_id.distinct())).where(_under(tenant, old))
    with reading(shop.records) as connection:
        return int(connection.scalar(statement) or 0)


def has_dead(shop: Workshop, tenant: str) -> bool:
    """Whether there are rows under an index key that is destroyed."""
    with reading(shop.records) as connection:
        return (
            connection.execute(select(blind_index.c.customer_id).where(_dead(shop, tenant)).limit(1)).first()
            is not None
        )


def sweep(shop: Workshop, tenant: str) -> None:
    """Delete those rows."""
    with audit.transaction(shop.records) as tx:
        tx.execute(delete(blind_index).where(_dead(shop, tenant)))


def _people(shop: Workshop, tenant: str, old: Collection[bytes], after: str) -> Sequence[Row[Any, Any]]:
    theirs = and_(_under(tenant, old), blind_index.c.customer_id > after)
    columns = (blind_index.c.customer_id, blind_index.c.live)
    with reading(shop.records) as connection:
        statement = select(*columns).where(theirs).distinct().order_by(columns[0]).limit(BATCH)
        people: Sequence[Row[Any, Any]] = connection.execute(statement).all()
        return people


def _reindexed(shop: Workshop, tenant: str, person: Row[Any, Any], old: Collection[bytes]) -> bool:
    """One person's rows; False if the contact does not open. It can't be corrected or erased meanwhile."""
    this = and_(customers.c.tenant_id == tenant, customers.c.customer_id == person.customer_id)
    theirs = and_(_under(tenant, old), blind_index.c.customer_id == person.customer_id)
    with audit.transaction(shop.records) as tx:
        row = tx.execute(select(customers).where(this).with_for_update()).one()
        if row.contact is None:  # erased meanwhile, and the rows with it
            return True
        try:
            reference, contact = opened_anyway(shop.keyring, row)
        except (Unreadable, KeyMissing, KeyDestroyed):
            return False
        values = {"reference": reference, **customer_index.searchable(contact)}
        _write(tx, shop, tenant, person, values, {*tx.scalars(select(blind_index.c.field).where(theirs))})
        tx.execute(delete(blind_index).where(theirs))
    return True


def _write(
    tx: Connection, shop: Workshop, tenant: str, person: Row[Any, Any], values: dict[str, str | None], fields: set[str]
) -> None:
    newest = shop.keyring.tenant_key(tenant, "index").id
    caller = caller_of(shop, tenant, live=person.live)
    found_by = {name: value for name, value in values.items() if name in fields}
    for row in customer_index.rows_of(shop.keyring, caller, person.customer_id, found_by):
        if row["key_id"] == newest:
            insert_if_absent(tx, blind_index, row)


def _under(tenant: str, key_ids: Collection[bytes]) -> ColumnElement[bool]:
    return and_(_searched(tenant), blind_index.c.key_id.in_(list(key_ids)))


def _dead(shop: Workshop, tenant: str) -> ColumnElement[bool]:
    return and_(_searched(tenant), blind_index.c.key_id.in_(renewal.ended(shop.keyring, tenant, "index")))


def _searched(tenant: str) -> ColumnElement[bool]:
    return and_(blind_index.c.tenant_id == tenant, blind_index.c.field.in_(FIELDS))
