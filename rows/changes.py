"""Rows written as data: a transaction says what changes, and on PostgreSQL all of it goes there as one statement.

Building a statement anew costs as much as running it, so each is made once, by its shape: the tables and the names of
columns, never a value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Connection,
    Delete,
    ScalarSelect,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    select,
    true,
)
from sqlalchemy import update as core_update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError

from rows.clock import database_clock
from rows.engine import is_sqlite
from rows.prepared import Prepared

_InsertInto = Callable[[Table], postgresql.Insert | sqlite.Insert]


@dataclass(frozen=True, slots=True)
class _Shape:
    """All that makes a statement differ from others. `key` is None for an insert."""

    table: Table
    values: tuple[str, ...]
    key: tuple[str, ...] | None = None
    also: tuple[ColumnElement[bool], ...] = ()
    if_absent: bool = False
    clocks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class _Given:
    """A statement that was made elsewhere, once; its values keep their names. `several`: it may make any number."""

    statement: Select[Any] | Update | Delete
    several: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be written and is not yet: one row to insert or to change, or a statement with its values."""

    shape: _Shape | _Given
    values: Mapping[str, Any] = field(repr=False)
    key: Mapping[str, Any] = field(default_factory=dict, repr=False)


def inserted(
    table: Table, row: Mapping[str, Any], *, if_absent: bool = False, clocks: Mapping[str, int] | None = None
) -> Change:
    """A new row. `if_absent`: unless a unique key stands in the way. `clocks`: columns at so many seconds from now.

    PostgreSQL waits for another transaction that is inserting the same key, so the answer is final.
    """
    return Change(_Shape(table, tuple(row), if_absent=if_absent, clocks=tuple((clocks or {}).items())), row)


def held(rows: Select[Any], values: Mapping[str, Any]) -> Change:
    """Rows that must be there, and are locked as `rows` says (a statement that is made once)."""
    return Change(_Given(rows, several=False), values)


def each(values: Mapping[str, Any], *statements: Update | Delete) -> tuple[Change, ...]:
    """Updates and deletes of any number of rows, each made once, that take the same values."""
    return tuple(Change(_Given(statement, several=True), values) for statement in statements)


def updated(
    table: Table,
    key: Mapping[str, Any],
    changes: Mapping[str, Any],
    *also: ColumnElement[bool],
    clocks: Mapping[str, int] | None = None,
) -> Change:
    """Other values in the row that `key` names, if the conditions `also` (each made once) hold."""
    shape = _Shape(table, tuple(changes), tuple(key), also, clocks=tuple((clocks or {}).items()))
    return Change(shape, changes, key)


def write(tx: Connection, *changes: Change) -> tuple[bool, ...]:
    """Make the changes; of each, whether there was a row to make it on.

    None of them sees what another one did, and their order is not promised: of one row there is one change.
    """
    if len(changes) > 1 and not is_sqlite(tx):
        made = _together(tuple(change.shape for change in changes)).one(tx, _named(changes))
        return tuple(count == 1 for count in made)
    return tuple(_made(tx, change) for change in changes)


def _made(tx: Connection, change: Change) -> bool:
    if isinstance(change.shape, _Shape):
        return _alone(change.shape, _insert_of(tx)).change(tx, _named([change])) == 1
    prepared = _given(change.shape)
    if isinstance(change.shape.statement, Select):
        return prepared.one_or_none(tx, change.values) is not None
    return prepared.change(tx, change.values) == 1


def write_whole(connection: Connection, changes: Sequence[Change]) -> bool:
    """Make the changes, and say whether all were made, those of `each` left aside; else the caller takes them back.

    On PostgreSQL, where they are one statement that takes itself back, in AUTOCOMMIT too. Each is made once those
    before it were that may not be: where the first of these is not, nothing is written, and there is no error. So the
    one that is most likely to be in the way comes first.
    """
    if is_sqlite(connection):
        made = zip(changes, write(connection, *changes), strict=True)
        return all(done or _any_number(change.shape) for change, done in made)
    try:
        found = _whole(tuple(change.shape for change in changes)).one(connection, _named(changes))
    except DataError as error:
        if getattr(error.orig, "sqlstate", None) != _DIVISION_BY_ZERO:
            raise
        return False
    return bool(found.whole)


