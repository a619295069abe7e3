"""One run's world: processes, their databases, the processor, the network, and what may happen to each of them."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chance import Chance
from databases import Gate
from deployment import FILES, MONEY, WEBHOOK_SECRET, WORK, Away, Founded, Process
from processor import Processor, Transport, thawed
from scheduler import Actor, Killed, Scheduler, Signal

from sandbox.webhooks import signature

START = datetime(2026, 12, 1, 8, tzinfo=UTC).timestamp()
SERVERS, WORKERS = 4, 2
"""Processes. One that was not needed yet is not started yet."""
PATIENCE = 60.0
"""Seconds after which a client hangs up."""

BEAT = 60.0
"""A process looks whether it may serve before it does anything, once its last look is so many seconds old."""

PAUSES = (5.0, 60.0, 600.0, 3600.0, 10_800.0)
"""Between the attempts to deliver a webhook."""


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
    gates: dict[str, tuple[str, Gate]]
    sandbox: bytes = b""
    cards: list[dict[str, Any]] = field(default_factory=list)


class World:
    """Everything of one run."""

    def __init__(self, chance: Chance, stage: Stage, rates: Mapping[str, float]) -> None:
        self.chance, self.stage, self.rates = chance, stage, rates
        self.scheduler = Scheduler(START)
        self.processor = Processor(self.scheduler, thawed(stage.sandbox, lambda: self.scheduler.now))
        self.processor.listener = self._webhook
        self.ledger = Away(stage.home / "ledger")
        self.slots = stage.slots
        self.calm = False
        """No faults any more."""
        self.crashes: list[str] = []
        """What the house logged as an unexpected error."""
        self.undelivered = 0
        self.delivered: list[tuple[float, str, bytes]] = []
        self.busy_at = START
        self.erases = False
        self.hung: dict[str, float] = {}
        """Until when a site's databases do not answer."""
        self.trace: list[str] = []
        self._webhooks = itertools.count(1)
        self._turns = itertools.count(1)

    def say(self, text: str) -> None:
        self.trace.append(f"{self.scheduler.now - START:10.2f} {text}")

    def logged(self, word: str, error: Any) -> None:
        """What the house logs: an unexpected error is a fault of its own."""
        if word == "unexpected_error":
            self.crashes.append(f"{type(error).__name__}: {error}"[:300])
            self.say(f"CRASH {self.crashes[-1]}")

    def clock(self) -> datetime:
        return datetime.fromtimestamp(self.scheduler.now, UTC)

    # -- where actors stand still ------------------------------------------------------------------------------------

    def edge(self, what: str) -> None:
        """An actor is between two steps: it goes on, stands still for a while, or its process dies."""
        actor = self.scheduler.current()
        if actor is None or actor.process is None:
            return
        if actor.is_killed:
            raise Killed
        if actor.is_quiet:
            return
        actor.edges += 1
        name = f"{actor.label}#{actor.edges}"
        if not self.calm:
            self._stall(actor.process, name, what)
            self._hang(actor.process, what)
            down = self.chance.event(f"{name} kill", self.rates["kill"], lambda: self.chance.span(name, 900.0))
            if down:
                self.say(f"{name} at {what} dies with its process for {down}")
                self.kill(actor.process, down)
        self.scheduler.sleep(self.chance.between(f"{name} j", 0.0005, 0.03))

    def _stall(self, slot: Slot, name: str, what: str) -> None:
        """A process that was frozen for long may find that nobody answers it any more, for a while."""
        rate = self.rates["stall"] * (4 if what == "send" else 1)
        frozen = self.chance.event(f"{name} stall", rate, lambda: self._frozen(name))
        if frozen:
            self.say(f"{name} at {what} stalls {frozen}")
            self.scheduler.sleep(frozen["for"])
            slot.cut_until = max(slot.cut_until, self.scheduler.now + frozen.get("cut", 0.0))

    def _frozen(self, name: str) -> dict[str, float]:
        seconds = self.chance.span(name)
        is_cut = seconds > 20.0 and self.chance.is_so(f"{name} cut", 0.3)
        return {"for": seconds} | ({"cut": self.chance.span(f"{name} c", 110.0)} if is_cut else {})

    def _hang(self, slot: Slot, what: str) -> None:
        """The primary that this process talks to does not answer for now."""
        until = self.hung.get(slot.site, 0.0)
        if what != "send" and self.scheduler.now < until:
            self.scheduler.sleep(until - self.scheduler.now + self.chance.share(f"{slot.number} hung {until}"))

    def fate(self) -> dict[str, Any]:
        """What becomes of the processor call that is made now."""
        actor = self.scheduler.current()
        if actor is None:
            return {"do": "arrive", "travel": 0.0}
        slot = actor.process
        self.edge("send")
        actor.calls += 1
        name = f"{actor.label}>{actor.calls}"
        travel = self.chance.between(f"{name} t", 0.02, 0.6)
        if self.calm or slot is None:
            return {"do": "arrive", "travel": travel}
        if self.scheduler.now < slot.cut_until:
            return {"do": "refused", "travel": travel}
        meant = self.chance.event(f"{name} call", self.rates["call"], lambda: self._trouble(name))
        if not meant:
            return {"do": "arrive", "travel": travel}
        self.say(f"{name} {meant}")
        if meant["do"] == "cut":
            slot.cut_until = self.scheduler.now + meant["seconds"]
            return {"do": "refused", "travel": travel}
        return {"travel": travel, **meant}

    def _trouble(self, name: str) -> dict[str, Any]:
        seconds = self.chance.span(f"{name} s", 3600.0)
        return self.chance.weighted(
            f"{name} which",
            [
                ({"do": "cut", "seconds": seconds}, 3),
                ({"do": "reset"}, 2),
                ({"do": "lost"}, 4),
                ({"do": "arrive", "late": seconds}, 3),
                ({"do": "arrive", "fault": {"do": "delay", "seconds": min(seconds, 300.0)}}, 2),
                ({"do": "arrive", "fault": {"do": "status", "status": 500}}, 2),
                ({"do": "arrive", "fault": {"do": "status", "status": 500, "act": True}}, 1),
                ({"do": "arrive", "fault": {"do": "status", "status": 429}}, 1),
                ({"do": "arrive", "fault": {"do": "garbage"}}, 1),
            ],
        )

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
        slot.process.place.unlink(missing_ok=True)
        slot.process.place.symlink_to(self.stage.home / site)
        for name in FILES:
            self.stage.gates[f"{slot.process.place}/{name}"] = (name.partition(".")[0], slot.gate)

    def look(self, slot: Slot) -> None:
        """What a process does at its start, and every few seconds."""
        if not slot.started:
            self._quietly(lambda: self._started(slot))
        elif self.scheduler.now - slot.looked_at > BEAT or not slot.process.guard.verdict.is_good:
            self._quietly(slot.process.look)
            slot.looked_at = self.scheduler.now

    # -- calls -------------------------------------------------------------------------------------------------------

    def call(
        self, label: str, method: str, path: str, body: object = None, *, key: str | None = None
    ) -> Answer | None:
        """What a client is told; None where it hears nothing."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.stage.founded.client_key}"}
        if key is not None:
            headers["Idempotency-Key"] = key
        return self.send(label, method, path, content, headers)

    def send(
        self, label: str, method: str, path: str, content: bytes, headers: Mapping[str, str]
    ) -> Answer | None:
        free = [slot for slot in self.slots[:SERVERS] if slot.up and not slot.busy]
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

    # -- the worker --------------------------------------------------------------------------------------------------

    def work(self, number: int) -> None:
        """A worker's life: some lanes, a pause, longer while nothing happens."""
        slot, rounds, pause = self.slots[SERVERS + number], 0, 1.0
        while not self.calm:
            rounds += 1
            name = f"w{number}.{rounds}"
            pause = 1.0 if self.busy_at > self.scheduler.now - 60.0 else min(pause * 2.5, 1000.0)
            self.scheduler.sleep(self.chance.between(f"{name} p", 2.0, 60.0) * pause)
            if self.calm or not slot.up or slot.busy:
                continue
            lanes = sorted(self.needed, key=lambda lane: self.chance.share(f"{name} {lane}"))
            lanes = lanes[: self.chance.number(f"{name} n", 1, len(lanes))]
            ended = Signal(self.scheduler)
            self.run_in(slot, name, lambda lanes=lanes, ended=ended: ended.set(self.turn(slot, lanes)))
            ended.wait(200_000.0)

    @property
    def needed(self) -> tuple[str, ...]:
        """The lanes that may have something to do: nobody was erased, nobody's refund is settled, spares a look."""
        return WORK if self.erases else MONEY

    def turn(self, slot: Slot, lanes: list[str] | tuple[str, ...]) -> int:
        """Some lanes, one after the other."""
        self.look(slot)
        ended = 0
        for lane in lanes:
            try:
                ended += slot.process.turn(lane, self._reported)
            except Exception as error:  # noqa: BLE001  # as the worker: a round that failed comes again
                self.say(f"lane {lane} failed: {type(error).__name__}")
        return ended

    def _reported(self, what: str, error: Exception) -> None:
        self.say(f"worker: {what} failed: {type(error).__name__}: {error}"[:200])

    # -- webhooks ----------------------------------------------------------------------------------------------------

    def _webhook(self, event: Mapping[str, Any]) -> None:
        if event["type"].startswith("payment_intent.") and not self.rates["tells_payments"]:
            return
        number = next(self._webhooks)
        label = f"h{number}"
        body = json.dumps(event).encode()
        late = 0.0
        if not self.calm:
            late = self.chance.event(f"{label} late", self.rates["webhook"], lambda: self.chance.span(label, 20_000.0)) or 0.0
        self.undelivered += 1
        wait = self.chance.between(f"{label} d", 0.05, 4.0) + late
        self.scheduler.start(label, lambda: self.deliver(label, event["type"], body), after=wait)
        if not self.calm and self.chance.event(f"{label} twice", self.rates["webhook"] / 2, lambda: True):
            self.undelivered += 1
            again = wait + self.chance.span(f"{label} again", 3600.0)
            self.scheduler.start(f"{label}b", lambda: self.deliver(f"{label}b", event["type"], body), after=again)

    def deliver(self, label: str, kind: str, body: bytes) -> None:
        """Until it is taken."""
        for attempt in itertools.count(1):
            signed = {"Stripe-Signature": signature(WEBHOOK_SECRET, body, int(self.scheduler.now))}
            path = f"/webhooks/{self.stage.founded.account}"
            answer = self.send(f"{label}.{attempt}", "POST", path, body, signed)
            if answer is not None and answer.status < 300:
                self.delivered.append((self.scheduler.now, kind, body))
                self.undelivered -= 1
                return
            self.scheduler.sleep(1.0 if self.calm else PAUSES[min(attempt, len(PAUSES)) - 1])

    def send_again(self, since: float) -> None:
        """What was taken since then may be lost: the operator has the processor send it again."""
        for at, kind, body in self.delivered:
            if at >= since:
                number = next(self._webhooks)
                self.undelivered += 1
                label = f"h{number}r"
                self.scheduler.start(label, lambda label=label, kind=kind, body=body: self.deliver(label, kind, body), after=30.0)


def _state(body: Any) -> str:
    return f"{body.get('id', '')[:10]} {body.get('status', '')} {body.get('step') or ''}" if isinstance(body, dict) else ""
