"""Statements that are made once: SQLAlchemy writes the SQL and knows the types, the driver runs it.

Running a statement through SQLAlchemy takes three times the CPU of the driver's own part, and a tokenize runs eight
(docs/decisions/0009). The connection, its pool and its transaction stay SQLAlchemy's, errors come as its errors, and
whoever listens to its `before_cursor_execute` and `after_cursor_execute` sees these statements too.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, overload

from sqlalchemy import ColumnElement, Connection, Dialect
from sqlalchemy.sql.base import Executable
from sqlalchemy.types import TypeEngine

from rows.driver_errors import as_sqlalchemy_says
from rows.tenants import BIND, said, saying
from rows.typed import R, maker

_Process = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Form:
    """A statement in one dialect: its text, what goes in under which name, and what comes out."""

    sql: str
    order: tuple[str, ...] | None
    """The names of parameters by position, None where the driver takes them by name."""
    constants: Mapping[str, Any]
    binds: tuple[tuple[str, _Process], ...]
    values: Callable[[Sequence[Any]], Sequence[Any]]
    """A row's values as their columns' types have them, of what the driver gave."""
    make: Callable[[Sequence[Any]], Any]


class Prepared(Generic[R]):
    """One Core statement whose values are all named by `bindparam`.

    Its rows are of the class that is given with it (see `rows.typed`), or else named tuples.
    """

    @overload
    def __init__(self: "Prepared[Any]", statement: Executable) -> None: ...
    @overload
    def __init__(self, statement: Executable, kind: type[R]) -> None: ...
    def __init__(self, statement: Executable, kind: type[R] | None = None) -> None:
        self._statement = statement
        self._kind = kind
        self._forms: dict[str, _Form] = {}

    def all(self, connection: Connection, values: Mapping[str, Any]) -> list[R]:
        """Every row."""
        form = self._form(connection)
        return [form.make(form.values(raw)) for raw in self._run(connection, form, values).fetchall()]

    def one_or_none(self, connection: Connection, values: Mapping[str, Any]) -> R | None:
        """The first row, None if there is none: for statements that find one at most."""
        form = self._form(connection)
        raw = self._run(connection, form, values).fetchone()
        return None if raw is None else form.make(form.values(raw))

    def one(self, connection: Connection, values: Mapping[str, Any]) -> R:
        """The row of a statement that always finds one. Raises LookupError if it did not."""
        row = self.one_or_none(connection, values)
        if row is None:
            raise LookupError("a statement that always finds a row found none")
        return row

    def scalar(self, connection: Connection, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  # of any column
        """The first column of the first row, None if there is none."""
        form = self._form(connection)
        raw = self._run(connection, form, values).fetchone()
        return None if raw is None else form.values(raw)[0]

    def change(self, connection: Connection, values: Mapping[str, Any]) -> int:
        """How many rows an INSERT, UPDATE or DELETE made, changed or took away."""
        return int(self._run(connection, self._form(connection), values).rowcount)

    def form(self, dialect: Dialect) -> object:
        """What it becomes in a dialect. Raises TypeError where its rows are of a class with other columns."""
        return _formed(self._statement, dialect, self._kind)

    def _form(self, connection: Connection) -> _Form:
        dialect, tenant = connection.dialect, said(connection)
        name = dialect.name if tenant is None else _SAYING
        form = self._forms.get(name)
        if form is None:  # two threads may both make it; it is the same
            statement = self._statement if tenant is None else saying(self._statement)
            form = self._forms[name] = _formed(statement, dialect, self._kind)
        return form

    def _run(self, connection: Connection, form: _Form, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  # the driver's cursor
        named = {**form.constants, **values, BIND: said(connection)}
        for name, process in form.binds:
            named[name] = process(named[name])
        given = named if form.order is None else [named[name] for name in form.order]
        proxied = connection.connection
        cursor = _cursor(connection.dialect, proxied)
        for told in connection.dispatch.before_cursor_execute:
            told(connection, cursor, form.sql, given, None, False)  # noqa: FBT003  # SQLAlchemy's signature
        try:
            cursor.execute(form.sql, given)
        except connection.dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy_says(connection, cursor, form.sql, error) from None
        for told in connection.dispatch.after_cursor_execute:
            told(connection, cursor, form.sql, given, None, False)  # noqa: FBT003  # as above
        return cursor


def _cursor(dialect: Dialect, proxied: Any) -> Any:  # noqa: ANN401  # the driver's
    if dialect.name == _NUMBERED:
        return dialect.loaded_dbapi.RawCursor(proxied.dbapi_connection)
    return proxied.cursor()


def _formed(statement: Executable, dialect: Dialect, kind: type | None) -> _Form:
    """The statement in this dialect, in these steps.

    1. SQLAlchemy compiles it, and fills in what it names itself: the constants, and lists of one fixed length.
    2. Each value that goes in has a process of its column's type; constants pass theirs here, once.
    3. So has each column that comes out; what is made of them is the class that was asked for, or a named tuple.
    """
    compiled = _compiled(statement, dialect)
    given = {name: None for bind, name in compiled.bind_names.items() if bind.required}
    state = compiled.construct_expanded_state(given)
    processes = {name: process for bind, name in compiled.bind_names.items() if (process := _into(bind.type, dialect))}
    processes |= {name: process for name, process in state.processors.items() if process is not None}
    constants = {name: value for name, value in state.parameters.items() if name not in given}
    columns = getattr(statement, "selected_columns", ())
    return _Form(
        sql=state.statement,
        order=tuple(state.positiontup) if compiled.positional else None,
        constants={name: processes.get(name, _as_it_is)(value) for name, value in constants.items()},
        binds=tuple((name, process) for name, process in processes.items() if name in given),
        values=_values_of(columns, dialect),
        make=_maker_of([column.key for column in columns], kind),
    )


def _compiled(statement: Executable, dialect: Dialect) -> Any:  # noqa: ANN401  # SQLAlchemy's, with what no type of it shows
    """Numbered as the server wants them, PostgreSQL's parameters need no parsing by the driver.

    Its cache of parsed statements leaves out those of more than 50, which write several rows together.
    """
    numbered: Any = type(dialect)  # PostgreSQL's takes a style
    style = numbered(paramstyle="numeric_dollar") if dialect.name == _NUMBERED else dialect
    return statement.compile(dialect=style)  # type: ignore[attr-defined]  # every statement of Core has it


_NUMBERED = "postgresql"
_SAYING = "postgresql, saying the tenant"


def _as_it_is(value: Any) -> Any:  # noqa: ANN401  # of any column
    return value


def _maker_of(names: Sequence[str], kind: type | None) -> Callable[[Sequence[Any]], Any]:
    if kind is not None:
        return maker(kind, names)
    made: Any = namedtuple("Row", names)  # type: ignore[misc]  # noqa: PYI024  # its fields are the statement's
    return made._make


def _values_of(columns: Iterable[ColumnElement[Any]], dialect: Dialect) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What is done to a row's values that the driver gave; most need nothing."""
    found = ((place, _out_of(column.type, dialect)) for place, column in enumerate(columns))
    processes = [(place, process) for place, process in found if process is not None]
    if not processes:
        return _as_it_is

    def processed(raw: Sequence[Any]) -> Sequence[Any]:
        values = list(raw)
        for place, process in processes:
            values[place] = process(values[place])
        return values

    return processed


def _into(kind: TypeEngine[Any], dialect: Dialect) -> _Process | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _out_of(kind: TypeEngine[Any], dialect: Dialect) -> _Process | None:
    return kind.dialect_impl(dialect).result_processor(dialect, None)
