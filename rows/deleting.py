"""Deleting rows that may have gathered for long: some in each transaction, so that no statement takes long."""

from typing import Any

from sqlalchemy import ColumnElement, Engine, Table, bindparam, delete, select

from rows.engine import transaction

AT_ONCE = 500
"""Rows that one transaction deletes."""


def delete_some(records: Engine, table: Table, which: ColumnElement[bool], oldest: ColumnElement[Any]) -> bool:
    """Delete the first of these rows, in the order of the column `oldest`; whether there were any.

    What the condition says of a row must stay true of it: they are found, and then deleted by their primary keys.
    """
    key = {f"of_{column.name}": column for column in table.primary_key}
    found = select(*(column.label(name) for name, column in key.items())).where(which).order_by(oldest).limit(AT_ONCE)
    with transaction(records) as tx:
        doomed = [dict(row) for row in tx.execute(found).mappings()]
        if doomed:
            tx.execute(delete(table).where(*(column == bindparam(name) for name, column in key.items())), doomed)
    return bool(doomed)