def inserting(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows what to do where its row is there: each database's own, both say it alike."""
    return _insert_of(tx)(table)


def insert(tx: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert one row."""
    write(tx, inserted(table, row))


def insert_if_absent(tx: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert `row` unless a unique key stands in the way; whether it did."""
    return write(tx, inserted(table, row, if_absent=True))[0]


def update_row(
    tx: Connection, table: Table, key: Mapping[str, Any], changes: Mapping[str, Any], *also: ColumnElement[bool]
) -> bool:
    """Change the row that `key` names, if the conditions `also` (each made once) hold; whether it was changed."""
    return write(tx, updated(table, key, changes, *also))[0]


def _named(changes: Sequence[Change]) -> dict[str, Any]:
    """The values of all changes, under the names that `_statement` gives them."""
    named: dict[str, Any] = {}
    for place, change in enumerate(changes):
        prefix = f"new{place}_" if isinstance(change.shape, _Shape) else ""
        named |= {f"{prefix}{name}": value for name, value in change.values.items()}
        named |= {f"key{place}_{name}": value for name, value in change.key.items()}
    return named


def _insert_of(tx: Connection) -> _InsertInto:
    return sqlite.insert if is_sqlite(tx) else postgresql.insert


@cache
def _alone(shape: _Shape, insert_into: _InsertInto) -> Prepared[Any]:
    return Prepared(_statement(shape, 0, insert_into))


@cache
def _given(shape: _Given) -> Prepared[Any]:
    return Prepared(shape.statement)


@cache
def _together(shapes: tuple[_Shape | _Given, ...]) -> Prepared[Any]:
    """Data-modifying CTEs, each of which runs once and to its end (PostgreSQL 7.8.4), and how many rows each made."""
    made = [_rows(shape, place) for place, shape in enumerate(shapes)]
    return Prepared(select(*(_count(rows).label(f"made{place}") for place, rows in enumerate(made))))


@cache
def _whole(shapes: tuple[_Shape | _Given, ...]) -> Prepared[Any]:
    """All changes in one statement: 1 where all were made, 0 where nothing was written.

    Where one made no row and another was written before it, it divides by zero: an error is what takes that back.
    """
    made: list[tuple[ScalarSelect[int], bool]] = []
    gate: CTE | None = None
    written: ColumnElement[int] | None = None
    for place, shape in sorted(enumerate(shapes), key=_turn):
        rows = _rows(shape, place, gate)
        count, may_fail = _count(rows), not _any_number(shape) and not _is_certain(shape)
        made.append((count, _any_number(shape)))
        gate = rows if may_fail else gate
        if may_fail and written is None and not _only_looks(shape):
            written = count
    whole = and_(*(count >= 0 if any_number else count == 1 for count, any_number in made))
    if written is None:  # looks alone may fail: behind one that did nothing was written
        written = literal(1) if gate is None else _count(gate)
    return Prepared(select((literal(1) // case((whole, 1), (written == 0, 2), else_=0)).label("whole")))


_DIVISION_BY_ZERO = "22012"


def _count(rows: CTE) -> ScalarSelect[int]:
    return select(func.count()).select_from(rows).scalar_subquery()


def _any_number(shape: _Shape | _Given) -> bool:
    return isinstance(shape, _Given) and shape.several


def _turn(placed: tuple[int, _Shape | _Given]) -> int:
    """Looks come first, then what a rule may forbid, then what is certain to be made."""
    _, shape = placed
    if _only_looks(shape):
        return 0
    return 2 if _any_number(shape) or _is_certain(shape) else 1


def _only_looks(shape: _Shape | _Given) -> bool:
    return isinstance(shape, _Given) and isinstance(shape.statement, Select)


def _is_certain(shape: _Shape | _Given) -> bool:
    """A plain new row: it is made, or an error."""
    return isinstance(shape, _Shape) and shape.key is None and not shape.if_absent


def _rows(shape: _Shape | _Given, place: int, gate: CTE | None = None) -> CTE:
    """What a change makes, once `gate` made a row where there is one."""
    opened = () if gate is None else (exists(select(literal(1)).select_from(gate)),)
    if isinstance(shape, _Shape):
        statement = _statement(shape, place, postgresql.insert, *opened)
    else:
        statement = shape.statement.where(*opened)
    if not isinstance(statement, Select):
        statement = statement.returning(true().label("made"))
    rows: CTE = statement.cte(f"change{place}")
    return rows


def _statement(shape: _Shape, place: int, insert_into: _InsertInto, *opened: ColumnElement[bool]) -> Any:  # noqa: ANN401  # an insert of either dialect, or an update
    values: dict[str, Any] = {
        name: bindparam(f"new{place}_{name}", type_=shape.table.c[name].type) for name in shape.values
    }
    values |= {name: database_clock(seconds) for name, seconds in shape.clocks}
    if shape.key is not None:
        this = (shape.table.c[name] == bindparam(f"key{place}_{name}") for name in shape.key)
        return core_update(shape.table).where(and_(*this, *shape.also, *opened)).values(values)
    made = insert_into(shape.table)
    filled = made.from_select([*values], select(*values.values()).where(*opened)) if opened else made.values(values)
    return filled.on_conflict_do_nothing() if shape.if_absent else filled
