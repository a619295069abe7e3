"""Batches: of all who have something to bring to an end at the same time, one does it for all.

Whoever comes while somebody is at work waits, and what has gathered by then is the next one's batch: the first of those
who wait. So nobody works for others once its own work is done, and nobody reads what another one has just read.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from vault.errors import MovedOn

Work = TypeVar("Work")


class _Waiting(Generic[Work]):
    """One who waits for its work to be done, or for its turn to do what has gathered."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.called = threading.Event()
        self.leads = False
        self.error: BaseException | None = None


class Batches(Generic[Work]):
    """Those of one process."""

    def __init__(self) -> None:
        """Nobody is at work, and nobody waits."""
        self._lock = threading.Lock()  # holds both below
        self._waiting: list[_Waiting[Work]] = []
        self._is_busy = False

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self, work: Work, do: Callable[..., None]) -> None:
        """Have this done, by `do` together with what others brought meanwhile. Raises what it raised, to each of them.

        It is given the works, and `waited`: whether others were at work since they were brought. MovedOn is raised to
        those whose work was under way in a request that its server ended.
        """
        mine = _Waiting(work)
        with self._lock:
            self._waiting.append(mine)
            mine.leads, self._is_busy = not self._is_busy, True
        waited = not mine.leads
        if waited:
            self._wait(mine)
        if mine.leads:
            self._lead(partial(do, waited=waited))
        if mine.error is not None:
            raise mine.error

    def _wait(self, mine: _Waiting[Work]) -> None:
        try:
            mine.called.wait()
        except BaseException:  # the server ends this request while it waits
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if mine.leads:
                self._hand_over()
            raise

    def _lead(self, do: Callable[[Sequence[Work]], None]) -> None:
        with self._lock:
            batch, self._waiting = self._waiting, []
        error: BaseException | None = MovedOn("The request that did this was ended. Try again.")
        try:
            do([each.work for each in batch])
            error = None
        except Exception as failure:  # noqa: BLE001  # each of them is told
            error = failure
        finally:
            for each in batch:
                each.error = error
                each.called.set()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            self._is_busy = bool(self._waiting)
            if self._is_busy:
                self._waiting[0].leads = True
                self._waiting[0].called.set()
