"""Leases: work that one of several workers takes up at a time, by a moment in its row until which nobody else may."""

from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, or_, update

from rows.clock import database_clock
from rows.conditions import of_row
from rows.engine import transaction


def take(
    records: Engine,
    table: Table,
    row: Any,  # noqa: ANN401  # a row that has the columns of its key
    until: str,
    seconds: int,
    *still: ColumnElement[bool],
    **changes: Any,  # noqa: ANN401  # columns of the table
) -> bool:
    """Take the lease of a row for so many seconds; False where another worker has it.

    `until` is the column of its end, on the database's clock, `still` are further conditions, `changes` other columns.
    """
    due = or_(table.c[until].is_(None), table.c[until] <= database_clock())
    taken = {until: database_clock(seconds), **changes}
    with transaction(records) as tx:
        return tx.execute(update(table).where(of_row(table, row), due, *still).values(taken)).rowcount == 1


def pause(attempts: int, *, first: int, longest: int) -> int:
    """Seconds until the next try after so many: twice as long each time, up to the longest."""
    return int(min(first * 2 ** min(attempts, 12), longest))
