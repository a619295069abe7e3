"""How the drills run Patroni, and the etcd in which its nodes agree on who leads."""

import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from apart import program, run_apart, until
from ports import free_port
from standby import BIN

TTL, LOOP, RETRY = 20, 5, 5
"""Seconds: how long a leader's lock lasts, how often Patroni looks, how long it tries; 20 is the least of the first."""

_DCS = {
    "ttl": TTL,
    "loop_wait": LOOP,
    "retry_timeout": RETRY,
    "maximum_lag_on_failover": 1 << 30,  # a standby that lost seconds is promoted, too: nothing else is left here
    "postgresql": {
        "use_pg_rewind": True,
        "parameters": {"max_connections": 300, "wal_log_hints": "on", "fsync": "off", "synchronous_commit": "on"},
    },
}


def settings_of(home: Path, port: int, rest: int, etcd: str, *, synchronous: bool) -> dict[str, Any]:
    """Of the node in this folder: the server's port, Patroni's own, and the etcd's address."""
    listen = f"127.0.0.1:{port}"
    api = f"127.0.0.1:{rest}"
    everybody = [f"host {database} all 127.0.0.1/32 trust" for database in ("all", "replication")]
    return {
        "scope": "panless",
        "name": home.name,
        "restapi": {"listen": api, "connect_address": api},
        _interface(): {"url": etcd},
        "bootstrap": {
            "dcs": {**_DCS, "synchronous_mode": synchronous},
            "initdb": [{"encoding": "UTF8"}, {"locale": "C"}],
        },
        "postgresql": {
            "listen": listen,
            "connect_address": listen,
            "data_dir": str(home / "data"),
            "bin_dir": str(BIN),
            "pgpass": str(home / "pgpass"),
            "pg_hba": everybody,
            "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"}},
            "parameters": {"unix_socket_directories": str(home)},
        },
        "watchdog": {"mode": "off"},
    }


def _interface() -> str:
    """By which Patroni speaks with etcd.

    Before 3.0.3, by the newer one, a leader that had stood still took the lock back from who was promoted meanwhile,
    and Patroni threw away all that that one had committed (patroni/patroni#2689).
    """
    told = subprocess.run([program("patroni"), "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(number) for number in told.split()[1].split("."))
    return "etcd3" if version >= (3, 0, 3) else "etcd"


def start_etcd(home: Path, url: str) -> None:
    """One etcd: what is tried is what happens when PostgreSQL is replaced, not when nobody can agree on it."""
    peer = f"http://127.0.0.1:{free_port()}"
    clients = ["--listen-client-urls", url, "--advertise-client-urls", url]
    peers = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    older = ["--enable-v2"] if _interface() == "etcd" else []
    run_apart([program("etcd"), "--data-dir", str(home / "etcd"), *older, *clients, *peers], home)
    until(lambda: status_of(f"{url}/health") == 200, "etcd does not answer", 30)


def status_of(url: str) -> int:
    """The status of an answer; 0 for none."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
    except OSError:
        return 0
