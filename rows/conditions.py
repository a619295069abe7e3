"""Conditions that most statements have: which rows of a table, and which rows of two tables belong together.

Each names the tenant first, so that no statement and no join crosses tenants.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, Table, and_, bindparam, literal_column


def given(table: FromClause, *names: str) -> ColumnElement[bool]:
    """Rows of one tenant whose columns of these names are what the statement is given when it runs.

    `tenant_id` is given as `of_tenant`, `customer_id` as `of_customer`, `live` as `of_live`.
    """
    columns = (table.c[name] for name in ("tenant_id", *names))
    return and_(*(column == bindparam(f"of_{column.name.removesuffix('_id')}") for column in columns))


def together(table: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    """Rows of two tables that are of one tenant and have the same in the columns of these names."""
    return and_(*(table.c[name] == other.c[name] for name in ("tenant_id", *names)))


def spelled(column: ColumnElement[str], *words: str) -> ColumnElement[bool]:
    """That a column has one of these words (of ours), which stand in the SQL and are no parameters.

    PostgreSQL plans a statement that it keeps for any values, and then finds no index of such rows by a parameter.
    """
    each: list[ColumnElement[str]] = [literal_column(f"'{word}'") for word in words]
    return column == each[0] if len(each) == 1 else column.in_(each)


def of_row(table: Table, row: Any) -> ColumnElement[bool]:  # noqa: ANN401  # a row of any columns
    """The row of `table` whose primary key `row` has, which may be of a join."""
    return and_(*(column == getattr(row, column.name) for column in table.primary_key))
