"""PgBouncer in front of a PostgreSQL server, in transaction mode: each transaction may get another connection."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postgres import give_away, user_of_servers
from sqlalchemy import make_url

POOL_SIZE = 2

_SETTINGS = """
[databases]
* = host={host} port={at}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {size}
max_client_conn = 500
max_prepared_statements = 0
server_reset_query_always = 0
log_connections = 0
log_disconnections = 0
"""


@contextmanager
def run_pooler(server: str, port: int, users: tuple[str, ...], size: int = POOL_SIZE) -> Iterator[None]:
    """PgBouncer for these users, until the block ends."""
    program = shutil.which("pgbouncer")
    assert program, "apt-get install pgbouncer: no test of what stands before a database is ever skipped"
    url = make_url(server)
    where = {"host": url.host or url.query["host"], "at": url.port or 5432}
    with tempfile.TemporaryDirectory(prefix="panless-pooler-") as folder:
        settings = _SETTINGS.format(**where, port=port, folder=folder, size=size)
        settings = settings if _keeps_statements(program) else settings.replace("max_prepared_statements = 0\n", "")
        Path(folder, "settings.ini").write_text(settings)
        Path(folder, "users").write_text("".join(f'"{user}" ""\n' for user in users))
        give_away(Path(folder), *Path(folder).iterdir())  # the server opens its sockets to its own user alone
        with subprocess.Popen([program, "-q", f"{folder}/settings.ini"], user=user_of_servers()) as running:
            try:
                _wait_for(port)
                yield
            finally:
                running.kill()  # newer ones answer SIGTERM by waiting for all of their clients to go


def _keeps_statements(program: str) -> bool:
    """Whether it is one that knows prepared statements (from 1.21 on): it is told not to keep them."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = told.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (1, 21)


def _wait_for(port: int, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the pooler did not listen")
