"""How both databases are opened, read and written: SQLite files or PostgreSQL.

Reads run in AUTOCOMMIT, so that no transaction stays open between statements. Writes go through `transaction`:
on PostgreSQL that is an ordinary transaction, on SQLite it is BEGIN IMMEDIATE behind one file lock of our own, because
SQLite's own busy handler lets a writer starve (p99 875 ms against 43 ms with two processes writing).
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.pool import ConnectionPoolEntry

WAL_IS_SAFE_FROM = (3, 51, 3)
"""Earlier SQLite releases can corrupt a database when a WAL file is reset (sqlite.org, release 3.51.3)."""

POOL_SIZE = 32
BUSY_SECONDS = 30


def open_database(url: str) -> Engine:
    """An engine for `url` (`sqlite:///path` or `postgresql+psycopg://...`) that prints no parameters in its errors.

    Nothing connects before the first statement.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    return create_engine(
        parsed,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_use_lifo=True,
        connect_args={"prepare_threshold": 0, "connect_timeout": 5},
    )


def _open_sqlite(url: str) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        connect_args={"timeout": BUSY_SECONDS},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _prepare_sqlite(dbapi: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    dbapi.isolation_level = None  # the driver opens no transaction behind our back; `_begin_immediate` does
    wal = sqlite3.sqlite_version_info >= WAL_IS_SAFE_FROM
    for pragma in (
        "foreign_keys=ON",
        "secure_delete=ON",
        f"journal_mode={'WAL' if wal else 'DELETE'}",
        "synchronous=FULL",
    ):
        dbapi.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection in AUTOCOMMIT: each statement sees what is committed when it runs."""
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One write transaction: committed when the block ends, rolled back when it raises."""
    with _one_writer(engine), engine.begin() as connection:
        yield connection


@contextmanager
def _one_writer(engine: Engine) -> Iterator[None]:
    """On SQLite, the only writer among all threads and processes of this machine."""
    file = engine.url.database
    if engine.dialect.name != "sqlite" or not file or file == ":memory:":
        yield
        return
    with Path(f"{file}.lock").open(
        "ab"
    ) as lock_file:  # each opening is its own lock, so threads exclude each other too
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield
