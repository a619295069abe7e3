"""How Panless reaches whichever node of a cluster takes writes: a list of hosts, a proxy, a proxy and poolers."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from apart import program, run_apart, until
from patroni import Cluster
from pooler import run_pooler
from ports import free_port
from postgres import give_away
from sqlalchemy import make_url
from standby import BIN

CONNECTIONS = 40
"""Of each pooler to its node, for each user and database."""

_PROXY = """
global
  maxconn 2000
defaults
  mode tcp
  retries 2
  timeout connect 4s
  timeout client 30m
  timeout server 30m
  timeout check 5s
"""
_LISTEN = """
listen {name}
  bind 127.0.0.1:{port}
  option httpchk OPTIONS /primary
  http-check expect status 200
  default-server inter 3s fall 3 rise 2 on-marked-down shutdown-sessions
"""
"""As Patroni's own template has it."""


@dataclass(frozen=True)
class Way:
    """By which address a database is reached; by the list of hosts where there is no port."""

    name: str
    port: int | None = None

    def to(self, url: str) -> str:
        """The URL of that database and user, this way."""
        there = make_url(url)
        if self.port is not None:
            there = there.set(host="127.0.0.1", port=self.port, query={})
        return there.render_as_string(hide_password=False)

    @property
    def settings(self) -> dict[str, str]:
        return {"PANLESS_PREPARED_STATEMENTS": "false"} if self.name == "pooler" else {}


HOSTS = Way("hosts")


@contextmanager
def ways(cluster: Cluster, users: tuple[str, ...]) -> Iterator[dict[str, Way]]:
    """All of them, open to these users."""
    poolers = [free_port() for _ in cluster.nodes]
    proxy, pooler = Way("proxy", free_port()), Way("pooler", free_port())
    servers = {proxy: [node.port for node in cluster.nodes], pooler: poolers}
    with ExitStack() as running:
        for node, port in zip(cluster.nodes, poolers, strict=True):
            server = f"postgresql://127.0.0.1:{node.port}"
            running.enter_context(run_pooler(server, port, users, CONNECTIONS))
        _start_proxy(cluster, servers)
        for way in servers:
            until(partial(_knows_the_leader, way, cluster), f"nobody writes by the {way.name}", 60)
        yield {way.name: way for way in (HOSTS, *servers)}


def _knows_the_leader(way: Way, cluster: Cluster) -> bool:
    """Not yet while it takes turns: a proxy takes all servers for good ones until it has looked."""
    return all(writes(way.to(cluster.hosts_url)) for _ in range(2 * len(cluster.nodes)))


def _start_proxy(cluster: Cluster, servers: dict[Way, list[int]]) -> None:
    home = cluster.home / "proxy"
    home.mkdir()
    lines = [_PROXY]
    for way, ports in servers.items():
        lines.append(_LISTEN.format(name=way.name, port=way.port))
        behind = zip(cluster.nodes, ports, strict=True)
        lines += [f"  server {node.name} 127.0.0.1:{port} check port {node.rest}\n" for node, port in behind]
    (home / "haproxy.cfg").write_text("".join(lines))
    give_away(home, *home.iterdir())
    run_apart([program("haproxy"), "-db", "-f", str(home / "haproxy.cfg")], home)


def writes(url: str, statement: str = "SELECT pg_current_xact_id()") -> bool:
    """Whether somebody commits a write there within some seconds: by psql, on a connection of its own."""
    command = [str(BIN / "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, _as_libpq_has_it(url)]
    env = {"PATH": os.environ["PATH"], "PGCONNECT_TIMEOUT": "2"}
    try:
        return subprocess.run(command, env=env, capture_output=True, timeout=6, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _as_libpq_has_it(url: str) -> str:
    """The URL with its hosts before the slash, where SQLAlchemy takes none."""
    there = make_url(url)
    listed = there.query.get("host", f"{there.host}:{there.port}")
    hosts = listed if isinstance(listed, str) else ",".join(listed)
    more = "?target_session_attrs=read-write" if there.query else ""
    return f"postgresql://{there.username}@{hosts}/{there.database}{more}"
