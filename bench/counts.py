"""What can be counted exactly: commits, statements, connections held while a processor is called, schemas built."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any
from unittest import mock

from marshmallow import Schema
from sqlalchemy import Engine, event

from bench.door import Call, hand_over
from bench.figures import Figure
from bench.house import make_app
from bench.scene import Scene
from panless.wiring import Components
from rows.engine import reader_of
from vault.personal import Secret
from vault.processing.answers import Marks
from vault.processors.stripe.adapter import StripeProcessor

POOL, CALLERS = 8, 32


class Watched:
    """A processor in whose place each call notes the database connections held meanwhile, and the seconds it took."""

    def __init__(self, components: Components) -> None:
        self._processor = components.processors["sandbox"]
        self._pools = [engine.pool for engine, _ in engines(components)]
        self.held, self.calls, self.seconds = 0, 0, 0.0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  # whatever the port has
        found = getattr(self._processor, name)
        return partial(self._call, found) if callable(found) else found  # some of it is no call: how long keys last

    def _call(self, act: Callable[..., object], *args: object, **kwargs: object) -> object:
        self.held = max(self.held, sum(pool.checkedout() for pool in self._pools))  # type: ignore[attr-defined]
        self.calls, start = self.calls + 1, perf_counter()
        try:
            return act(*args, **kwargs)
        finally:
            self.seconds += perf_counter() - start


def figures(scene: Scene) -> list[Figure]:
    """Counted over one warm call of each path."""
    scene.say("counting")
    watched = Watched(scene.house.components)
    door = make_app(scene.house.components, {"sandbox": watched}).wsgi_app  # type: ignore[dict-item]  # it stands in
    calls = {path.name: path.make for path in scene.paths} | {
        "tokenize, new customer": lambda count: [scene.house.tokenize() for _ in range(count)]
    }
    seen = {name: _count(scene.house.components, door, make) for name, make in calls.items()}
    return [
        *(_commits(scene, name, seen[name]["records commits"]) for name in ("tokenize", "charge")),
        _exactly(scene, "keystore commits, known customer", 0, seen["tokenize"]["keystore commits"]),
        _exactly(scene, "keystore commits, new customer", 1, seen["tokenize, new customer"]["keystore commits"]),
        _exactly(scene, "connections held at the processor", 0, watched.held, note=f"{watched.calls} calls"),
        _exactly(scene, "schemas built per request", 0, max(each["schemas"] for each in seen.values())),
        *(_statements(scene, name, each) for name, each in seen.items()),
        _connections(scene),
    ]


def _count(components: Components, door: Any, make: Callable[[int], list[Call]]) -> Counter[str]:  # noqa: ANN401  # a WSGI application
    warm, counted = make(2)
    hand_over(door, warm)
    with _counting(components) as seen:
        status, body = hand_over(door, counted)
    assert status in {200, 201, 202}, (status, body)
    return seen


@contextmanager
def _counting(components: Components) -> Iterator[Counter[str]]:
    seen: Counter[str] = Counter()
    listeners = [
        (place, name, partial(_note, seen, f"{database} {what}"))
        for engine, database in engines(components)
        for place, name, what in (
            (engine, "commit", "commits"),
            (engine, "before_cursor_execute", "statements"),
            (engine.pool, "checkout", "checkouts"),
        )
    ]
    listeners += [
        (reader_of(writer), "after_cursor_execute", partial(_note_alone, seen, f"{database} commits"))
        for writer, database in _writers(components)
    ]
    build = Schema.__init__

    def building(schema: Schema, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's own
        seen["schemas"] += 1
        build(schema, *args, **kwargs)

    for place, name, note in listeners:
        event.listen(place, name, note)
    try:
        with mock.patch.object(Schema, "__init__", building):
            yield seen
    finally:
        for place, name, note in listeners:
            event.remove(place, name, note)


def engines(components: Components) -> list[tuple[Engine, str]]:
    """Every engine with what it opens: each database has one for writing and one for reading."""
    return [(engine, name) for writer, name in _writers(components) for engine in (writer, reader_of(writer))]


def _writers(components: Components) -> list[tuple[Engine, str]]:
    return [(components.records, "records"), (components.keystore, "keystore")]


def _note(seen: Counter[str], what: str, *_: object) -> None:
    seen[what] += 1


def _note_alone(seen: Counter[str], what: str, _connection: object, _cursor: object, sql: str, *_: object) -> None:
    """A statement in AUTOCOMMIT that writes is a transaction of its own."""
    seen[what] += sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "WITH"))


def _commits(scene: Scene, name: str, measured: int) -> Figure:
    return Figure(name=f"commits on records, {name}", on=scene.backend, must=2, measured=measured)


def _exactly(scene: Scene, name: str, must: int, measured: int, note: str = "") -> Figure:
    return Figure(name=name, on=scene.backend, must=must, measured=measured, note=note)


def _statements(scene: Scene, name: str, seen: Counter[str]) -> Figure:
    both = {what: seen[f"records {what}"] + seen[f"keystore {what}"] for what in ("statements", "checkouts", "commits")}
    note = ", ".join(f"{what} {seen[f'records {what}']} + {seen[f'keystore {what}']}" for what in both)
    details = {what: float(number) for what, number in seen.items()}
    measured = both["statements"]
    return Figure(
        name=f"statements, {name}", on=scene.backend, measured=measured, note=f"{note} (keystore)", details=details
    )


def _connections(scene: Scene) -> Figure:
    """More callers than the pool has connections: none too many is opened."""
    processor = StripeProcessor(kind="sandbox", base_url=scene.processor.url, pool_size=POOL)
    before = scene.processor.look().connections
    scene.processor.answer_after(5)
    with ThreadPoolExecutor(CALLERS) as callers:
        ask = partial(processor.open_customer, Secret("sk_test_bench"), marks=Marks(tag="bench", id="bench"))
        list(callers.map(lambda number: ask(key=f"bench-{number}"), range(10 * CALLERS)))
    scene.processor.answer_after(0)
    opened = scene.processor.look().connections - before
    note = f"{CALLERS} callers, pool of {POOL}"
    return Figure(name="connections at the processor", on=scene.backend, must=POOL, measured=opened, note=note)
