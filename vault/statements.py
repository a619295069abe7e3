"""Statements that SQLAlchemy spells differently for each database."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table
from sqlalchemy.dialects import postgresql, sqlite

_Select = TypeVar("_Select", bound=Select[Any])


def insert_if_absent(tx: Connection, table: Table, row: dict[str, Any], **expressions: ColumnElement[Any]) -> bool:
    """Insert `row`, and columns that the database computes, unless a unique key stands in the way; whether it did.

    PostgreSQL waits for another transaction that is inserting the same key, so the answer is final.
    """
    insert = postgresql.insert if tx.dialect.name == "postgresql" else sqlite.insert
    return tx.execute(insert(table).values(expressions).on_conflict_do_nothing(), row).rowcount == 1


def sharing(statement: _Select, tx: Connection) -> _Select:
    """`statement` with FOR SHARE on PostgreSQL; SQLite's one writer has the whole database anyway."""
    return statement.with_for_update(read=True) if tx.dialect.name == "postgresql" else statement
