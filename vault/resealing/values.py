"""Sealed values moved from one DEK to another where they stand: same place, same version, same plaintext.

A row that another transaction has locked is left for the next look: who moves values waits for nobody while holding
rows, so that no charge and no erasure is ever the victim of a deadlock with it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, LargeBinary, Row, and_, func, select, tuple_, update

from keys.dek import Dek
from keys.envelope import dek_id_of, seal, unseal
from keys.errors import Unreadable
from keys.keyring import Keyring
from rows.conditions import of_row
from vault.sealed_columns import SealedColumn


@dataclass(frozen=True, slots=True)
class Moved:
    """How many values were moved, how many do not open, and the key of the last row that was looked at."""

    values: int
    closed: int
    last: tuple[Any, ...] | None


def move(
    tx: Connection,
    ring: Keyring,
    column: SealedColumn,
    which: ColumnElement[bool],
    old: Mapping[bytes, Dek],
    new: Dek,
    *,
    after: tuple[Any, ...] | None = None,
    most: int | None = None,
) -> Moved:
    """Reseal under `new` what of these rows is sealed under one of `old`: at most so many, in order, after that key."""
    found = _rows(tx, column, and_(which, under(column, old)), after, most)
    values = 0
    for row in found:
        sealed = _resealed(ring.deployment, column, row, old, new)
        if sealed is not None:
            tx.execute(update(column.table).where(of_row(column.table, row)).values({column.column: sealed}))
            values += 1
    last = tuple(getattr(found[-1], each.name) for each in column.table.primary_key) if found else None
    return Moved(values=values, closed=len(found) - values, last=last)


def under(column: SealedColumn, dek_ids: Collection[bytes]) -> ColumnElement[bool]:
    """The condition for a value to be sealed under one of these DEKs, as its first bytes say."""
    value = column.table.c[column.column]
    return func.substr(value, 3, 16, type_=LargeBinary).in_(list(dek_ids))


def left(connection: Connection, column: SealedColumn, which: ColumnElement[bool], dek_ids: Collection[bytes]) -> int:
    """How many values of these rows are sealed under one of these DEKs."""
    statement = select(func.count()).select_from(column.table).where(which, under(column, dek_ids))
    return int(connection.scalar(statement) or 0)


def _rows(
    tx: Connection, column: SealedColumn, which: ColumnElement[bool], after: tuple[Any, ...] | None, most: int | None
) -> Sequence[Row[Any]]:
    key = [*column.table.primary_key.columns]
    names = {*(each.name for each in key), *column.row, column.column, column.version}
    names |= {"customer_id"} if column.of_customer else set()
    statement = select(*(column.table.c[name] for name in sorted(names))).where(which).order_by(*key)
    if after is not None:
        statement = statement.where(tuple_(*key) > after)
    return tx.execute(statement.limit(most).with_for_update(skip_locked=True)).all()


def _resealed(deployment: str, column: SealedColumn, row: Row[Any], old: Mapping[bytes, Dek], new: Dek) -> bytes | None:
    """The value of a row under the new DEK; None if it does not open."""
    place, record = column.context(deployment, row._asdict()), bytes(getattr(row, column.column))
    try:
        return seal(new, unseal(old[dek_id_of(record)], record, place), place)
    except Unreadable:
        return None


Told = Callable[[int], object]
"""Called with how many more are done."""
