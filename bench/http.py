"""The real server under load, beside the least server that makes the same calls. Advisory: the machine has its say."""

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles

import psutil

from bench.databases import settle
from bench.door import prepare
from bench.figures import Figure
from bench.load import LONGEST, Load, closed, opened, to_wire
from bench.scene import Scene
from panless.commands.running import gunicorn_command

CLIENTS, DELAY, RATE = 64, 50, 150
ROUNDS, SECONDS = 3, 5
MEBIBYTE = 2**20
ROOT = Path(__file__).parent.parent
SERVED = ROOT / "build/served/bin/python"
"""An interpreter that has what `panless serve` needs and nothing else (`make bench` sets it up)."""


def figures(scene: Scene) -> list[Figure]:
    """Rate against the bare server, added latency, memory of a worker."""
    scene.say("starting servers")
    scene.processor.answer_after(DELAY)
    try:
        with ours(scene) as (url, pid), _bare(scene) as bare:
            found = [_rate(scene, url, bare), *_latency(scene, url), _memory(scene, pid)]
    except _NotServingError as error:
        return [Figure(name="over HTTP", on=scene.backend, measured=None, gated=False, note=str(error))]
    finally:
        scene.processor.answer_after(0)
    return found


class _NotServingError(Exception):
    """A server did not start."""


def _rate(scene: Scene, ours: str, bare: str) -> Figure:
    raws, ratios, failed = tokenizations(scene, 500), [], 0
    for url in (ours, bare):
        closed(url, raws, clients=CLIENTS, seconds=2)
    settle(scene.house.components.records)
    for number in range(ROUNDS):
        scene.say(f"{CLIENTS} clients {number + 1}/{ROUNDS}")
        mine, theirs = (closed(url, raws, clients=CLIENTS, seconds=SECONDS) for url in (ours, bare))
        ratios.append((mine.rate / theirs.rate, mine.rate, theirs.rate))
        failed += mine.failed
    ratio, mine_rate, their_rate = (median(column) for column in zip(*ratios, strict=True))
    note = f"{mine_rate:,.0f}/s against {their_rate:,.0f}/s, each of two calls {DELAY} ms, {failed} failed"
    return _figure(scene, f"{CLIENTS} clients, tokens/s over bare", ratio, 0.5, 0.8, at_least=True, note=note)


def _latency(scene: Scene, ours: str) -> list[Figure]:
    scene.say(f"{RATE} requests/s")
    mine = opened(ours, [[raw] for raw in tokenizations(scene, 500)], rate=RATE, seconds=2 * SECONDS)
    direct = to_wire(prepare("POST", "/v1/payment_methods", {}))
    stub = opened(scene.processor.url, [[direct, direct]], rate=RATE, seconds=SECONDS)
    own = median(stub.times)
    note = f"from the intended send, less {own * 1000:.1f} ms of the stub's; {mine.failed} failed"
    return [
        _figure(scene, f"added at {RATE}/s, {name}", _percentile(mine, percent) - own * 1000, must, reach, "ms", note)
        for name, percent, must, reach in (("p50", 50, 8, 3), ("p99", 99, 20, 7))
    ]


def _percentile(load: Load, percent: int) -> float:
    """Milliseconds; a failed request counts as one that took as long as we wait."""
    times = [*load.times, *[LONGEST] * load.failed]
    return quantiles(times, n=100, method="inclusive")[percent - 1] * 1000


def _memory(scene: Scene, master: int) -> Figure:
    workers = psutil.Process(master).children(recursive=True)
    sizes = [worker.memory_full_info().pss / MEBIBYTE for worker in workers]
    note = f"the largest of {len(sizes)}, after the load above"
    return _figure(scene, "memory per worker (PSS)", max(sizes), 90, 65, "MiB", note)


def _figure(  # a line of the table
    scene: Scene,
    name: str,
    measured: float,
    must: float,
    reach: float,
    unit: str = "",
    note: str = "",
    *,
    at_least: bool = False,
) -> Figure:
    return Figure(
        name=name,
        on=scene.backend,
        must=must,
        reach=reach,
        measured=measured,
        unit=unit,
        note=note,
        at_least=at_least,
        gated=False,
    )


def tokenizations(scene: Scene, count: int) -> list[bytes]:
    """So many of them, as they go over the network."""
    return [to_wire(call) for call in scene.path("tokenize").make(count)]


@contextmanager
def ours(scene: Scene) -> Iterator[tuple[str, int]]:
    """`panless serve` over the scene's house: its URL, and its process id."""
    address = free_address()
    environment = {**scene.house.environment, "PANLESS_BIND": address}
    with _serving(scene, "ours", ["-m", "panless", "serve"], environment, address) as (url, pid):
        yield url, pid


@contextmanager
def unaudited(scene: Scene) -> Iterator[str]:
    """Panless over the scene's house without an audit log: its URL."""
    address = free_address()
    command = gunicorn_command(replace(scene.house.components.settings, bind=address), "bench.unaudited:app()")
    environment = {**scene.house.environment, "PANLESS_BIND": address}
    with _serving(scene, "unaudited", command[1:], environment, address) as (url, _):
        yield url


@contextmanager
def _bare(scene: Scene) -> Iterator[str]:
    """The other one, with gunicorn set up as `panless serve` sets it up."""
    address = free_address()
    command = gunicorn_command(replace(scene.house.components.settings, bind=address), "bench.bare:app()")
    with _serving(scene, "bare", command[1:], {"BENCH_PROCESSOR": scene.processor.url}, address) as (url, _):
        yield url


@contextmanager
def _serving(
    scene: Scene, name: str, arguments: Sequence[str], environment: dict[str, str], address: str
) -> Iterator[tuple[str, int]]:
    """A server as a program, from when it answers; what it says goes to a file."""
    if not SERVED.exists():
        raise _NotServingError("build/served is not there: run make bench")
    log, paths = scene.home / f"{name}.log", {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [str(SERVED), *arguments]
    with log.open("w") as said, subprocess.Popen(command, env=paths | environment, stdout=said, stderr=said) as program:
        try:
            _wait(program, f"http://{address}/livez", log)
            yield f"http://{address}", program.pid
        finally:
            program.terminate()


def _wait(program: subprocess.Popen[bytes], url: str, log: os.PathLike[str]) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end and program.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310  # our own program
        except OSError:
            time.sleep(0.1)
        else:
            return
    with open(log) as said:  # noqa: PTH123  # any kind of path
        raise _NotServingError(f"{program.args[2:4]!r} does not serve: {said.read().strip()[-200:]}")  # type: ignore[index]


def free_address() -> str:
    """An address of this machine that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
