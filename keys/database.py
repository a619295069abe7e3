"""How both databases are opened, read and written: SQLite files or PostgreSQL.

Reads run in AUTOCOMMIT, so that no transaction stays open between statements. Writes go through `transaction`:
on PostgreSQL that is an ordinary transaction, on SQLite it is BEGIN IMMEDIATE behind one file lock of our own, because
SQLite's own busy handler lets a writer starve (p99 875 ms against 43 ms with two processes writing).
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from keys.answered_in_time import connect_in_time
from keys.hosts import Hosts

WAL_IS_SAFE_FROM = (3, 51, 3)
"""Earlier SQLite releases can corrupt a database when a WAL file is reset (sqlite.org, release 3.51.3)."""

BUSY_SECONDS = 30
STATEMENTS = 500
"""How many prepared statements a PostgreSQL connection keeps: more than this program has."""

WAIT_SECONDS = 10
"""How long a request waits for a connection before it is told that the database is busy."""


def open_database(
    url: str, connections: int = 10, *, prepares: bool = True, seconds: float | None = None, hosts: Hosts | None = None
) -> Engine:
    """An engine for `url` (`sqlite:///path` or `postgresql://...`) that prints no parameters in its errors.

    It opens at most `connections`; who comes later waits: a server has its limit, and meeting it is an outage for all.
    It carries a second one of the same size for reading, whose connections stay in AUTOCOMMIT: switching a connection
    back and forth costs more than reading a row. Nothing connects before the first statement. `prepares`: PostgreSQL
    keeps statements for the next time, which not every pooler can do. `seconds`: in which PostgreSQL answers each
    statement, or its connection is closed; None waits for as long as it takes. `hosts`: what is known of those that did
    not answer, for several databases on the same ones.
    """
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    sqlite_file = parsed.get_backend_name() == "sqlite"
    options = {
        "hide_parameters": True,
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": min(WAIT_SECONDS, seconds or WAIT_SECONDS),
        "pool_use_lifo": True,
        "pool_reset_on_return": None,  # `transaction` ends what it began; a rollback more would cost every reading
        "connect_args": _SQLITE if sqlite_file else {**_POSTGRESQL, "prepare_threshold": 0 if prepares else None},
    }
    reader = create_engine(parsed, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, **options)
    writer = create_engine(parsed, execution_options={READER: reader}, **options)
    event.listen(writer, "engine_disposed", lambda _engine: reader.dispose())
    timelines, lives, hosts = _Timelines(), _Lives(), hosts or Hosts()
    prepare = partial(_prepare_sqlite, _Newest()) if sqlite_file else partial(_prepare_postgresql, timelines)
    for one in (reader, writer):
        event.listen(one, "connect", prepare)
        if seconds is not None and not sqlite_file:
            event.listen(one, "do_connect", partial(connect_in_time, seconds, hosts))
            event.listen(one, "connect", hosts.note)
            event.listen(one, "checkout", hosts.refuse_hung)
        if not sqlite_file:
            event.listen(one, "connect", lives.note)
            event.listen(one, "invalidate", lives.end)
            event.listen(one, "checkout", timelines.refuse_left_behind)
            event.listen(one, "checkout", lives.refuse_ended)
    if sqlite_file:
        event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return writer


def reader_of(engine: Engine) -> Engine:
    """The engine that `reading` takes its connections from."""
    reader: Engine = engine.get_execution_options()[READER]
    return reader


READER = "panless_reader"
"""The option of an engine under which it carries the one for reading."""

OPENED = "panless_opened"
"""Under which name a connection to a SQLite file keeps which file it opened."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as it was when a connection opened it."""

    path: Path
    inode: int

    @property
    def instance(self) -> str:
        """The file, or that another one lies in its place: this connection still reads the one that is gone."""
        try:
            return str(self.inode) if self.path.stat().st_ino == self.inode else REPLACED
        except FileNotFoundError:
            return REPLACED


REPLACED = "replaced"
"""The instance of a file that is not the one that a connection opened."""


