"""What may happen to an actor between two of its steps, and to a message on its way to the processor and back."""

from math import inf
from typing import Any

from scheduler import Killed
from world import Slot, World

SEND = "send"
"""The edge before a call to the processor: to stand still there for long is what leases are about."""

KEPT = 80_000.0
"""Seconds for which a key is certainly kept; to stand still for longer before a call is outside the promise."""


def edge(world: World, what: str) -> None:
    """An actor is between two steps: it goes on, stands still for a while, or its process dies. Raises Killed."""
    actor = world.scheduler.current()
    if actor is None or actor.process is None:
        return
    if actor.is_killed:
        raise Killed
    if actor.is_quiet:
        return
    actor.edges += 1
    name = f"{actor.label}#{actor.edges}"
    if not world.calm:
        _stall(world, actor.process, name, what)
        _hang(world, actor.process, what)
        down = world.chance.event(f"{name} kill", world.rates["kill"], lambda: world.chance.span(name, 900.0))
        if down:
            world.say(f"{name} at {what} dies with its process for {down}")
            world.kill(actor.process, down)
    world.scheduler.sleep(world.chance.between(f"{name} j", 0.0005, 0.03))


def _stall(world: World, slot: Slot, name: str, what: str) -> None:
    """A process that was frozen for long may find that nobody answers it any more, for a while."""
    rate = world.rates["stall"] * (4 if what == SEND else 1)
    frozen = world.chance.event(f"{name} stall", rate, lambda: _frozen(world, name, what))
    if frozen:
        world.say(f"{name} at {what} stalls {frozen}")
        world.scheduler.sleep(frozen["for"])
        slot.cut_until = max(slot.cut_until, world.scheduler.now + frozen.get("cut", 0.0))


def _frozen(world: World, name: str, what: str) -> dict[str, float]:
    seconds = min(world.chance.span(name), KEPT if what == SEND else inf)
    is_cut = seconds > 20.0 and world.chance.is_so(f"{name} cut", 0.5)
    return {"for": seconds} | ({"cut": world.chance.span(f"{name} c", 110.0)} if is_cut else {})


def _hang(world: World, slot: Slot, what: str) -> None:
    """The primary that this process talks to does not answer for now."""
    until = world.hung.get(slot.site, 0.0)
    if what != SEND and world.scheduler.now < until:
        world.scheduler.sleep(until - world.scheduler.now + world.chance.share(f"{slot.number} hung {until}"))


def fate(world: World) -> dict[str, Any]:
    """What becomes of the processor call that is made now: `do`, `travel` in seconds each way, perhaps more."""
    actor = world.scheduler.current()
    if actor is None:
        return {"do": "arrive", "travel": 0.0}
    edge(world, SEND)
    actor.calls += 1
    name = f"{actor.label}>{actor.calls}"
    travel = world.chance.between(f"{name} t", 0.02, 0.6)
    meant = {} if world.calm else _meant(world, actor.process, name)
    return {"do": "arrive", "travel": travel, **meant}


def _meant(world: World, slot: Slot, name: str) -> dict[str, Any]:
    if world.scheduler.now < slot.cut_until:
        return {"do": "refused"}
    meant = world.chance.event(f"{name} call", world.rates["call"], lambda: _trouble(world, name))
    if not meant:
        return {}
    world.say(f"{name} {meant}")
    if meant["do"] == "cut":
        slot.cut_until = world.scheduler.now + meant["seconds"]
        return {"do": "refused"}
    return meant


def _trouble(world: World, name: str) -> dict[str, Any]:
    seconds = world.chance.span(f"{name} s", 3600.0)
    kinds = [
        ({"do": "cut", "seconds": seconds}, 3),
        ({"do": "reset"}, 2),
        ({"do": "lost"}, 4),
        ({"do": "arrive", "late": seconds}, 3),
        ({"do": "arrive", "fault": {"do": "delay", "seconds": min(seconds, 300.0)}}, 2),
        ({"do": "arrive", "fault": {"do": "status", "status": 500}}, 2),
        ({"do": "arrive", "fault": {"do": "status", "status": 500, "act": True}}, 1),
        ({"do": "arrive", "fault": {"do": "status", "status": 429}}, 1),
        ({"do": "arrive", "fault": {"do": "garbage"}}, 1),
    ]
    return world.chance.weighted(f"{name} which", world.chance.favouring("trouble", kinds))
