"""One run's world: processes that live and die, where their databases lie, and the calls that they serve."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chance import Chance
from databases import Gate
from deployment import Away, Founded, Process
from processor import Processor, Transport, thawed
from scheduler import Actor, Killed, Scheduler, Signal
from sites import Files

START = datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()
SERVERS, WORKERS = 4, 2
"""Processes. One that was not needed yet is not started yet."""

PATIENCE = 60.0
"""Seconds after which a client hangs up."""

BEAT = 120.0
"""A process looks whether it may serve before it does anything, once its last look is so many seconds old."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client was told."""

    at: float
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        return str((self.body or {}).get("code", "")) if isinstance(self.body, dict) else ""


@dataclass(slots=True)
class Slot:
    """A process, and how it is."""

    process: Process
    gate: Gate
    number: int
    place: str
    site: str = ""
    up: bool = False
    started: bool = False
    busy: bool = False
    generation: int = 0
    cut_until: float = 0.0
    looked_at: float = 0.0
    actors: set[Actor] = field(default_factory=set)


@dataclass(slots=True, kw_only=True)
class Stage:
    """What is there before a run begins: a deployment to copy, processes to start, a processor with customers."""

    home: Path
    founded: Founded
    slots: list[Slot]
    sites: Files
    sandbox: bytes = b""
    cards: list[dict[str, Any]] = field(default_factory=list)


class World:
    """Everything of one run."""

    edge: Callable[[str], None]
    """Told where an actor is."""
    fate: Callable[[], dict[str, Any]]
    """Says what becomes of a call to the processor."""

    def __init__(self, chance: Chance, stage: Stage, rates: Mapping[str, float]) -> None:
        self.chance, self.stage, self.rates, self.slots = chance, stage, rates, stage.slots
        self.scheduler = Scheduler(START)
        self.processor = Processor(self.scheduler, thawed(stage.sandbox, lambda: self.scheduler.now), rates["lag"])
        self.ledger = Away(stage.home / "ledger")
        self.trace: list[str] = []
        self.crashes: list[str] = []
        """What the house logged as an unexpected error."""
        self.calm = False
        """Whether there are no faults any more."""
        self.tells_payments = bool(rates["tells_payments"])
        """Whether the processor sends events of payments; needed where an old primary outlasts the walk."""
        self.erases = False
        """Whether anybody is erased."""
        self.busy_at, self.moved_at, self.shaken_at = START, START - 1000.0, START
        """When somebody called last, when a database was put in another's place, and when a store went or came."""
        self.hung: dict[str, float] = {}
        """Until when a site's databases do not answer."""

    def say(self, text: str) -> None:
        self.trace.append(f"{self.scheduler.now - START:10.2f} {text}")

    def logged(self, word: str, error: Any) -> None:
        """What the house logs: an unexpected error is a fault of its own."""
        if word == "unexpected_error":
            self.crashes.append(f"{type(error).__name__}: {error}"[:300])
            self.say(f"CRASH {self.crashes[-1]}")

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.scheduler.now, UTC)

    # -- processes ---------------------------------------------------------------------------------------------------

    def start(self, slot: Slot) -> None:
        """It serves from now on; what it does at its start it does when it is needed first."""
        slot.up, slot.started = True, False

    def _started(self, slot: Slot) -> None:
        """Its start, and a replay of the ledger where the guard asks for one."""
        transport = Transport(self.processor, self.fate)
        verdict = slot.process.start(self.ledger, transport, self.clock, lambda: self.scheduler.now)
        if verdict.endswith("_restored"):
            self.say(f"process {slot.number} replays the ledger")
            slot.process.replay()
            slot.process.look()
        slot.looked_at, slot.started = self.scheduler.now, True

    def _quietly(self, work: Callable[[], Any]) -> Any:
        actor = self.scheduler.current()
        if actor is None:
            return work()
        actor.is_quiet = True
        try:
            return work()
        finally:
            actor.is_quiet = False

    def kill(self, slot: Slot, down: float) -> None:
        """`kill -9`; it is started again after so many seconds."""
        self.scheduler.at(down, lambda: self.start(slot))
        self.stop(slot)

    def stop(self, slot: Slot) -> None:
        """Everything that runs in it ends where it stands."""
        slot.up = False
        here = self.scheduler.current()
        for actor in [*slot.actors]:
            actor.kill()
        slot.actors.clear()
        slot.busy = False
        slot.generation += 1
        if here is not None and here.is_killed:
            raise Killed

    def move(self, slot: Slot, site: str) -> None:
        """From its next start on its databases are those of this site."""
        slot.site = site
        self.stage.sites.move(slot.place, site, slot.gate)

    def look(self, slot: Slot) -> None:
        """What a process does at its start, and every few seconds; where nothing has changed, it would find nothing."""
        if not slot.started:
            self._quietly(lambda: self._started(slot))
        elif not slot.process.guard.verdict.is_good or slot.looked_at <= self._changed_at():
            self._quietly(slot.process.look)
            slot.looked_at = self.scheduler.now

    def _changed_at(self) -> float:
        """When something was changed last that a look is for and that stops nobody."""
        return self.scheduler.now - BEAT if self.ledger.is_away else max(self.moved_at, self.shaken_at)

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(self, label: str, method: str, path: str, body: object = None, *, key: str | None = None) -> Answer | None:
        """What a client is told; None where it hears nothing."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.stage.founded.client_key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.send(label, method, path, content, headers)

    def send(self, label: str, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> Answer | None:
        free = [slot for slot in self.slots[:SERVERS] if slot.up and not slot.busy]
        if self.calm:  # a process more would only take its time to start
            free = [slot for slot in free if slot.started] or free
        if not free:
            self.scheduler.sleep(1.0)
            return None
        slot = self.chance.one_of(f"{label} server", free)
        answered = Signal(self.scheduler)
        self.busy_at = self.scheduler.now
        self.run_in(slot, label, lambda: answered.set(self._serve(slot, label, method, path, content, headers)))
        if self.scheduler.current() is None:
            raise AssertionError("only actors call")
        answered.wait(PATIENCE)
        lost = not self.calm and self.chance.event(f"{label} unheard", self.rates["unheard"], lambda: True)
        return None if lost or not answered.is_set else answered.value

    def _serve(
        self, slot: Slot, label: str, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> Answer:
        self.look(slot)
        self.edge("begin")
        status, body, shown = slot.process.call(method, path, content, headers)
        answer = Answer(self.scheduler.now, status, body, shown)
        self.say(f"{label} p{slot.number} {method} {path} -> {status} {answer.code or _state(body)}")
        self.edge("end")
        return answer

    def run_in(self, slot: Slot, label: str, work: Callable[[], Any]) -> Actor:
        """An actor of a process, which is busy with it."""
        slot.busy = True
        generation = slot.generation

        def whole() -> None:
            try:
                if actor.is_killed:
                    raise Killed
                work()
            finally:
                if slot.generation == generation:
                    slot.busy = False
                slot.actors.discard(actor)

        actor = self.scheduler.start(label, whole, slot)
        slot.actors.add(actor)
        return actor


def _state(body: Any) -> str:
    return (
        f"{body.get('id', '')[:10]} {body.get('status', '')} {body.get('step') or ''}" if isinstance(body, dict) else ""
    )
