"""Whether a database is still the one that was vouched for, told by what comes along with a row that is read anyway.

PostgreSQL: when its server started, which table the guard's row lies in, which transaction wrote it (`xmin`), and the
row. Neither the system identifier nor the timeline would do: a base backup that is started has both the same. A server
that is put back starts anew, a database that is restored has other tables, rows that are put back another writer.
SQLite: the file's inode and the row.

Our own steps along the ledger move the row forward, in the same instance: that is the same database. A backup with a
later row than the one that was vouched for would have to be younger than the guard's last look.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, String, Table, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from keys.errors import DatabaseReplaced, KeyMissing
from keys.keystore import GUARD, Watermark
from rows.engine import OPENED, REPLACED, Opened
from rows.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database it is, who wrote the guard's row there, and what it says."""

    instance: str
    writer: str
    mark: Watermark


def goes_on(then: Identity, now: Identity) -> bool:
    """Whether it is the same database as then, unchanged or further along the ledger."""
    return now == then or (now.instance == then.instance != REPLACED and now.mark.seq > then.mark.seq)


PATIENCE = 0.5
"""Seconds for which a request waits for the look of another, before it looks, too: that one may hang."""


class Witness:
    """Knows one database again. What it does not know it leaves to `alarm`, which vouches for it or raises.

    `suspects` is asked even of what looks the same: a SQLite file that was copied over has the inode it had.
    """

    def __init__(self) -> None:
        self.vouched: Identity | None = None
        self.alarm: Callable[[], None] = _nobody
        self.suspects: Callable[[Identity], bool] = _nothing
        self._lock = threading.Lock()
        self._looking = threading.Lock()

    def check(self, now: Identity, expected: Identity | None) -> None:
        """Hold what a statement saw against what was vouched for before it ran; not while holding a connection to read.

        Raises DatabaseReplaced, and what `alarm` raises.
        """
        if not self._knows(expected, now):
            self._doubt(now)
        elif now != expected:
            self._move_on(now)

    def _knows(self, then: Identity | None, now: Identity) -> bool:
        return then is not None and goes_on(then, now) and not self.suspects(now)

    def _doubt(self, now: Identity) -> None:
        is_first = self._looking.acquire(timeout=PATIENCE)  # of many requests that see it, one looks
        try:
            if not self._knows(self.vouched, now):
                self.alarm()
        finally:
            if is_first:
                self._looking.release()
        if self.vouched is not None and self.vouched.instance != now.instance:
            raise DatabaseReplaced("the database was replaced while it was read")

    def _move_on(self, now: Identity) -> None:
        with self._lock:
            if self.vouched is not None and goes_on(self.vouched, now):
                self.vouched = now


def _nothing(_identity: Identity) -> bool:
    return False


def _nobody() -> None:
    """Nobody guards these databases: commands that look before they do anything."""


def identified(connection: Connection, told: str) -> Identity:
    """The identity that `identity_of` told over this connection."""
    opened: Opened | None = connection.info.get(OPENED)
    return _parsed(told, opened.instance if opened else "")


def of_keystore(connection: Connection) -> Identity:
    """Which keystore this is. Raises KeyMissing if it was never founded."""
    row = _OF_KEYSTORE.one_or_none(connection, {})
    if row is None:
        raise KeyMissing("this keystore has no watermark: it was never set up, or not restored whole")
    return identified(connection, row.identity)


@lru_cache(maxsize=16)  # every request parses what the one before it did
def _parsed(told: str, file: str) -> Identity:
    instance, writer, seq, digest = told.split(" ")
    return Identity(file or instance, writer, Watermark(int(seq), bytes.fromhex(digest)))


class identity_of(FunctionElement[str]):  # noqa: N801  # it reads as the SQL function that it is
    """The column that tells it, of the guard's table; where no row is to be read with it, of a subquery."""

    type = String()
    inherit_cache = True

    def __init__(self, guard: Table) -> None:
        super().__init__(guard.c.seq, guard.c.hash)


@compiles(identity_of, "postgresql")
def _postgresql(element: identity_of, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    seq, digest = (compiler.process(clause, **kw) for clause in element.clauses)
    server = "extract(epoch FROM pg_postmaster_start_time()) || '/' || guard.tableoid"
    return f"concat_ws(' ', {server}, guard.xmin, {seq}, encode({digest}, 'hex'))"


@compiles(identity_of, "sqlite")
def _sqlite(element: identity_of, compiler: SQLCompiler, **kw: Any) -> str:  # noqa: ANN401  # its signature
    seq, digest = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"('- - ' || {seq} || ' ' || hex({digest}))"


_OF_KEYSTORE = Prepared(select(identity_of(GUARD).label("identity")))
