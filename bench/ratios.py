"""CPU of each path over REF; what an audit entry adds; how long an erasure takes here, without the processor's part."""

import time
from collections.abc import Collection
from statistics import median, quantiles
from typing import Any
from unittest import mock

from bench.counts import Watched
from bench.door import hand_over
from bench.figures import Figure
from bench.house import make_app
from bench.paired import Series, measure, run
from bench.scene import Scene
from vault import audit


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
    """What writing its entry takes, over the rest of the call; product code has no switch to do without."""
    path, spent, record = scene.path(name), [0], audit.record

    def timed(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever it takes
        start = time.process_time_ns()
        record(*args, **kwargs)
        spent[0] += time.process_time_ns() - start

    shares = []
    with mock.patch.object(audit, "record", timed):
        for _ in range(max(5, scene.rounds // 2)):
            spent[0] = 0
            whole = run(path, path.block).cpu
            entry = spent[0] / 1000 / path.block
            shares.append(entry / (whole - entry))
    return Figure(
        name=f"audit on {name}, share",
        on=scene.backend,
        must=0.20,
        reach=0.10,
        measured=median(shares),
        note="CPU of its audit entry over all the rest",
    )


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
        measured=quantiles(times, n=4)[0],
        unit="ms",
        note=f"on the wall, less the processor's; a quarter are faster, {median(times):.1f} is the median",
    )
    return [own]
