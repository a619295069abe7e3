"""The worker: a lane for each kind of work in `vault.lanes`, round after round, while the guard's verdict is good.

Lanes are threads: a processor or a server that hangs holds up its own lane and no other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock, Thread
from time import monotonic

import structlog

from panless.process import configuration
from panless.wiring import Components
from vault.lanes.rounds import LANES
from vault.ledger.guard import Guard, Verdict

PAUSE = 1.0
REFUSED_PAUSE = 10.0
LONGEST_PAUSE = 30.0
RESTS = {"ledger": 10.0, "index": 60.0, "purge": 3600.0, "reconcile": 60.0, "keys": 60.0, "audit": 0.2}
"""Seconds that a lane rests once it found nothing to do, where that is not `PAUSE`."""

LOOKED_EVERY = 5.0
"""Seconds for which a good look at the ledger is every lane's: of a bucket, each costs money."""

STOPPING_SECONDS = 30.0
"""How long the rounds that run may take to finish: longer than any one call to a processor."""


@dataclass(slots=True)
class Lane:
    """One kind of work, and how its last rounds went."""

    name: str
    check: Callable[[], Verdict]
    work: Callable[[], int]
    rest: float = PAUSE
    failures: int = field(default=0, init=False)

    def run(self, wait: Callable[[float], bool]) -> None:
        """Work until `wait` says to stop; the round that runs then is finished."""
        while not wait(self.round()):
            pass

    def round(self) -> float:
        """One round; how many seconds to wait before the next. No error ends the lane: it waits longer each time."""
        try:
            pause = self._round()
        except Exception as error:  # noqa: BLE001  # a database that is away comes back; whatever else is logged each time
            self.failures += 1
            pause = min(PAUSE * 2.0 ** min(self.failures, 10), LONGEST_PAUSE)
            structlog.get_logger().error(
                "round_failed", lane=self.name, kind=type(error).__name__, again_in=pause, exc_info=error
            )
            return pause
        self.failures = 0
        return pause

    def _round(self) -> float:
        verdict = self.check()
        if not verdict.is_good:
            structlog.get_logger().warning(
                "not_working", lane=self.name, verdict=verdict.code, reason=verdict.message, cause=verdict.cause
            )
            return PAUSE if verdict.code.endswith("_unavailable") else REFUSED_PAUSE
        ended = self.work()
        if ended:
            structlog.get_logger().info("ended", lane=self.name, count=ended)
        return 0.0 if ended else self.rest


@dataclass(slots=True)
class Looks:
    """The guard's looks, of which all lanes have the same: another database is seen by each statement, not by these."""

    guard: Guard
    now: Callable[[], float] = monotonic
    looked_at: float = field(default=-LOOKED_EVERY, init=False)
    _one_at_a_time: Lock = field(default_factory=Lock, init=False)

    def last(self) -> Verdict:
        """The last verdict, a new one where it was bad or is old."""
        with self._one_at_a_time:
            if not self.guard.verdict.is_good or self.now() - self.looked_at >= LOOKED_EVERY:
                self.guard.check()
                self.looked_at = self.now()
        return self.guard.verdict


def lanes_of(components: Components) -> list[Lane]:
    """The lanes over these parts, and one that writes down what the others only count."""
    check = Looks(components.guard).last
    counted = Lane("tallies", check, partial(_write_down, components, []), rest=LONGEST_PAUSE)
    return [
        counted,
        *(
            Lane(
                name=name,
                check=check,
                work=partial(work, components.workshop, report),
                rest=RESTS.get(name, PAUSE),
            )
            for name, work in LANES.items()
        ),
    ]


def _write_down(components: Components, noted: list[str]) -> int:
    """`noted` is empty until it is on the record what this process is set up with."""
    if not noted:
        noted += ["configuration", *configuration.note(components, "worker")]
    components.tallies.write_down(components.records, components.keyring, components.clock())
    return 0


def run(lanes: Sequence[Lane], wait: Callable[[float], bool]) -> None:
    """Run all lanes at once until `wait` says to stop. What hangs then for too long is left to the next worker."""
    structlog.get_logger().info("worker_started")
    threads = [Thread(target=lane.run, args=(wait,), name=lane.name, daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    while not wait(LONGEST_PAUSE):
        pass
    for thread in threads:
        thread.join(STOPPING_SECONDS)
    structlog.get_logger().info("worker_stopped")


def report(what: str, error: Exception) -> None:
    """Log a step that failed; its turn comes again."""
    structlog.get_logger().error("step_failed", step=what, kind=type(error).__name__, exc_info=error)
