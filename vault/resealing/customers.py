"""After a compromise: a new DEK for a customer, an erasure or a package, and every value of theirs under it.

Two passes, with a wait between them (`runs`). The first makes the DEK, and in one transaction, which holds
whose it is as an erasure does, names it there and moves the values. Who had begun before may write under the old one
for a while; readers follow each record. The second moves what came late, and only then destroys the old DEK.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from keys import renewal
from keys.dek import Dek
from keys.errors import KeyReplaced
from keys.renewal import Doomed
from rows.engine import reading, transaction
from vault import audit
from vault.canonical import Plain
from vault.resealing.values import left, move
from vault.sealed_columns import HOLDERS, SEALED_COLUMNS
from vault.workshop import Workshop, desk_of

DONE, AGAIN, CLOSED = "done", "again", "closed"
"""What a second pass came to: nothing is left; a later one is needed; a value does not open, so the old DEK stays."""


def renew(shop: Workshop, doomed: Doomed, purpose: str, subject: str) -> bool:
    """First pass: a new DEK in place of one that is to be replaced, its values moved; False where there is none.

    A crash between the keystore's commit and the records' leaves a DEK that nothing is sealed under; `finish` ends it.
    Raises as `Keyring.new_dek`.
    """
    ring, tenant = shop.keyring, doomed.tenant_id
    held = _held(shop, tenant, purpose, subject)
    old = renewal.doomed_ones(ring, doomed, purpose, subject)
    if held is None or held.dek_id not in old or held.state not in HOLDERS[purpose].alive:
        return False
    new = ring.new_dek(tenant, purpose, subject)
    if not switch(shop, tenant, purpose, subject, held.dek_id, new):
        renewal.destroy(ring, tenant, [new.id])  # erased or resealed meanwhile: nothing was sealed under it
        return False
    return True


def finish(shop: Workshop, doomed: Doomed, purpose: str, subject: str, started: datetime) -> str:
    """Second pass: move what came late, and destroy every other DEK that stood at `started`; DONE, AGAIN or CLOSED."""
    ring, tenant = shop.keyring, doomed.tenant_id
    stand = renewal.living(ring, tenant, purpose, subject)
    held = _held(shop, tenant, purpose, subject)
    if held is None:
        return DONE  # not in these records yet, or not any more: whoever restores others finds it
    alive = held.state in HOLDERS[purpose].alive
    if alive and held.dek_id is None:
        return AGAIN  # a package whose key is about to be named
    if alive and held.dek_id not in stand:
        return CLOSED  # these records are from before: what stands is what newer ones need
    if alive and held.dek_id in renewal.doomed_ones(ring, doomed, purpose, subject):
        return AGAIN
    old = [each for each, made in stand.items() if each != held.dek_id and made <= max(started, doomed.before)]
    if alive and old:
        verdict = _swept(shop, tenant, purpose, subject, held.dek_id, old)
        if verdict != DONE:
            return verdict
    return DONE if end(shop, tenant, purpose, subject, held.dek_id, old) else AGAIN


def end(shop: Workshop, tenant: str, purpose: str, subject: str, dek_id: bytes, old: list[bytes]) -> bool:
    """Destroy the old ones while nobody can switch, erase, or store a card; False if somebody did just before."""
    this = _this(purpose, tenant, subject)
    with transaction(shop.records) as tx:
        held = tx.execute(select(HOLDERS[purpose].table.c.dek_id).where(this).with_for_update()).scalar_one_or_none()
        late = sum(left(tx, each, _theirs(each.table, purpose, tenant, subject), old) for each in _of(purpose))
        if held != dek_id or late:
            return False
        renewal.destroy(shop.keyring, tenant, old)
    return True


def switch(shop: Workshop, tenant: str, purpose: str, subject: str, old_id: bytes, new: Dek) -> bool:
    """Name the new DEK where the old one is named, and move the values; False if it is not named any more."""
    holder = HOLDERS[purpose]
    still = and_(_this(purpose, tenant, subject), holder.table.c.dek_id == old_id)
    ring = shop.keyring
    try:
        olds = ring.deks(tenant, renewal.living(ring, tenant, purpose, subject))
    except KeyReplaced:  # by another run
        return False
    olds.pop(new.id, None)
    with audit.transaction(shop.records) as tx:
        row = tx.execute(select(holder.table.c.state).where(still).with_for_update()).one_or_none()
        if row is None or row.state not in holder.alive or new.id not in renewal.living(ring, tenant, purpose, subject):
            return False  # or another run has ended this one's new DEK, which nothing named yet
        tx.execute(update(holder.table).where(still).values(dek_id=new.id))
        values = _move(tx, shop, tenant, purpose, subject, olds, new)[0]
        tell(tx, shop, tenant, purpose, subject, new.id, values)
    return True


def tell(tx: Connection, shop: Workshop, tenant: str, purpose: str, subject: str, dek_id: bytes, values: int) -> None:
    """The audit entry of one DEK that took the place of another."""
    customer = subject if purpose == "customer" else None
    details: dict[str, Plain] = {"purpose": purpose, "subject": subject, "values": values}
    desk = desk_of(shop, tenant, live=True)
    audit.record(desk, tx, "dek.resealed", customer=customer, resource=dek_id.hex(), details=details)


def _swept(shop: Workshop, tenant: str, purpose: str, subject: str, dek_id: bytes, old: list[bytes]) -> str:
    try:
        olds = shop.keyring.deks(tenant, [*old, dek_id])
    except KeyReplaced:  # by another run
        return AGAIN
    new = olds.pop(dek_id, None)
    if new is None:  # erased at this very moment
        return AGAIN
    with audit.transaction(shop.records) as tx:
        closed = _move(tx, shop, tenant, purpose, subject, olds, new)[1]
    with reading(shop.records) as connection:
        late = sum(left(connection, each, _theirs(each.table, purpose, tenant, subject), old) for each in _of(purpose))
    return DONE if late == 0 else CLOSED if late == closed else AGAIN


def _move(
    tx: Connection, shop: Workshop, tenant: str, purpose: str, subject: str, olds: dict[bytes, Dek], new: Dek
) -> tuple[int, int]:
    """How many values were moved, and how many do not open."""
    moved = [
        move(tx, shop.keyring, each, _theirs(each.table, purpose, tenant, subject), olds, new) for each in _of(purpose)
    ]
    return sum(each.values for each in moved), sum(each.closed for each in moved)


def _of(purpose: str) -> Any:  # noqa: ANN401  # of sealed columns
    return [each for each in SEALED_COLUMNS if each.under == purpose]


def _held(shop: Workshop, tenant: str, purpose: str, subject: str) -> Row[Any, Any] | None:
    table = HOLDERS[purpose].table
    with reading(shop.records) as connection:
        statement = select(table.c.dek_id, table.c.state).where(_this(purpose, tenant, subject))
        return connection.execute(statement).one_or_none()


def _this(purpose: str, tenant: str, subject: str) -> ColumnElement[bool]:
    return _theirs(HOLDERS[purpose].table, purpose, tenant, subject)


def _theirs(table: Any, purpose: str, tenant: str, subject: str) -> ColumnElement[bool]:  # noqa: ANN401  # a table
    return and_(table.c.tenant_id == tenant, table.c[HOLDERS[purpose].subject] == subject)
