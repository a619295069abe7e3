"""Which database the records lie in: what a statement asks for that must not believe another one's memory.

The records have a table `guard` of one row, and on SQLite a table `beats`, whose newest row is of Panless's last start.
"""

from typing import Any

from sqlalchemy import Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from rows.engine import NOT_BACK


class instance(FunctionElement[str]):  # noqa: N801  # it reads as the SQL function that it is
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
