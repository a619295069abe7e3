"""Tables read page by page along their key: a statement takes as long, and as much memory, whatever their size."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Engine, Row, Select, tuple_

from rows.engine import reading


def pages(engine: Engine, rows: Select[Any], key: Sequence[Column[Any]], most: int) -> Iterator[Sequence[Row[Any]]]:
    """The rows, at most so many at a time, in the order of `key`, whose columns must be among theirs."""
    further = rows.order_by(*key).limit(most)
    while True:
        with reading(engine) as connection:
            page = connection.execute(further).all()
        if page:
            yield page
        if len(page) < most:
            return
        further = rows.where(tuple_(*key) > _of(page[-1], key)).order_by(*key).limit(most)


def _of(row: Row[Any], key: Sequence[Column[Any]]) -> tuple[Any, ...]:
    return tuple(getattr(row, each.name) for each in key)
