"""CPU of each path over REF; what an audit entry adds; how long an erasure takes here, without the processor's part."""

import time
from collections.abc import Collection, Sequence
from statistics import median, quantiles

from bench import disk
from bench.door import hand_over
from bench.figures import Figure
from bench.paired import Series, measure, run
from bench.scene import Scene
from bench.without_audit import without_audit
from vault.lanes.rounds import work_once

OWN_TIME_MS = 10
P99_MS = 50
ERASED = 100
REF_WHERE_SET_US = 210
"""What REF took on the machine that the bounds were set on."""


def figures(scene: Scene, only: Collection[str]) -> list[Figure]:
    """The ratios of the paths that are wanted (all of them, where `only` names none)."""
    paths = [path for path in scene.paths if path.name in only] or scene.paths
    if "erase" in [path.name for path in paths]:
        disk.quiet(scene.house.ledger, scene.patience, scene.say)
    series = measure(paths, scene.ref, scene.rounds, scene.say)
    found = [
        Figure(
            name=f"{path.name}, CPU / REF",
            on=scene.backend,
            must=path.must,
            reach=path.reach,
            measured=series[path.name].ratio,
            spread=series[path.name].spread,
            note=_note(series[path.name]),
            details={"cpu_us": series[path.name].cpu, "wall_us": series[path.name].wall},
        )
        for path in paths
    ]
    return [*found, *(_audit(scene, name) for name in ("tokenize", "charge") if name in series), *_erasure(scene, only)]


def _note(series: Series) -> str:
    ref = median(block.cpu for block in series.beside)
    return f"{series.cpu:,.0f} us CPU, {series.wall:,.0f} us wall; REF {ref:,.0f} us"


def _audit(scene: Scene, name: str) -> Figure:
    """The call with its audit entry over the same call without it; product code has no switch to do without."""
    path = scene.path(name)
    shares = []
    for _ in range(max(7, scene.rounds)):
        whole = run(path, path.block).cpu
        with without_audit():
            shares.append(whole / run(path, path.block).cpu - 1)
    return Figure(
        name=f"audit on {name}, share",
        on=scene.backend,
        must=0.20,
        reach=0.10,
        measured=median(shares),
        note="CPU with its audit entry over CPU without, less 1",
    )


def _erasure(scene: Scene, only: Collection[str]) -> list[Figure]:
    if only and "erase" not in only:
        return []
    scene.say("erasing")
    path, times = scene.path("erase"), []
    _finish(scene)  # what the blocks before left to the worker
    for call in path.make(ERASED):
        start = time.perf_counter()
        status, _ = hand_over(path.application, call)
        times.append((time.perf_counter() - start) * 1000)
        assert status == path.status, status
    start = time.process_time_ns()
    _finish(scene)
    rest = Figure(
        name="erase, the worker's part",
        on=scene.backend,
        measured=(time.process_time_ns() - start) / 1e6 / len(times),
        unit="ms",
        note="CPU: processors told, read back, certified",
    )
    return [*_own_time(scene, times), rest, _one_file(scene)]


def _one_file(scene: Scene) -> Figure:
    """What this disk takes for the file that an erasure's ledger entry is: on some, more than all the rest of it."""
    note = "CPU to create an empty file here; REF on PostgreSQL creates none, an erasure creates one"
    return Figure(
        name="one file created", on=scene.backend, measured=disk.new_file_us(scene.house.ledger), unit="us", note=note
    )


def _own_time(scene: Scene, times: Sequence[float]) -> list[Figure]:
    """The wall's milliseconds as they are, and at the speed of the machine that the figure was set on: that one gates.

    The figures were set where REF took 210 us of CPU (docs/decisions/0008); `times` are of this machine.
    """
    typical = median(times)
    ref = median(run(scene.ref, scene.ref.block).cpu for _ in range(5))
    here = Figure(
        name="erase, our own time",
        on=scene.backend,
        must=OWN_TIME_MS,
        reach=3,
        measured=typical,
        unit="ms",
        gated=False,
        note=f"on this machine's wall, median; a quarter are faster than {quantiles(times, n=4)[0]:.1f}",
    )
    there = Figure(
        name="erase, our own time at REF = 210 us",
        on=scene.backend,
        must=OWN_TIME_MS,
        reach=3,
        measured=typical * REF_WHERE_SET_US / ref,
        unit="ms",
        note=f"the same median; REF takes {ref:,.0f} us here",
    )
    slowest = quantiles(times, n=100)[98]
    worst = Figure(
        name="erase, local part, p99",
        on=scene.backend,
        must=P99_MS,
        measured=slowest,
        unit="ms",
        gated=False,
        note=f"of {ERASED}, on this machine's wall; no processor is asked, so one that is down changes nothing",
    )
    return [here, there, worst]


def _finish(scene: Scene) -> None:
    """Let the worker end what is open."""
    while work_once(scene.house.components.workshop, _unexpected):
        pass


def _unexpected(what: str, error: Exception) -> None:
    raise AssertionError(what) from error
