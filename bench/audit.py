"""The audit log: what it takes of the throughput, how late it is, what a hung anchor does, how long verifying takes."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from sqlalchemy import select

from bench.databases import settle
from bench.figures import Figure
from bench.http import ours, unaudited
from bench.load import closed, opened, to_wire
from bench.scene import Scene
from rows.engine import reading
from vault.tables import audit_entries, audit_logs
from vault.tlog import sequencing
from vault.tlog.files import Folder
from vault.tlog.merkle import TILE_WIDTH, Tile, Tree, leaf_hash
from vault.tlog.notes import Checkpoint, sign
from vault.tlog.paths import CHECKPOINT, ENTRIES, bundle, tile_path
from vault.tlog.signing import signers, verifiers
from vault.tlog.verifying import verify

MILLION = 1_000_000
CLIENTS, SECONDS, ROUNDS, PAIRS, RATE = 32, 6, 3, 10, 100


def figures(scene: Scene) -> list[Figure]:
    """All of them; over HTTP on PostgreSQL only."""
    found = [_verified(scene)]
    if scene.backend == "postgresql":
        with ours(scene) as (audited, _), unaudited(scene) as bare:
            found += [_share(scene, audited, bare, "tokenize"), _share(scene, audited, bare, "contact")]
            found += [_lag(scene, audited), _hung(scene, audited)]
    return found


def _share(scene: Scene, audited: str, bare: str, path: str) -> Figure:
    """The worker places entries all the while: its work is part of the price.

    A look at a contact writes nothing but its entry, so it is for information: what is gated is a call that writes.
    """
    looks, pairs = [to_wire(call) for call in scene.path(path).make(500)], []
    with _worker(scene):
        for number in range(PAIRS + 1):
            scene.say(f"with and without a log {number}/{PAIRS}")
            urls = (audited, bare) if number % 2 else (bare, audited)  # what comes and goes hits both alike
            loads = {url: closed(url, looks, clients=CLIENTS, seconds=SECONDS / 2) for url in urls}
            pairs.append((loads[audited].rate, loads[bare].rate, loads[audited].failed + loads[bare].failed))
            if not number:  # the first pair warms both
                settle(scene.house.components.records)
                pairs.clear()
    mine_rate, other_rate, failed = (median(column) for column in zip(*pairs, strict=True))
    note = f"{mine_rate:,.0f}/s with the worker placing entries, {other_rate:,.0f}/s without any log, {failed:g} failed"
    name, measured = f"audit on {path}, share of throughput", median(1 - mine / other for mine, other, _ in pairs)
    if path == "contact":
        return Figure(name=name, on=scene.backend, measured=measured, note=note)
    return _figure(scene, name, measured, 0.20, 0.10, "", note)


def _lag(scene: Scene, audited: str) -> Figure:
    scene.say("how late the log is")
    seen = dict[int, float]()
    with _worker(scene), _watched(scene, seen):
        _caught_up(scene)
        start = datetime.now(UTC)
        load = opened(audited, [[look] for look in _looks(scene)], rate=RATE, seconds=2 * SECONDS)
        time.sleep(3)
    lags = list(_lags(scene, start, seen))
    note = f"{len(lags)} entries at {RATE}/s, from the request's beginning to a signed checkpoint; {load.failed} failed"
    return _figure(scene, "audit log's lag, p99", _p99(lags), 2.0, 0.6, "s", note)


def _hung(scene: Scene, audited: str) -> Figure:
    """An anchor that takes what is put there and never answers, beside none at all; in turns."""
    looks, p99s = [[look] for look in _looks(scene)], {"well": list[float](), "hung": list[float]()}
    with _bucket() as port:
        anchors = {"well": dict[str, str](), "hung": _hung_anchor(port)}
        for number in range(2 * ROUNDS):
            scene.say(f"a hung anchor {number + 1}/{2 * ROUNDS}")
            for name in ("well", "hung") if number % 2 else ("hung", "well"):
                with _worker(scene, **anchors[name]):
                    load = opened(audited, looks, rate=RATE, seconds=SECONDS)
                p99s[name].append(_p99([*load.times, *[10.0] * load.failed]))
    well, hung = (median(each) for each in p99s.values())  # a pause of the machine is in one of them and not in all
    note = f"{hung * 1000:.1f} ms of contact reads at {RATE}/s, {well * 1000:.1f} ms without; medians of {2 * ROUNDS}"
    return _figure(scene, "a hung anchor's share of p99", hung / well - 1, 0.10, 0.05, "", note)


def _verified(scene: Scene) -> Figure:
    scene.say("a million entries")
    with tempfile.TemporaryDirectory(prefix="panless-bench-") as folder:
        _write_million(scene, Path(folder))
        keys, start = verifiers(scene.house.components.keyring, scene.house.tenant), time.perf_counter()
        found = verify(Folder(Path(folder)), keys, [], lambda _count: None)
        seconds = time.perf_counter() - start
    assert found == [], found[:3]
    return _figure(scene, f"{MILLION:,} entries verified offline", seconds, 60, 30, "s", "every hash, tile and lane")


def _write_million(scene: Scene, folder: Path) -> None:
    """An export of that size, of one lane: entries as they are, with other numbers."""
    parts = scene.house.components
    scene.house.ask(scene.path("contact").make(1)[0])
    with reading(parts.records) as connection:
        mine = select(audit_entries).where(audit_entries.c.tenant_id == scene.house.tenant).limit(1)
        row = connection.execute(mine).one()
    before, _, rest = row.leaf.partition(f'"counter":{row.counter},')
    leaves = (f'{before}"counter":{number},{rest}'.encode() for number in range(1, MILLION + 1))
    tree, number = Tree(), 0
    while part := list(islice(leaves, TILE_WIDTH)):
        _put(folder, tile_path(ENTRIES, number, len(part)), bundle(part))
        _put_tiles(folder, list(tree.append([leaf_hash(leaf) for leaf in part])))
        number += 1
    _put_tiles(folder, tree.partial_tiles())
    keys = signers(parts.keyring, scene.house.tenant)
    checkpoint = Checkpoint(origin=keys[0][0].name, size=tree.size, root=tree.root())
    _put(folder, CHECKPOINT, sign(checkpoint, keys))


def _put_tiles(folder: Path, tiles: list[Tile]) -> None:
    for tile in tiles:
        _put(folder, tile_path(tile.level, tile.number, len(tile.hashes) // 32), tile.hashes)


def _put(folder: Path, path: str, content: bytes) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)


def _looks(scene: Scene) -> list[bytes]:
    return [to_wire(call) for call in scene.path("contact").make(500)]


@contextmanager
def _worker(scene: Scene, **environment: str) -> Iterator[None]:
    """`panless worker` over the scene's house, once it has begun."""
    command, paths = [sys.executable, "-m", "panless", "worker"], {"PATH": os.environ["PATH"]}
    env = {**paths, **scene.house.environment, **environment}
    with (
        (scene.home / "worker.log").open("w") as said,
        subprocess.Popen(command, env=env, stdout=said, stderr=said) as it,
    ):
        _wait_until_begun(scene.home / "worker.log")
        try:
            yield
        finally:
            it.kill()


