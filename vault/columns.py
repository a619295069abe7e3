"""Column types that both databases keep alike."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, LargeBinary, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from keys.utc import UtcDateTime

Id = String(40)
Word = String(40)
Sealed = LargeBinary
Digest = LargeBinary


class database_clock(FunctionElement[datetime]):  # noqa: N801  # it reads as the SQL function that it is
    """The database's own clock, `seconds` from now: leases and windows never compare two machines' clocks."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, seconds: int = 0) -> None:
        """Take whole seconds; the past is negative."""
        super().__init__(literal(seconds, Integer))


@compiles(database_clock, "postgresql")
def _postgresql_clock(element: database_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    return f"(clock_timestamp() + make_interval(secs => {compiler.process(element.clauses, **kw)}))"


@compiles(database_clock, "sqlite")
def _sqlite_clock(element: database_clock, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', {compiler.process(element.clauses, **kw)} || ' seconds')"
