"""Leases: work that one of several workers takes up at a time, by a moment in its row until which nobody else may."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, and_, or_, update

from keys.database import transaction
from vault.columns import database_clock


def take(
    records: Engine,
    table: Table,
    key: Mapping[str, Any],
    until: str,
    seconds: int,
    *still: ColumnElement[bool],
    **changes: Any,  # noqa: ANN401  # columns of the table
) -> bool:
    """Take the lease of the row that `key` names for so many seconds; False where another worker has it.

    `until` is the column of its end, on the database's clock, `still` are further conditions, `changes` other columns.
    """
    this = and_(*(table.c[name] == value for name, value in key.items()))
    due = or_(table.c[until].is_(None), table.c[until] <= database_clock())
    taken = {until: database_clock(seconds), **changes}
    with transaction(records) as tx:
        return tx.execute(update(table).where(this, due, *still).values(taken)).rowcount == 1


def pause(attempts: int, *, first: int, longest: int) -> int:
    """Seconds until the next try after so many: twice as long each time, up to the longest."""
    return int(min(first * 2 ** min(attempts, 12), longest))
