"""One seed, one run: its profile, its stories, its storm, calm until all has come to its end, then the judgment."""

import gc
import time
from dataclasses import dataclass, field
from typing import Any

from aftermath import follow
from chance import Chance, Course
from clients import Story
from model import Violation, judged
from scenario import Operations, drawn, starts
from stage import dressed
from webhooks import Webhooks
from working import live, needed, turn
from world import SERVERS, START, WORKERS, Stage, World

KINDS = (
    ("restart", 0.5),
    ("restore", 2.0),
    ("failover", 4.0),
    ("ledger", 0.4),
    ("keystore", 0.5),
    ("credentials", 0.7),
    ("wrong_key", 0.5),
    ("copied", 1.0),
)
OUTSIDE = frozenset({"copied"})
"""Events that are published as outside the promise, left out unless asked for."""

LIST_LAG = 9.0
"""Seconds for which lists do not show what was done: less than the ten that the house reckons with."""

COLLECTED = 8
"""After how many seeds the garbage collector runs, for 20 ms: nobody waits for what a run leaves."""

CALM_STEPS = (70.0, 70.0, 70.0, 30.0, 300.0, 700.0, 700.0, 3600.0, 3600.0, 90_000.0, 700.0, 90_000.0, 3600.0, 3600.0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    seed: int
    violations: list[Violation]
    course: Course
    trace: list[str] = field(repr=False)
    seconds: float = 0.0

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(sorted({each.kind for each in self.violations}))


def profile(chance: Chance) -> dict[str, float]:
    """What this seed is rich in: most seeds have a few kinds of trouble, and those often."""

    def rate(name: str, *rates: float) -> float:
        return float(chance.one_of(f"rate {name}", rates))

    return {
        "stall": rate("stall", 0, 0.01, 0.03, 0.06),
        "kill": rate("kill", 0, 0, 0, 0.004),
        "call": rate("call", 0, 0.1, 0.25, 0.5),
        "unheard": rate("unheard", 0, 0, 0.1),
        "webhook": rate("webhook", 0, 0.2, 0.6),
        "tells_payments": rate("tells payments", 0, 1),
        "twice": rate("twice", 0, 0, 0.3),
        "new": rate("new", 0.1, 0.5),
        "impatient": rate("impatient", 0.1, 0.3, 0.6),
        "again": rate("again", 0.2, 0.5, 0.9),
        "refund": rate("refund", 0, 0.4, 0.9),
        "dashboard": rate("dashboard", 0, 0.3, 0.7),
        "detach": rate("detach", 0, 0, 0.3),
        "erase": rate("erase", 0, 0, 0.3),
        "person": rate("person", 0.5, 0.9),
        "events": rate("events", 0, 0.5, 0.9),
        "lag": rate("lag", 0, 0, LIST_LAG),
    }


def but(outside: frozenset[str]) -> list[tuple[str, float]]:
    """The events that may happen, with their weights."""
    return [(kind, weight) for kind, weight in KINDS if kind not in outside]


def run(stage: Stage, seed: int, course: Course | None = None, outside: frozenset[str] = OUTSIDE) -> Outcome:
    """Run one seed, or one course of it."""
    begun = time.process_time()
    chance = Chance(seed, course)
    rates = profile(chance)
    world = dressed(chance, stage, rates)
    webhooks = Webhooks(world)
    operations = Operations(world, webhooks)
    stories = [*_stories(world)]
    kinds = chance.favouring("events", but(outside))
    for number in range(2):
        event = chance.event(f"event{number}", rates["events"], lambda number=number: drawn(world, number, kinds))
        if event:
            operations.plan(number, event)
    for number in range(WORKERS):
        world.scheduler.start(f"w{number}", lambda number=number: live(world, number))
    violations = _lived(world, operations, stories)
    if seed % COLLECTED == 0:
        gc.collect()
    return Outcome(seed, violations, dict(chance.course), world.trace, time.process_time() - begun)


def _stories(world: World) -> Any:
    chance = world.chance
    for number in range(chance.number("stories", 2, 4)):
        story = Story(
            world=world,
            number=number,
            amount=1000 + 100 * number + 3,
            card=chance.weighted(
                f"o{number} card", list(zip(world.stage.cards, (3, 3, 2, 1.5, 1, 1, 0.5, 1), strict=True))
            ),
            is_manual=chance.is_so(f"o{number} manual", 0.2),
        )
        start = chance.event(f"o{number}", 1.0, lambda number=number: starts(chance, number))
        if start:
            world.scheduler.start(story.label, story.run, after=start)
            world.scheduler.at(start, lambda story=story: follow(story))
            yield story


def _lived(world: World, operations: Operations, stories: list[Story]) -> list[Violation]:
    scheduler = world.scheduler
    scheduler.run(START + 5400.0)
    world.calm = True
    while scheduler.actors and scheduler.now < START + 400_000:
        scheduler.run(scheduler.now + 1000.0)
    judgment: list[Violation] = []
    end = scheduler.start("end", lambda: judgment.extend(_ended(world, operations, stories)))
    scheduler.run(scheduler.now + 1_000_000.0)
    if scheduler.errors:
        raise scheduler.errors[0]
    if not end.dead:
        judgment.append(Violation("hangs", f"{[actor.label for actor in scheduler.actors]}"))
    return judgment


def _ended(world: World, operations: Operations, stories: list[Story]) -> list[Violation]:
    """Let the worker come to its end, hours and days later, and judge: what has not ended yet gets more time."""
    worker = world.slots[SERVERS]
    operations.enter_credentials("op-end")
    quiet = 0
    for step in CALM_STEPS:
        world.scheduler.sleep(step)
        world.processor.settle()
        ended = turn(world, worker, needed(world))
        quiet = quiet + 1 if not ended and not operations.webhooks.under_way else 0
        if quiet >= 2:
            found = _judged(world, stories)
            if not any(each.may_end for each in found):
                return found
    return _judged(world, stories)


def _judged(world: World, stories: list[Story]) -> list[Violation]:
    for slot in world.slots[:SERVERS]:
        if slot.started:
            world.look(slot)
    return judged(world, stories)
