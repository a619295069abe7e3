"""One thread, a virtual clock, and actors that take turns: whoever reaches an edge says how long it stands still there.

An actor is a greenlet. It yields only in `sleep` and `wait`, so that between two edges nothing else happens, and the
same seed makes the same course. A killed actor gets `Killed` where it stands: nothing that it would still do happens.
"""

import heapq
from collections.abc import Callable
from typing import Any

import greenlet


class Killed(BaseException):
    """The process of this actor is gone; no `except Exception` of the house may take it for an error."""


class Actor(greenlet.greenlet):
    """Something that runs by itself. `process` is what it dies with."""

    def __init__(self, scheduler: "Scheduler", label: str, work: Callable[[], Any], process: Any = None) -> None:
        super().__init__(self._work, scheduler.hub)
        self.scheduler, self.label, self.process = scheduler, label, process
        self.edges = self.calls = 0
        self.is_quiet = False
        """Between two edges that nobody is to stand still at."""
        self.is_killed = False
        self.result: Any = None
        self.error: BaseException | None = None
        self._do = work
        self._turn = 0

    def _work(self) -> None:
        try:
            self.result = self._do()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001  # told by the run: a simulator's own mistake must not pass for calm
            self.error = error
            self.scheduler.errors.append(error)
        finally:
            self.scheduler.actors.discard(self)

    def wake(self, turn: int) -> None:
        if turn == self._turn and not self.dead:
            self._turn += 1
            self.switch()

    def suspend(self) -> int:
        """Which turn is to be woken."""
        return self._turn

    def kill(self) -> None:
        """Have it die where it stands, once its turn comes."""
        self.is_killed = True
        turn = self._turn
        self.scheduler.at(0.0, lambda: self.wake(turn))


class Signal:
    """Something that happens once, for which actors wait."""

    def __init__(self, scheduler: "Scheduler") -> None:
        self._scheduler = scheduler
        self._waiting: list[tuple[Actor, int]] = []
        self.is_set = False
        self.value: Any = None

    def set(self, value: Any = None) -> None:
        if not self.is_set:
            self.is_set, self.value = True, value
            for actor, turn in self._waiting:
                self._scheduler.at(0.0, lambda actor=actor, turn=turn: actor.wake(turn))

    def wait(self, seconds: float) -> bool:
        """Until it is set, at most so long; whether it is."""
        actor = self._scheduler.current()
        if actor is not None and not self.is_set:
            self._waiting.append((actor, actor.suspend()))
            self._scheduler.sleep(seconds)
        return self.is_set


class Scheduler:
    """The clock and what comes next. `now` is seconds since 1970."""

    def __init__(self, now: float) -> None:
        self.hub = greenlet.getcurrent()
        self.now = now
        self.errors: list[BaseException] = []
        self.actors: set[Actor] = set()
        self._next: list[tuple[float, int, Callable[[], Any]]] = []
        self._count = 0

    def at(self, seconds: float, do: Callable[[], Any]) -> None:
        """Do this so many seconds from now."""
        self._count += 1
        heapq.heappush(self._next, (self.now + max(seconds, 0.0), self._count, do))

    def start(self, label: str, work: Callable[[], Any], process: Any = None, *, after: float = 0.0) -> Actor:
        """A new actor, from so many seconds on."""
        actor = Actor(self, label, work, process)
        self.actors.add(actor)
        self.at(after, lambda: actor.wake(0))
        return actor

    def current(self) -> Actor | None:
        """Who runs, if it is an actor that can stand still."""
        found = greenlet.getcurrent()
        return found if isinstance(found, Actor) else None

    def sleep(self, seconds: float) -> None:
        """Stand still; outside of an actor nothing does, and no time passes. Raises Killed."""
        actor = self.current()
        if actor is None:
            return
        if not actor.is_killed:
            turn = actor.suspend()
            self.at(seconds, lambda: actor.wake(turn))
            self.hub.switch()
        if actor.is_killed:
            raise Killed

    def run(self, until: float) -> None:
        """Let everything happen that comes before then."""
        while self._next and self._next[0][0] <= until:
            self.now, _, do = heapq.heappop(self._next)
            do()
        self.now = max(self.now, until)

    def is_idle(self) -> bool:
        """Whether nothing is left to come."""
        return not self._next
