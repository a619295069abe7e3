"""Rows as values of a class of their own, which says what each column is.

The class is a dataclass whose fields are called as the statement's columns are; one that has more columns inherits from
the one of the table. What only one or two columns of are read needs no class.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import Result

R = TypeVar("R")


def maker(kind: type[R], names: Sequence[str]) -> Callable[[Sequence[Any]], R]:
    """What makes a `kind` of the values of a row with columns of these names.

    Raises TypeError where the class has other fields: what is read would not be what its type says.
    """
    wanted = [each.name for each in fields(kind)]  # type: ignore[arg-type]  # a dataclass, which no type says
    if sorted(wanted) != sorted(names):
        raise TypeError(f"{kind.__name__} has {sorted({*wanted} ^ {*names})} apart from its statement's columns")
    if wanted == list(names) or len(names) == 1:
        return lambda values: kind(*values)
    in_order = itemgetter(*(list(names).index(name) for name in wanted))
    return lambda values: kind(*in_order(values))


def all_of(kind: type[R], result: Result[Any]) -> list[R]:
    """Every row of a result. Raises TypeError as `maker`."""
    make = maker(kind, list(result.keys()))
    return [make(row) for row in result]


def one_of(kind: type[R], result: Result[Any]) -> R | None:
    """The first row of a result that has one at most, None if it has none. Raises TypeError as `maker`."""
    row = result.first()
    return None if row is None else maker(kind, list(result.keys()))(row)
