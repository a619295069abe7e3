"""A worker's life: whichever lanes have their turn, a pause, longer while nothing happens."""

from collections.abc import Sequence

from deployment import MONEY, WAITING, WORK
from scheduler import Signal
from sites import Files
from world import SERVERS, Slot, World

LIKELY = {"intents": 0.8, "webhooks": 0.7, "money": 0.1}
"""How likely a lane has its turn in a round."""

LONGEST = 200_000.0


def live(world: World, number: int) -> None:
    """Rounds of one worker, until all is calm."""
    slot, rounds, pause = world.slots[SERVERS + number], 0, 1.0
    while not world.calm:
        rounds += 1
        name = f"w{number}.{rounds}"
        pause = 1.0 if world.busy_at > world.scheduler.now - 60.0 else min(pause * 2.5, 1000.0)
        world.scheduler.sleep(world.chance.between(f"{name} p", 2.0, 60.0) * pause)
        if not world.calm and slot.up and not slot.busy and (lanes := _lanes(world, slot, name)):
            ended = Signal(world.scheduler)
            world.run_in(slot, name, lambda lanes=lanes, ended=ended: ended.set(turn(world, slot, lanes)))
            ended.wait(LONGEST)


def _lanes(world: World, slot: Slot, name: str) -> list[str]:
    """Whose turn it is, in any order: seldom one that seldom has anything to do."""
    likely = {**LIKELY, "walks": 1.0 if world.scheduler.now - world.moved_at < 600.0 else 0.2}
    lanes = [lane for lane in needed(world) if world.chance.is_so(f"{name} {lane}", likely.get(lane, 0.5))]
    lanes = [lane for lane in lanes if _may_have_work(world.stage.sites, slot, lane)]
    return sorted(lanes, key=lambda lane: world.chance.share(f"{name} {lane} o"))


def _may_have_work(sites: Files, slot: Slot, lane: str) -> bool:
    return lane not in WAITING or not sites.hints or sites.asked(slot.site, WAITING[lane])


def needed(world: World) -> tuple[str, ...]:
    """The lanes that this run is about."""
    return WORK if world.erases else MONEY


def turn(world: World, slot: Slot, lanes: Sequence[str]) -> int:
    """These lanes, one after the other; how much ended."""
    world.look(slot)
    ended = 0
    for lane in lanes:
        try:
            ended += slot.process.turn(lane, lambda what, error: _reported(world, what, error))
        except Exception as error:  # noqa: BLE001  # as the worker: a round that failed comes again
            _reported(world, lane, error)
    return ended


def _reported(world: World, what: str, error: Exception) -> None:
    world.say(f"worker: {what} failed: {type(error).__name__}: {error}"[:200])
