"""Index rows made anew, under a tenant's new index key or by newer rules: their values come out of the sealed contacts.

Every process writes rows under both keys by now, and looks for both. What a process that still keeps the old key writes
after that was destroyed, `sweep` deletes; the same value stands beside it under the new one.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select

from keys import renewal
from keys.errors import KeyDestroyed, KeyMissing, Unreadable
from rows.changes import insert_if_absent
from rows.engine import reading
from vault import audit
from vault.people import customer_index
from vault.people.contacts import opened_anyway
from vault.resealing.values import Told
from vault.tables import blind_index, customers, tenants
from vault.tables.cards import OLD_FORMS
from vault.workshop import Workshop, desk_of

FIELDS = ("email", "phone", "reference")
BATCH = 200


def reindex(shop: Workshop, tenant: str, old: Collection[bytes], told: Told) -> int:
    """Put rows under the newest index key in place of those under the `old` ones; how many people's can't be."""
    newest = shop.keyring.tenant_key(tenant, "index").id
    return _remade(shop, tenant, _under(tenant, old), {newest}, told)


def to_renew(shop: Workshop) -> Sequence[str]:
    """The tenants that have rows by older rules, or of phones that were read in another region than theirs of now."""
    theirs, region = blind_index.c.tenant_id == tenants.c.tenant_id, blind_index.c.region
    first, last = (
        select(end(region)).where(theirs, region.is_not(None)).correlate(tenants).scalar_subquery()
        for end in (func.min, func.max)  # the ends of an index: that some differ is a look through all that do not
    )
    old = select(blind_index.c.customer_id).where(theirs, OLD_FORMS).correlate(tenants).exists()
    here = tenants.c.phone_region
    statement = select(tenants.c.tenant_id).where(or_(old, first < here, last > here))
    with reading(shop.records) as connection:
        return connection.scalars(statement).all()


def renew(shop: Workshop, tenant: str) -> int:
    """Put rows by the rules of now in place of those; how many people's. Whose contact does not open keeps theirs."""
    region = select(tenants.c.phone_region).where(tenants.c.tenant_id == tenant).scalar_subquery()
    stale = or_(OLD_FORMS, blind_index.c.region < region, blind_index.c.region > region)
    seen: list[int] = []
    closed = _remade(shop, tenant, and_(_searched(tenant), stale), None, seen.append)
    return sum(seen) - closed


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


def _remade(
    shop: Workshop, tenant: str, old: ColumnElement[bool], key_ids: Collection[bytes] | None, told: Told
) -> int:
    """Put rows under these keys, or all, in place of the `old` ones; how many people's can't be."""
    closed, after = 0, ""
    while people := _people(shop, old, after):
        for row in people:
            closed += not _reindexed(shop, tenant, row, old, key_ids)
        after = people[-1].customer_id
        told(len(people))
    return closed


def _people(shop: Workshop, old: ColumnElement[bool], after: str) -> Sequence[Row[Any, Any]]:
    theirs = and_(old, blind_index.c.customer_id > after)
    columns = (blind_index.c.customer_id, blind_index.c.live)
    with reading(shop.records) as connection:
        statement = select(*columns).where(theirs).distinct().order_by(columns[0]).limit(BATCH)
        people: Sequence[Row[Any, Any]] = connection.execute(statement).all()
        return people


def _reindexed(
    shop: Workshop, tenant: str, person: Row[Any, Any], old: ColumnElement[bool], key_ids: Collection[bytes] | None
) -> bool:
    """One person's rows; False if the contact does not open. It can't be corrected or erased meanwhile."""
    this = and_(customers.c.tenant_id == tenant, customers.c.customer_id == person.customer_id)
    theirs = and_(old, blind_index.c.customer_id == person.customer_id)
    with audit.transaction(shop.records) as tx:
        row = tx.execute(select(customers).where(this).with_for_update()).one()
        if row.contact is None:  # erased meanwhile, and the rows with it
            return True
        try:
            reference, contact = opened_anyway(shop.keyring, row)
        except (Unreadable, KeyMissing, KeyDestroyed):
            return False
        values = {"reference": reference, **customer_index.searchable(contact)}
        fields = {*tx.scalars(select(blind_index.c.field).where(theirs))}
        tx.execute(delete(blind_index).where(theirs))  # before the new ones, which may be the same digests
        _write(tx, shop, tenant, person, {name: value for name, value in values.items() if name in fields}, key_ids)
    return True


def _write(
    tx: Connection,
    shop: Workshop,
    tenant: str,
    person: Row[Any, Any],
    found_by: dict[str, str | None],
    key_ids: Collection[bytes] | None,
) -> None:
    desk = desk_of(shop, tenant, live=person.live)
    for row in customer_index.rows_of(desk, tx, person.customer_id, found_by):
        if key_ids is None or row["key_id"] in key_ids:
            insert_if_absent(tx, blind_index, row)


def _under(tenant: str, key_ids: Collection[bytes]) -> ColumnElement[bool]:
    return and_(_searched(tenant), blind_index.c.key_id.in_(list(key_ids)))


def _dead(shop: Workshop, tenant: str) -> ColumnElement[bool]:
    return and_(_searched(tenant), blind_index.c.key_id.in_(renewal.ended(shop.keyring, tenant, "index")))


def _searched(tenant: str) -> ColumnElement[bool]:
    return and_(blind_index.c.tenant_id == tenant, blind_index.c.field.in_(FIELDS))
