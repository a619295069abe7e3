"""Statements that are made once: building one anew costs as much as running it.

Each builder is cached by what makes its statement differ: the table and the names of columns, never a value.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Insert, Table, Update, and_, bindparam
from sqlalchemy import insert as core_insert
from sqlalchemy import update as core_update
from sqlalchemy.dialects import postgresql, sqlite

from vault.columns import database_clock


def insert(tx: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert one row."""
    tx.execute(_insert(table), row)


def insert_if_absent(tx: Connection, table: Table, row: Mapping[str, Any], *, lease: int | None = None) -> bool:
    """Insert `row` unless a unique key stands in the way; whether it did. `lease`: seconds of `lease_until` from now.

    PostgreSQL waits for another transaction that is inserting the same key, so the answer is final.
    """
    return tx.execute(_insert_if_absent(table, tx.dialect.name, lease), row).rowcount == 1


def update_row(tx: Connection, table: Table, key: Mapping[str, Any], changes: Mapping[str, Any], *also: Any) -> bool:  # noqa: ANN401  # SQL conditions
    """Change the row that `key` names, if the conditions `also` (each made once) hold; whether it was changed."""
    statement = _update(table, tuple(key), tuple(changes), also)
    values = {f"key_{name}": value for name, value in key.items()} | {
        f"new_{name}": value for name, value in changes.items()
    }
    return tx.execute(statement, values).rowcount == 1


@cache
def _insert(table: Table) -> Insert:
    return core_insert(table)


@cache
def _insert_if_absent(table: Table, dialect: str, lease: int | None) -> Insert:
    made = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    expressions = {} if lease is None else {"lease_until": database_clock(lease)}
    return made.values(expressions).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


@cache
def _update(
    table: Table, key: tuple[str, ...], changes: tuple[str, ...], also: tuple[ColumnElement[bool], ...]
) -> Update:
    this = and_(*(table.c[name] == bindparam(f"key_{name}") for name in key), *also)
    return core_update(table).where(this).values({name: bindparam(f"new_{name}") for name in changes})
