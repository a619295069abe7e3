"""Statements that SQLAlchemy spells differently for each database."""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_if_absent(tx: Connection, table: Table, row: dict[str, Any], **expressions: ColumnElement[Any]) -> bool:
    """Insert `row`, and columns that the database computes, unless a unique key stands in the way; whether it did.

    PostgreSQL waits for another transaction that is inserting the same key, so the answer is final.
    """
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(expressions).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return tx.execute(statement, row).rowcount == 1
