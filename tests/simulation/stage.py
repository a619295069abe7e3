"""Sets the stage once in a process, and again for each run by copying what was founded: nothing is migrated twice."""

import fcntl
import gc
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import structlog
from chance import Chance
from databases import Gate, flock_of, listen
from deployment import Founded, Process, found, listen_to_errors
from hazards import edge, fate
from processor import Clocked, frozen
from servers import Servers, running
from sites import FOUNDED, NAMES, SITES, Files
from working import turn
from world import SERVERS, START, WORKERS, Slot, Stage, World

from sandbox import setup_intents

CALM = {"stall": 0.0, "kill": 0.0, "call": 0.0, "unheard": 0.0, "webhook": 0.0, "tells_payments": 0.0, "lag": 0.0}
CARDS = (
    "4242424242424242",
    "5555555555554444",
    "4000056655665556",
    "4000000000000259",  # disputed
    "4000000000007726",  # refunds are pending first
    "4000000000005126",  # refunds fail later
    "4000000000000341",  # declines once it is stored
    "4000002500003155",  # its person authenticates, each time
)
PERSON = CARDS[-1]


@contextmanager
def staged(*, on_postgresql: bool = False) -> Iterator[Stage]:
    """A stage on the RAM disk."""
    with ExitStack() as stack:
        home = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm", prefix="panless-sim-"))
        )  # the point
        stack.callback(structlog.configure, **structlog.get_config())
        stage = _founded(home, _sites(home, stack, on_postgresql=on_postgresql))
        world = dressed(Chance(0, {}), stage, CALM)
        world.scheduler.start("cards", lambda: _store_cards(world))
        world.scheduler.run(START + 3000)
        _raise_any(world)
        stage.sandbox = frozen(world.processor.sandbox)
        _keep(stage, SITES[0])
        gc.collect()
        gc.freeze()  # what is there by now stays
        gc.disable()  # it would look through every library again and again: a fifth of the time
        stack.callback(_collect_again)
        yield stage
        _stop(stage)


def _collect_again() -> None:
    gc.unfreeze()
    gc.enable()
    gc.collect()


def _sites(home: Path, stack: ExitStack, *, on_postgresql: bool) -> Files | Servers:
    if on_postgresql:
        return stack.enter_context(running(lambda seconds: OURS.sleep(seconds)))  # noqa: PLW0108  # it changes with each run
    files = Files(home)
    stack.callback(files.close)
    stack.callback(listen(files.gates))
    return files


def _founded(home: Path, sites: Files | Servers) -> Stage:
    listen_to_errors(lambda _word, _error: None)
    sites.make("first")
    sites.move("founding", "first", Gate(lambda _what: None, lambda: START))
    urls = [sites.url("founding", name) for name in NAMES]
    founded = found(home, urls, lambda: datetime.fromtimestamp(START, UTC))
    slots = [_slot(sites, founded, number) for number in range(SERVERS + WORKERS)]
    stage = Stage(home=home, founded=founded, slots=slots, sites=sites, sandbox=frozen(Clocked()))
    _keep(stage, "first")
    return stage


def _slot(sites: Files | Servers, founded: Founded, number: int) -> Slot:
    place = f"place{number}"
    process = Process([sites.url(place, name) for name in NAMES], founded)
    return Slot(process=process, gate=Gate(lambda _what: None, lambda: START), number=number, place=place)


def _keep(stage: Stage, site: str) -> None:
    """What each run begins with, from now on."""
    _stop(stage)
    stage.sites.keep(site, FOUNDED)
    shutil.copytree(stage.home / "ledger", stage.home / "first-ledger", dirs_exist_ok=True)


def _stop(stage: Stage) -> None:
    for slot in stage.slots:
        slot.process.stop()


def dressed(chance: Chance, stage: Stage, rates: dict[str, float]) -> World:
    """A world at its beginning: databases copied, all processes there, nothing in doubt."""
    _stop(stage)
    stage.sites.begin()
    shutil.rmtree(stage.home / "ledger")
    shutil.copytree(stage.home / "first-ledger", stage.home / "ledger")
    world = World(chance, stage, rates)
    world.edge, world.fate = partial(edge, world), partial(fate, world)
    for slot in stage.slots:
        slot.gate.edge, slot.gate.now, slot.gate.away = world.edge, lambda: world.scheduler.now, set()
        slot.actors, slot.cut_until, slot.busy = set(), 0.0, False
        slot.generation += 1
        world.move(slot, SITES[0])
        world.start(slot)
    _operating_system(world)
    listen_to_errors(world.logged)
    turn(world, stage.slots[-1], ["walks"])
    return world


def _operating_system(world: World) -> None:
    """What of it the house asks for: a lock on a file, a pause."""
    scheduler = world.scheduler

    def wait(seconds: float) -> bool:
        if scheduler.current() is None:
            return False
        scheduler.sleep(seconds)
        return True

    OURS.flock, OURS.sleep = flock_of(world.edge, wait), scheduler.sleep


class _Ours:
    """What stands in for it now."""

    flock = staticmethod(fcntl.flock)
    sleep = staticmethod(time.sleep)


OURS = _Ours()


@contextmanager
def operating_system() -> Iterator[None]:
    """Have file locks and pauses go by the virtual clock."""
    with (
        mock.patch("fcntl.flock", lambda *asked: OURS.flock(*asked)),  # noqa: PLW0108  # it changes with each run
        mock.patch("time.sleep", lambda *asked: OURS.sleep(*asked)),  # noqa: PLW0108  # the same
    ):
        yield


def _store_cards(world: World) -> None:
    for number, card in enumerate(CARDS):
        letter, is_person = chr(97 + number), card == PERSON
        order = {
            "type": "card",
            "card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": "123"},
            "customer": {"reference": f"customer-{letter}"},
        }
        answer = world.call(f"card{number}", "POST", "/v1/tokens", order, key=f"card-{letter}")
        if is_person:
            world.processor.by_hand(_authenticate)
            answer = world.call(f"card{number}c", "POST", f"/v1/tokens/{answer.body['id']}/confirm")
        assert answer.body["status"] == "active", answer
        face = {"token": answer.body["id"], "customer": answer.body["customer"]}
        world.stage.cards.append({**face, "number": card, "person": is_person})


def _authenticate(account: Any) -> None:
    for setup in account.tables["setup_intents"].values():
        if setup["status"] == "requires_action":
            setup_intents.authenticated(account, setup, succeeded=True)


def _raise_any(world: World) -> None:
    if world.scheduler.errors:
        raise world.scheduler.errors[0]
