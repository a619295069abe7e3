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
from sqlalchemy.pool import ConnectionPoolEntry

from rows.answered_in_time import connect_in_time
from rows.failover import Lives, Timelines
from rows.hosts import Hosts

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
    timelines, lives, hosts = Timelines(), Lives(), hosts or Hosts()
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


def is_sqlite(bind: Engine | Connection) -> bool:
    """Whether it is a SQLite file, which has one writer at a time and needs no second trip; else it is PostgreSQL."""
    return bind.dialect.name == "sqlite"


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


def _prepare_postgresql(timelines: Timelines, dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # this room names no driver
    dbapi.prepared_max = STATEMENTS  # with psycopg's own 100, busy connections would throw out what they soon need
    try:
        timelines.note(dbapi, entry)
    except BaseException:
        dbapi.close()  # the pool has not seen it yet, so nobody else would
        raise


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
    with (transaction if is_sqlite(engine) else reading)(engine) as connection:
        yield connection


@contextmanager
def _one_writer(engine: Engine) -> Iterator[None]:
    """On SQLite, the only writer among all threads and processes of this machine."""
    file = engine.url.database
    if not is_sqlite(engine) or not file or file == ":memory:":
        yield
        return
    # Each opening is its own lock, so threads exclude each other too; a file object would cost four times as much.
    lock_file = os.open(f"{file}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock_file)
