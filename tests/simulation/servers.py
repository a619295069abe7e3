"""Sites on PostgreSQL: two databases each on one server, copied as templates, and a driver that waits in virtual time.

Every trip to the server is an edge, inside transactions too. Who waits for another's lock stands still until that one
goes on. Functions of the same names before those of pg_catalog tell the virtual time, and which server and timeline a
site's databases are of. A copy cuts the connections of what is copied, as PostgreSQL asks for.
"""

import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from databases import Gate
from postgres import own_server
from psycopg.pq import TransactionStatus
from sites import FOUNDED, NAMES, SITES
from sqlalchemy import Engine, event, make_url

TOLD = """
CREATE SCHEMA IF NOT EXISTS virtual;
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
  AS $$ SELECT to_timestamp(current_setting('virtual.now')::float8) $$;
CREATE FUNCTION virtual.statement_timestamp() RETURNS timestamptz STABLE LANGUAGE sql
  AS $$ SELECT to_timestamp(current_setting('virtual.now')::float8) $$;
CREATE FUNCTION virtual.pg_postmaster_start_time() RETURNS timestamptz STABLE LANGUAGE sql
  AS $$ SELECT to_timestamp(current_setting('virtual.server')::float8) $$;
CREATE FUNCTION virtual.pg_walfile_name(pg_lsn) RETURNS text STABLE LANGUAGE sql
  AS $$ SELECT lpad(current_setting('virtual.timeline'), 8, '0') || '0000000000000000' $$;
"""
PATIENCE = 0.004
"""Seconds of real time before it is asked whether a statement waits for somebody's lock."""

LONGEST_WAIT = 600.0


class Connection(psycopg.Connection[Any]):
    """One connection of one process."""

    gate: Gate | None = None
    name = ""
    blocked: Callable[[int], bool]
    sleep: Callable[[float], None]

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Stand at the edge, tell the server what time it is, then wait for its answer."""
        if self.gate is None or self.pgconn.pipeline_status:  # amid `executemany` there is no edge
            return super().wait(gen, interval, timeout)
        if self.name in self.gate.away:
            raise psycopg.OperationalError("the server does not answer")
        self.gate.edge(f"{self.name} {TransactionStatus(self.pgconn.transaction_status).name.lower()}")
        if self.pgconn.transaction_status in (TransactionStatus.IDLE, TransactionStatus.INTRANS):
            self.pgconn.exec_(f"SET virtual.now = '{self.gate.now():.6f}'".encode())
        return self._driven(gen)

    def _driven(self, gen: Any) -> Any:
        pause = 0.5
        try:
            wanted = next(gen)
            while True:
                ready = _ready(self.pgconn.socket, wanted)
                if ready:
                    wanted = gen.send(ready)
                elif self.blocked(self.pgconn.backend_pid):
                    self.sleep(pause)
                    pause = min(pause * 2, LONGEST_WAIT)
        except StopIteration as end:
            return end.value


def _ready(socket: int, wanted: int) -> int:
    """Which of reading (1) and writing (2) can go on, within `PATIENCE`."""
    reads, writes = [socket] * bool(wanted & 1), [socket] * bool(wanted & 2)
    can_read, can_write, _ = select.select(reads, writes, [], PATIENCE)
    return bool(can_read) | bool(can_write) << 1


class Servers:
    """Sites as pairs of databases of one server."""

    hints = False

    def __init__(self, uri: str, sleep: Callable[[float], None]) -> None:
        self._uri, self.sleep = make_url(uri), sleep
        self._admin = psycopg.connect(self._uri.render_as_string(hide_password=False), autocommit=True)
        self._places: dict[str, tuple[str, Gate]] = {}
        self._servers: dict[str, int] = {}
        event.listen(Engine, "do_connect", self._connect)

    def close(self) -> None:
        """Stop listening."""
        event.remove(Engine, "do_connect", self._connect)
        self._admin.close()

    def url(self, place: str, name: str) -> str:
        return self._uri.set(database=f"{place}.{name}").render_as_string(hide_password=False)

    def make(self, site: str) -> None:
        for name in NAMES:
            self._admin.execute(f'CREATE DATABASE "{site}.{name}"')
            where = self._uri.set(database=f"{site}.{name}").render_as_string(hide_password=False)
            with psycopg.connect(where, autocommit=True) as connection:
                connection.execute(TOLD)
        self._servers[site] = 1

    def move(self, place: str, site: str, gate: Gate) -> None:
        self._places[place] = (site, gate)

    def begin(self) -> None:
        for site in SITES[1:]:
            for name in NAMES:
                self._admin.execute(f'DROP DATABASE IF EXISTS "{site}.{name}" WITH (FORCE)')
        self._servers = {SITES[0]: 1}
        self._copied(FOUNDED, SITES[0], NAMES)

    def keep(self, site: str, kept: str) -> None:
        self._copied(site, kept, NAMES)

    def put(self, kept: str, site: str, names: Sequence[str], *, over: bool) -> None:  # noqa: ARG002  # of files only
        self._servers[site] = self._servers.get(site, 1) + 100
        self._copied(kept, site, names)

    def stand_by(self, kept: str, site: str, before: str, names: Sequence[str]) -> None:  # noqa: ARG002  # as said
        """As files do; what is shared would be two databases of one name, so both are taken from the copy here."""
        self._servers[site] = self._servers[before] + 1
        self._copied(kept, site, NAMES)

    def asked(self, site: str, question: str) -> bool:
        raise NotImplementedError

    def _copied(self, kept: str, site: str, names: Sequence[str]) -> None:
        for name in names:
            self._admin.execute(f'DROP DATABASE IF EXISTS "{site}.{name}" WITH (FORCE)')
            self._admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [f"{kept}.{name}"]
            )
            self._admin.execute(f'CREATE DATABASE "{site}.{name}" TEMPLATE "{kept}.{name}"')

    def _connect(self, _dialect: Any, _record: Any, arguments: Any, options: dict[str, Any]) -> Connection | None:
        place, _, name = str(options.get("dbname", "")).rpartition(".")
        if place not in self._places:
            return None
        site, gate = self._places[place]
        server = self._servers[site]
        settings = f"-c search_path=virtual,pg_catalog -c virtual.now={gate.now():.6f}"
        settings += f" -c virtual.server={server} -c virtual.timeline={server % 100}"
        made = Connection.connect(*arguments, **{**options, "dbname": f"{site}.{name}", "options": settings})
        made.name, made.blocked, made.sleep, made.gate = name, self._blocked, self.sleep, gate
        return made

    def _blocked(self, pid: int) -> bool:
        found = self._admin.execute("SELECT cardinality(pg_blocking_pids(%s))", [pid]).fetchone()
        return bool(found and found[0])


@contextmanager
def running(sleep: Callable[[float], None]) -> Iterator[Servers]:
    """A server of our own."""
    with own_server() as server:
        servers = Servers(server.get_uri(), sleep)
        yield servers
        servers.close()
