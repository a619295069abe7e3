import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event

import pytest

from keys.cache import Cache
from keys.errors import RootKeyAway


@pytest.fixture
def numbers() -> Iterator[int]:
    return count()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_value_lives_for_its_time(numbers: Iterator[int]) -> None:
    """A value is kept until its time is up, counted from when it was made, however often it is used."""
    clock = Clock()
    cache: Cache[str, int] = Cache(10, clock)
    assert cache.get("a", numbers.__next__) == 0
    clock.now = 9.9
    assert cache.get("a", numbers.__next__) == 0
    clock.now = 10
    assert cache.get("a", numbers.__next__) == 1


def test_old_values_are_dropped_by_any_use() -> None:
    """A value whose time is up is gone from memory at the next use of the cache, not only at its own."""
    clock = Clock()
    cache: Cache[str, str] = Cache(10, clock)
    for each in "abc":
        cache.get(each, lambda: "value")
        clock.now += 4
    clock.now = 14
    cache.get("d", lambda: "value")
    assert set(cache._kept) == {"c", "d"}  # noqa: SLF001 - what is in memory is the point


def test_a_failure_is_not_kept(numbers: Iterator[int]) -> None:
    """After a failure the next caller tries again."""
    cache: Cache[str, int] = Cache(10, Clock())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cache.get("a", lambda: 1 // 0)
    assert cache.get("a", numbers.__next__) == 0


def test_what_is_in_the_making_is_forgotten_too() -> None:
    """A value whose making began before `forget` reaches its caller, but is not kept."""
    cache: Cache[str, int] = Cache(10, Clock())
    begun, forgotten = Event(), Event()

    def slow() -> int:
        begun.set()
        forgotten.wait(5)
        return 1

    with ThreadPoolExecutor() as threads:
        first = threads.submit(cache.get, "a", slow)
        begun.wait(5)
        cache.forget()
        forgotten.set()
        assert first.result(5) == 1
    assert cache.get("a", lambda: 2) == 2


def test_a_killed_caller_hangs_nobody() -> None:
    """When the caller who makes a value is killed, those who wait for it get an error that says: try again."""
    cache: Cache[str, int] = Cache(10, Clock())
    begun, kill = Event(), Event()

    def killed() -> int:
        begun.set()
        kill.wait(5)
        raise SystemExit

    with ThreadPoolExecutor() as threads:
        first = threads.submit(cache.get, "a", killed)
        begun.wait(5)
        waiting = threads.submit(cache.get, "a", killed)
        time.sleep(0.3)  # until it waits
        kill.set()
        assert isinstance(first.exception(5), SystemExit)
        assert isinstance(waiting.exception(5), RootKeyAway)
