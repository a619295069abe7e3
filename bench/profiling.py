"""Where one path spends its time: cProfile over a block of its calls, and the time of each statement."""

import cProfile
import pstats
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from time import perf_counter
from typing import Any

from sqlalchemy import Engine, event

from bench.counts import engines
from bench.door import hand_over
from bench.scene import Scene

CALLS = 200
LINES = 45


def profile(scene: Scene, name: str) -> None:
    """Print the profile of a path, per call: by own time, with what is below it, and by statement."""
    path = scene.path(name)
    count = CALLS if name != "erase" else CALLS // 5
    for call in path.make(20):
        hand_over(path.application, call)
    calls, profiler = path.make(count), cProfile.Profile()
    parts = scene.house.components
    unprofiled = path.make(count)
    with _statements([engine for engine, _ in engines(parts)]) as seen:
        for call in unprofiled:
            hand_over(path.application, call)
    profiler.enable()
    for call in calls:
        hand_over(path.application, call)
    profiler.disable()
    print(f"\n{name} on {scene.backend}: statements, us and number per call")
    for statement, (seconds, number) in sorted(seen.items(), key=lambda each: -each[1][0]):
        print(f"  {seconds * 1e6 / count:8.0f}  {number / count:5.2f}  {' '.join(statement.split())[:150]}")
    _print(profiler, "tottime", count)
    _print(profiler, "cumulative", count)


@contextmanager
def _statements(engines: list[Engine]) -> Iterator[dict[str, list[float]]]:
    """Seconds and number by statement: the database's part and the driver's, on the wall."""
    seen: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])

    def before(connection: Any, *_: object) -> None:  # noqa: ANN401  # SQLAlchemy's
        connection.info["began"] = perf_counter()

    def after(connection: Any, _cursor: object, statement: str, *_: object) -> None:  # noqa: ANN401  # SQLAlchemy's
        seen[statement][0] += perf_counter() - connection.info["began"]
        seen[statement][1] += 1

    with ExitStack() as stack:
        for engine, (name, listener) in product(engines, {"before": before, "after": after}.items()):
            event.listen(engine, f"{name}_cursor_execute", listener)
            stack.callback(event.remove, engine, f"{name}_cursor_execute", listener)
        yield seen


def _print(profiler: cProfile.Profile, order: str, count: int) -> None:
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # a public attribute without a type
    column = {"tottime": 2, "cumulative": 3}[order]
    print(f"\nby {order}: us per call (cProfile makes Python calls look dearer than they are), calls, where")
    for (file, line, function), entry in sorted(stats.items(), key=lambda each: -each[1][column])[:LINES]:
        where = "/".join(file.split("/")[-3:])
        print(f"  {entry[column] * 1e6 / count:8.0f}  {entry[0] / count:6.1f}  {where}:{line} {function}")
