"""Two SQLite files under the driver: each statement in AUTOCOMMIT and each wait for the write lock is an edge.

The house opens its engines as ever; SQLAlchemy's `do_connect` says who connects. A statement's rows
are read at once, so that nobody stands still with a file locked. `strftime` tells the virtual time.
"""

import errno
import fcntl
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, event

_flock = fcntl.flock

Edge = Callable[[str], None]
"""Told where an actor is; it stands still there for a while, or dies."""


class Gate:
    """What every connection of one process passes. `away` names databases that do not answer."""

    def __init__(self, edge: Edge, now: Callable[[], float]) -> None:
        self.edge = edge
        self.now = now
        self.away: set[str] = set()


class Cursor(sqlite3.Cursor):
    """Runs a statement and reads all of it."""

    connection: "Connection"
    _rows: list[Any]
    _next = 0

    def execute(self, sql: str, parameters: Any = ()) -> "Cursor":
        self.connection.pass_by(sql)
        super().execute(sql, parameters)
        self._rows, self._next = super().fetchall() if self.description else [], 0
        return self

    def fetchone(self) -> Any:
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Any]:
        start = self._next
        self._next = min(start + (size or 1), len(self._rows))
        return self._rows[start : self._next]

    def fetchall(self) -> list[Any]:
        start, self._next = self._next, len(self._rows)
        return self._rows[start:]

    def __iter__(self) -> Any:
        return iter(self.fetchall())


class Connection(sqlite3.Connection):
    """One connection of one process to the records or the keystore."""

    gate: Gate
    name: str

    def cursor(self, factory: Any = Cursor) -> Any:
        return super().cursor(factory)

    def commit(self) -> None:
        if self.in_transaction:
            self.pass_by("COMMIT")
        super().commit()

    def pass_by(self, sql: str) -> None:
        """An edge: before each statement in AUTOCOMMIT and each commit, not where the lock has just been waited for."""
        if self.name in self.gate.away:
            raise sqlite3.OperationalError("unable to open database file")
        if not sql.startswith("BEGIN") and (sql == "COMMIT" or not self.in_transaction):
            self.gate.edge(f"{self.name} {sql[:6].lower()}")


def listen(gates: dict[str, tuple[str, Gate]]) -> Callable[[], None]:
    """Have connections to these files pass their gates: by path what it is, and the gate. What comes back ends it."""

    def connect(_dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Connection | None:
        found = gates.get(arguments[0]) if arguments else None
        if found is None:
            return None
        made = sqlite3.connect(*arguments, **{**options, "factory": Connection, "check_same_thread": False})
        made.name, made.gate = found
        made.create_function("strftime", -1, lambda *asked: told(made.gate.now(), *asked))
        return made

    event.listen(Engine, "do_connect", connect)
    return lambda: event.remove(Engine, "do_connect", connect)


def told(now: float, _form: str, _base: str, shift: str = "0 seconds") -> str:
    """`strftime('%Y-%m-%d %H:%M:%f000', 'now', shift)`, the one form that the house asks for."""
    moment = datetime.fromtimestamp(now, UTC) + timedelta(seconds=int(shift.split(" ", 1)[0]))
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d}000"


LONGEST_WAIT = 300.0


def flock_of(edge: Edge, wait: Callable[[float], bool]) -> Callable[[Any, int], None]:
    """The operating system's file lock, for which an actor waits in virtual time, looking less and less often."""

    def flock(file: Any, operation: int) -> None:
        edge("write")
        pause = 0.25
        while True:
            try:
                _flock(file, operation | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno != errno.EWOULDBLOCK or not wait(pause):
                    raise
                pause = min(pause * 2, LONGEST_WAIT)
            else:
                return

    return flock
