"""Moments: as columns keep them, in UTC and aware of it on SQLite too; and the database's own clock."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, DateTime, Dialect, Integer, ScalarSelect, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcDateTime(TypeDecorator[datetime]):
    """A timezone-aware moment. A naive one is refused with ValueError, because nobody knows which hour it means."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """What the driver is given."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - as above
        """What the driver gave: in UTC, from whichever zone the session has; SQLite keeps none."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class database_clock(FunctionElement[datetime]):  # noqa: N801  # it reads as the SQL function that it is
    """The database's own clock, `seconds` from now: leases and windows never compare two machines' clocks."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: int | BindParameter[int] = 0) -> None:
        """Take whole seconds; the past is negative."""
        super().__init__(seconds if isinstance(seconds, BindParameter) else literal(seconds, Integer))


@compiles(database_clock, "postgresql")
def _postgresql_clock(element: database_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(database_clock, "sqlite")
def _sqlite_clock(element: database_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {compiler.process(element.clauses, **kw)} || ' seconds')"


def once(moment: database_clock) -> ScalarSelect[datetime]:
    """A moment that is one for all rows: PostgreSQL asks its clock again for each, and goes along no index by that."""
    return select(moment).scalar_subquery()
