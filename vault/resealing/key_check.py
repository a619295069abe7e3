"""Whether what is sealed opens: a sample of each sealed column, or all of it, and of the DEKs themselves.

A value whose DEK an erasure destroyed is no trouble, it was meant to open no more; one whose DEK was destroyed without
the ledger is, like one whose DEK has no row. Nothing is changed, and nothing of what opens is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row, Select, Table, func, select

from keys.envelope import dek_id_of, unseal
from keys.errors import KeyDestroyed, KeyMissing, KeyReplaced, Unreadable
from keys.keyring import Keyring
from keys.keystore import DEKS
from rows.engine import reading
from rows.pages import pages
from vault.sealed_columns import HOLDERS, SEALED_COLUMNS, SealedColumn

PAGE = 500
UNREADABLE, MISSING, DESTROYED = "does not open", "its DEK is missing", "its DEK was destroyed, not by an erasure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One row that does not open: where, and why. `row` is its primary key after the tenant."""

    tenant: str
    table: str
    column: str
    row: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """How much of one column was looked at, and what is wrong there."""

    table: str
    column: str
    rows: int
    troubles: list[Trouble]


def examine(records: Engine, keyring: Keyring, sample: int | None) -> Iterator[Looked]:
    """Look at `sample` values of each column, or at all; column by column, the DEKs last. Raises RootKeyAway."""
    for column in SEALED_COLUMNS:
        value = column.table.c[column.column]
        rows = _picked(records, column.table, select(column.table).where(value.is_not(None)), sample)
        yield _looked(column.table, column.column, rows, partial(_opens, keyring, column))
    for holder in HOLDERS.values():
        named = select(holder.table).where(holder.table.c.dek_id.is_not(None), holder.table.c.state.in_(holder.alive))
        rows = _picked(records, holder.table, named, sample)
        yield _looked(holder.table, "dek_id", rows, lambda row: keyring.dek(row.tenant_id, row.dek_id))
    rows = _picked(keyring.keystore, DEKS, select(DEKS).where(DEKS.c.wrapped.is_not(None)), sample)
    yield _looked(DEKS, "wrapped", rows, lambda row: keyring.dek(row.tenant_id, row.dek_id))


def _looked(table: Table, column: str, rows: Iterator[Row[Any]], tried: Callable[[Row[Any]], object]) -> Looked:
    count, troubles = 0, []
    for row in rows:
        count += 1
        trouble = _trouble(tried, row)
        if trouble is not None:
            named = _named(table, row._asdict())
            troubles.append(Trouble(tenant=row.tenant_id, table=table.name, column=column, row=named, trouble=trouble))
    return Looked(table=table.name, column=column, rows=count, troubles=troubles)


def _opens(keyring: Keyring, column: SealedColumn, row: Row[Any]) -> None:
    record = bytes(getattr(row, column.column))
    dek_id, place = dek_id_of(record), column.context(keyring.deployment, row._asdict())
    unseal(keyring.dek(row.tenant_id, dek_id), record, place)


def _trouble(tried: Callable[[Row[Any]], object], row: Row[Any]) -> str | None:
    """What keeps a value, or a DEK, from opening; None where nothing does but an erasure."""
    try:
        tried(row)
    except Unreadable:
        return UNREADABLE
    except KeyReplaced:
        return DESTROYED
    except KeyMissing:
        return MISSING
    except KeyDestroyed:
        return None  # by an erasure
    return None


def _picked(engine: Engine, table: Table, rows: Select[Any], sample: int | None) -> Iterator[Row[Any]]:
    """That many rows, drawn by lot, or all of them page by page along the primary key."""
    if sample is not None:
        with reading(engine) as connection:
            yield from connection.execute(rows.order_by(func.random()).limit(sample)).all()
        return
    for page in pages(engine, rows, [*table.primary_key.columns], PAGE):
        yield from page


def _named(table: Table, row: Mapping[str, Any]) -> str:
    key = [row[each.name] for each in table.primary_key.columns if each.name != "tenant_id"]
    return " ".join(each.hex() if isinstance(each, bytes) else str(each) for each in key)