_SQLITE = {"timeout": BUSY_SECONDS}
_POSTGRESQL = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""Seconds, and at last milliseconds, until the network says of a server that is gone that it is gone."""


def _prepare_postgresql(timelines: "_Timelines", dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # this room names no driver
    dbapi.prepared_max = STATEMENTS  # with psycopg's own 100, busy connections would throw out what they soon need
    try:
        timelines.note(dbapi, entry)
    except BaseException:
        dbapi.close()  # the pool has not seen it yet, so nobody else would
        raise


class _Timelines:
    """The latest timeline of a PostgreSQL that this process has seen.

    After a failover the primary from before may go on for a while, and connections to it would go on in a history that
    is over: they are dropped, and none is made to it again.
    """

    def __init__(self) -> None:
        self._latest = ""

    def note(self, dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # the driver's connection
        """Keep the timeline of a new connection. Raises OperationalError for one that is over."""
        cursor = dbapi.execute(_TIMELINE)
        entry.info[_ON_TIMELINE] = seen = cursor.fetchone()[0] or self._latest
        dbapi.rollback()
        self._latest = max(self._latest, seen)
        if seen < self._latest:
            raise OperationalError("this server was left behind by a failover", None, Exception(seen))

    def refuse_left_behind(self, _dbapi: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # as above
        """Have the pool make a new connection in place of one whose server was left behind since."""
        if entry.info.get(_ON_TIMELINE, self._latest) < self._latest:
            raise DisconnectionError("this server was left behind by a failover")


class _Lives:
    """How often a PostgreSQL has ended under the connections of this engine, or of its reader.

    One that is gone says so of all that were made before it went, in both pools: else each would be met later, by
    another request, and be its outage.
    """

    def __init__(self) -> None:
        self._ended = 0

    def note(self, _dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # the driver's connection
        """Keep in which life a connection was made."""
        entry.info[_IN_LIFE] = self._ended

    def end(self, _dbapi: Any, entry: ConnectionPoolEntry, error: BaseException | None) -> None:  # noqa: ANN401  # as above
        """A connection of the present life is gone: that life is over."""
        is_news = error is not None and not isinstance(error, DisconnectionError)
        if is_news and entry.info.get(_IN_LIFE) == self._ended:
            self._ended += 1

    def refuse_ended(self, _dbapi: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # as above
        """Have the pool make a new connection in place of one from before."""
        if entry.info.get(_IN_LIFE, self._ended) < self._ended:
            raise DisconnectionError("the server has ended since")


_IN_LIFE = "panless_life"
_ON_TIMELINE = "panless_timeline"
_TIMELINE = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
"""Eight digits that sort by time; NULL on a standby, which has none of its own."""


NOT_BACK = "panless_not_back"
"""A function of SQLite connections: whether a moment is no earlier than the latest that this process gave it."""


class _Newest:
    """The latest moment that a connection of an engine has seen: a file that is copied over brings back an earlier."""

    def __init__(self) -> None:
        self._seen = ""

    def is_not_back(self, moment: str) -> bool:
        """Moments are text of one form, which sorts by time."""
        self._seen, is_back = max(self._seen, moment), moment < self._seen
        return not is_back


def _prepare_sqlite(newest: _Newest, dbapi: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    dbapi.create_function(NOT_BACK, 1, newest.is_not_back)
    dbapi.isolation_level = None  # the driver opens no transaction behind our back; the listener for `begin` does
    wal = sqlite3.sqlite_version_info >= WAL_IS_SAFE_FROM
    for pragma in (
        "foreign_keys=ON",
        "secure_delete=ON",
        f"journal_mode={'WAL' if wal else 'DELETE'}",
        "synchronous=FULL",
    ):
        dbapi.execute(f"PRAGMA {pragma}")
    path = dbapi.execute("PRAGMA database_list").fetchone()[2]
    if path:  # none in memory
        entry.info[OPENED] = Opened(Path(path), Path(path).stat().st_ino)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in AUTOCOMMIT: each statement sees what is committed when it runs."""
    with reader_of(engine).connect() as connection:
        yield connection


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed when the block ends, rolled back when it raises."""
    with _one_writer(engine), engine.begin() as connection:
        yield connection


@contextmanager
def single(engine: Engine) -> Iterator[Connection]:
    """A write transaction of one statement; on PostgreSQL in AUTOCOMMIT, which spares a BEGIN and a COMMIT."""
    with (transaction if engine.dialect.name == "sqlite" else reading)(engine) as connection:
        yield connection


@contextmanager
def _one_writer(engine: Engine) -> Iterator[None]:
    """On SQLite, the only writer among all threads and processes of this machine."""
    file = engine.url.database
    if engine.dialect.name != "sqlite" or not file or file == ":memory:":
        yield
        return
    # Each opening is its own lock, so threads exclude each other too; a file object would cost four times as much.
    lock_file = os.open(f"{file}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock_file)