def _wait_until_begun(log: Path) -> None:
    end = time.monotonic() + 30
    while "worker_started" not in log.read_text():
        assert time.monotonic() < end, log.read_text()[-500:]
        time.sleep(0.1)
    time.sleep(1)  # it looks at each log once, and then places what has waited


@contextmanager
def _watched(scene: Scene, seen: dict[int, float]) -> Iterator[None]:
    """Note when the log reached which size, by this machine's clock."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            seen.setdefault(_size(scene), time.time())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _size(scene: Scene) -> int:
    with reading(scene.house.components.records) as connection:
        mine = select(audit_logs.c.size).where(audit_logs.c.tenant_id == scene.house.tenant)
        return connection.execute(mine).scalar_one_or_none() or 0


def _caught_up(scene: Scene) -> None:
    """Until nothing waits that was written before."""
    while sequencing.waiting(scene.house.components.records):
        time.sleep(0.1)


def _lags(scene: Scene, start: datetime, seen: dict[int, float]) -> Iterator[float]:
    """Of each entry from then on; one that got no place was that late when we stopped looking."""
    sizes, end = sorted(seen), time.time()
    with reading(scene.house.components.records) as connection:
        at, place = audit_entries.c.at, audit_entries.c.position
        mine = select(at, place).where(audit_entries.c.tenant_id == scene.house.tenant, at >= start)
        rows: list[Any] = [*connection.execute(mine)]
    for row in rows:
        reached = (seen[size] for size in sizes if row.position is not None and size > row.position)
        yield next(reached, end) - row.at.timestamp()


class _Hanging(BaseHTTPRequestHandler):
    """A bucket that lists nothing, so that a worker begins, and then takes every anchor and never answers."""

    def do_GET(self) -> None:  # http.server's name
        body = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:  # http.server's name
        threading.Event().wait()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def _bucket() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hanging) as server:
        server.daemon_threads, server.block_on_close = True, False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def _hung_anchor(port: int) -> dict[str, str]:
    return {
        "PANLESS_AUDIT_ANCHOR": "s3://anchors",
        "PANLESS_AUDIT_ANCHOR_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }


def _p99(times: list[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[98]


def _figure(  # a line of the table
    scene: Scene, name: str, measured: float, must: float, reach: float, unit: str, note: str
) -> Figure:
    return Figure(name=name, on=scene.backend, must=must, reach=reach, measured=measured, unit=unit, note=note)
