"""When something goes well, tried again and again while something else happens: how long it did not."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from threading import Event, Thread


class Moments:
    """When something went well, as often as it does."""

    def __init__(self, act: Callable[[], bool], pause: float = 0.02) -> None:
        self._act, self._pause = act, pause
        self._ended = Event()
        self.good: list[float] = []

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._act():
                self.good.append(time.monotonic())
            time.sleep(self._pause)

    @contextmanager
    def noted(self) -> Iterator["Moments"]:
        thread = Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            thread.join(60)

    def after(self, moment: float, patience: float = 90.0) -> float:
        """Seconds from then to the first one that began and ended later, waited for."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if later := [each for each in self.good if each > moment]:
                return min(later) - moment
            time.sleep(0.05)
        raise AssertionError("nothing went well any more")


@contextmanager
def all_noted(*each: Moments) -> Iterator[None]:
    """Note the moments of all of these."""
    with ExitStack() as noted:
        for one in each:
            noted.enter_context(one.noted())
        yield


def longest_without(several: Sequence[Moments]) -> float:
    """Seconds between two moments, of whichever of these, in which none had any."""
    moments = sorted(moment for each in several for moment in each.good)
    return max(later - earlier for earlier, later in pairwise(moments))
