"""Sets the stage once in a process, and again for each run by copying what was founded: nothing is migrated twice."""

import fcntl
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

from chance import Chance
from databases import Gate, flock_of, listen
from deployment import Process, copy, found, listen_to_errors
from hazards import edge, fate
from processor import Clocked, frozen
from working import turn
from world import SERVERS, START, WORKERS, Slot, Stage, World

from sandbox import setup_intents

CALM = {"stall": 0.0, "kill": 0.0, "call": 0.0, "unheard": 0.0, "webhook": 0.0, "tells_payments": 0.0}
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
def staged(home: Path | None = None) -> Iterator[Stage]:
    """A stage on the RAM disk; the operating system's clock and file locks are the simulator's meanwhile."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(dir=home or "/dev/shm", prefix="panless-sim-"))  # noqa: S108  # a RAM disk is the point
        stage = _founded(Path(place), stack)
        world = dressed(Chance(0, {}), stage, CALM)
        world.scheduler.start("cards", lambda: _store_cards(world))
        world.scheduler.run(START + 3000)
        _raise_any(world)
        stage.sandbox = frozen(world.processor.sandbox)
        for slot in stage.slots:
            slot.process.stop()
        copy(stage.home / "a", stage.home / "template")
        shutil.copytree(stage.home / "ledger", stage.home / "first-ledger", dirs_exist_ok=True)
        yield stage


def _founded(home: Path, stack: ExitStack) -> Stage:
    gates: dict[str, tuple[str, Gate]] = {}
    still = Gate(lambda _what: None, lambda: START)
    for name in ("records", "keystore"):
        gates[f"{home}/site/{name}.db"] = (name, still)
    stack.callback(listen(gates))
    listen_to_errors(lambda _word, _error: None)
    founded = found(home, lambda: datetime.fromtimestamp(START, UTC))
    copy(home / "site", home / "template")
    shutil.copytree(home / "ledger", home / "first-ledger")
    slots = [
        Slot(process=Process(home / f"place{number}", founded), gate=Gate(still.edge, still.now), number=number)
        for number in range(SERVERS + WORKERS)
    ]
    nothing = Clocked()
    return Stage(home=home, founded=founded, slots=slots, gates=gates, sandbox=frozen(nothing))


def dressed(chance: Chance, stage: Stage, rates: dict[str, float]) -> World:
    """A world at its beginning: databases copied, all processes started, nothing in doubt."""
    home = stage.home
    for part in ("b", "c", "d", "ledger"):
        shutil.rmtree(home / part, ignore_errors=True)
    copy(home / "template", home / "a", over=True)
    shutil.copytree(home / "first-ledger", home / "ledger")
    world = World(chance, stage, rates)
    world.edge, world.fate = partial(edge, world), partial(fate, world)
    for slot in stage.slots:
        slot.gate.edge, slot.gate.now = world.edge, lambda: world.scheduler.now
        slot.gate.away = set()
        slot.actors = set()
        slot.cut_until = 0.0
        slot.busy = False
        slot.generation += 1
        world.move(slot, "a")
        world.start(slot)
    _operating_system(world)
    listen_to_errors(world.logged)
    turn(world, stage.slots[-1], ["catching_up"])
    return world


def _operating_system(world: World) -> None:
    """What of it the house asks for: a lock on a file, a pause."""
    scheduler = world.scheduler

    def wait() -> bool:
        if scheduler.current() is None:
            return False
        scheduler.sleep(0.5)
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
        mock.patch("fcntl.flock", lambda file, operation: OURS.flock(file, operation)),
        mock.patch("time.sleep", lambda seconds: OURS.sleep(seconds)),
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
