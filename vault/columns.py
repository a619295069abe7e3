"""Column types that both databases keep alike."""

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Integer, LargeBinary, ScalarSelect, String, Text, literal, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from keys.database import NOT_BACK
from keys.utc import UtcDateTime

Id = String(40)
Word = String(40)
Sealed = LargeBinary
Digest = LargeBinary


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


class instance(FunctionElement[str]):  # noqa: N801  # as above
    """Which database the records lie in, as the statement that it stands in sees it.

    PostgreSQL: since when its server runs, on which timeline, and which table the guard's row lies in: a restart, a
    promotion, a base backup that is started and a dump that is read in are each another one. SQLite: the word of
    Panless's last start, NULL where that was alive later than this file says: another file was copied over it.
    """

    type = Text()
    inherit_cache = True


@compiles(instance, "postgresql")
def _postgresql_instance(_element: instance, _compiler: SQLCompiler, **_kw: Any) -> str:  # noqa: ANN401  # its signature
    server = "extract(epoch FROM pg_postmaster_start_time())"
    timeline = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
    return f"(SELECT concat_ws('/', {server}, {timeline}, guard.tableoid) FROM guard)"  # noqa: S608  # constants only


@compiles(instance, "sqlite")
def _sqlite_instance(_element: instance, _compiler: SQLCompiler, **_kw: Any) -> str:  # noqa: ANN401  # its signature
    newest = "SELECT instance, at FROM beats ORDER BY rowid DESC LIMIT 1"
    return f"(SELECT instance FROM ({newest}) WHERE {NOT_BACK}(at))"  # noqa: S608  # constants only
