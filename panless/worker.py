"""The worker: round after round of `vault.recovery`, as long as the guard's verdict is good."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

import structlog

from panless.wiring import Components
from vault.guard import Verdict
from vault.recovery import purge_once, work_once

PAUSE = 1.0
REFUSED_PAUSE = 10.0
PURGE_EVERY = 3600.0
"""Seconds between two looks for what is not to be kept any longer; in between, what was found is worked off."""
LONGEST_PAUSE = 30.0


@dataclass(slots=True)
class Rounds:
    """What one worker does, and how its last rounds went."""

    check: Callable[[], Verdict]
    work: Callable[[], int]
    purge: Callable[[], int]
    now: Callable[[], float] = monotonic
    failures: int = field(default=0, init=False)
    purge_at: float = field(default=0.0, init=False)

    def run(self, wait: Callable[[float], bool]) -> None:
        """Work until `wait` says to stop; the round that runs then is finished."""
        structlog.get_logger().info("worker_started")
        while not wait(self.round()):
            pass
        structlog.get_logger().info("worker_stopped")

    def round(self) -> float:
        """One round; how many seconds to wait before the next. No error ends the worker: it waits longer each time."""
        try:
            pause = self._round()
        except Exception as error:  # noqa: BLE001  # a database that is away comes back; whatever else is logged each time
            self.failures += 1
            pause = min(PAUSE * 2.0 ** min(self.failures, 10), LONGEST_PAUSE)
            structlog.get_logger().error("round_failed", kind=type(error).__name__, again_in=pause, exc_info=error)
            return pause
        self.failures = 0
        return pause

    def _round(self) -> float:
        verdict = self.check()
        if not verdict.is_good:
            structlog.get_logger().warning(
                "not_working", verdict=verdict.code, reason=verdict.message, cause=verdict.cause
            )
            return PAUSE if verdict.code.endswith("_unavailable") else REFUSED_PAUSE
        ended = self.work() + self._purge()
        if ended:
            structlog.get_logger().info("ended", count=ended)
        return 0.0 if ended else PAUSE

    def _purge(self) -> int:
        """Purge what is due, some at a time; once nothing is found, not before the next look is due."""
        if self.now() < self.purge_at:
            return 0
        gone = self.purge()
        if not gone:
            self.purge_at = self.now() + PURGE_EVERY
        return gone


def rounds_of(components: Components) -> Rounds:
    """The rounds over these parts."""
    shop = components.workshop
    return Rounds(
        check=components.guard.check, work=partial(work_once, shop, report), purge=partial(purge_once, shop, report)
    )


def report(what: str, error: Exception) -> None:
    """Log a step that failed; its turn comes again."""
    structlog.get_logger().error("step_failed", step=what, kind=type(error).__name__, exc_info=error)
