"""CPU of each path over REF; what an audit entry adds; how long an erasure takes here, without the processor's part."""

import time
from collections.abc import Collection
from statistics import median

from bench.counts import Watched
from bench.door import hand_over
from bench.figures import Figure
from bench.house import make_app
from bench.paired import Series, measure, run
from bench.scene import Scene
from vault import audit
from vault.caller import Caller

ENTRIES = 100


def figures(scene: Scene, only: Collection[str]) -> list[Figure]:
    """The ratios of the paths that are wanted (all of them, where `only` names none)."""
    paths = [path for path in scene.paths if path.name in only] or scene.paths
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
    """Its one entry over the rest of the call; product code has no switch to do without."""
    path = scene.path(name)
    shares = []
    for _ in range(max(5, scene.rounds // 2)):
        whole, entry = run(path, path.block).cpu, _entry(scene)
        shares.append(entry / (whole - entry))
    return Figure(
        name=f"audit on {name}, share",
        on=scene.backend,
        must=0.20,
        reach=0.10,
        measured=median(shares),
        note="CPU of its audit entry over all the rest",
    )


def _entry(scene: Scene) -> float:
    """Microseconds of CPU that one entry takes in a transaction that is open anyway."""
    parts = scene.house.components
    caller = Caller(tenant=scene.house.tenant, client="", live=False, at=parts.clock(), request_id="req_bench")
    with audit.transaction(parts.records) as tx:
        start = time.process_time_ns()
        for _ in range(ENTRIES):
            audit.record(tx, parts.keyring, caller, "bench.entry", customer=None, resource="tok_bench")
        return (time.process_time_ns() - start) / 1000 / ENTRIES


def _erasure(scene: Scene, only: Collection[str]) -> list[Figure]:
    if only and "erase" not in only:
        return []
    scene.say("erasing")
    watched = Watched(scene.house.components)
    door = make_app(scene.house.components, {"sandbox": watched}).wsgi_app  # type: ignore[dict-item]  # it stands in
    times = []
    for call in scene.path("erase").make(max(20, scene.rounds)):
        watched.seconds, start = 0.0, time.perf_counter()
        status, _ = hand_over(door, call)
        times.append((time.perf_counter() - start - watched.seconds) * 1000)
        assert status == 200, status  # noqa: PLR2004  # erased, and the processor has answered
    own = Figure(
        name="erase, our own time",
        on=scene.backend,
        must=10,
        reach=3,
        measured=median(times),
        unit="ms",
        note="on the wall, the processor's answers not counted",
    )
    return [own]
