"""What may be kept in memory for a while: one maker per key at a time, and nothing is kept that failed."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from itertools import takewhile
from threading import Lock
from typing import Generic, TypeVar

from keys.errors import RootKeyAway

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Values kept for `ttl` seconds of `monotonic` after they were made, then dropped at the next use of any of them.

    Callers who ask for the same absent value at once wait for one of them to make it and share what comes of it, so
    that a provider that hangs is asked once, not by one caller after another. A failure reaches those who waited, and
    nobody later.
    """

    def __init__(self, ttl: float, monotonic: Callable[[], float]) -> None:
        self._ttl = ttl
        self._monotonic = monotonic
        self._lock = Lock()
        self._kept: dict[K, tuple[float, V]] = {}  # oldest first, since all live equally long
        self._in_making: dict[K, Future[V]] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value kept for `key`, or else what `make` returns. Raises what `make` raises."""
        with self._lock:
            self._drop_old()
            if key in self._kept:
                return self._kept[key][1]
            outcome = self._in_making.get(key)
            first = outcome is None
            if outcome is None:
                outcome = self._in_making[key] = Future()
        if first:
            self._make(key, outcome, make)
        return outcome.result()

    def forget(self) -> None:
        """Drop everything, what is still being made included."""
        with self._lock:
            self._kept.clear()
            self._in_making.clear()

    def _make(self, key: K, outcome: Future[V], make: Callable[[], V]) -> None:
        """Make the value, outside the lock, and tell those who wait for it."""
        try:
            value = make()
        except BaseException as error:
            self._end(key, outcome)
            # a caller killed in the middle (SystemExit, GreenletExit) must neither kill nor hang those who wait for it
            outcome.set_exception(error if isinstance(error, Exception) else RootKeyAway("the caller who asked ended"))
            raise
        self._end(key, outcome, value)
        outcome.set_result(value)

    def _end(self, key: K, outcome: Future[V], *made: V) -> None:
        """Keep what was made, unless everything was forgotten meanwhile."""
        with self._lock:
            if self._in_making.get(key) is outcome:
                del self._in_making[key]
                self._kept.update((key, (self._monotonic() + self._ttl, value)) for value in made)

    def _drop_old(self) -> None:
        now = self._monotonic()
        old = [*takewhile(lambda kept: kept[1][0] <= now, self._kept.items())]
        for key, _ in old:
            del self._kept[key]
