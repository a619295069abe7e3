"""Admission: so many requests are worked on at once, a few wait for their turn, and the rest are told at the door.

A process that takes on more than it can do does nothing in time: each request waits for the others, until its client
has gone. So a request has a turn while it uses the processor's time and the databases, and gives it away while it waits
for somebody else's server. There are no more turns than database connections, so whoever has one finds a connection.
Who comes back from a payment processor goes first: what was sent must be written down. New requests wait in the order
in which they came; where the first of them has waited for long already, who comes then is refused at once, which is
what keeps the wait short for those who are served.
"""

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

TURN, ARRIVED = "panless.turn", "panless.arrived"
"""In the WSGI environment: the request's turn, and when it came, by `time.perf_counter`."""

LONGEST_WAIT = 1.0
"""Seconds that the first in the queue may have waited before nobody is let into it."""

LONG = 0.5
"""Seconds of waiting after which a client is looked for before its request is begun."""


class Overloaded(Exception):
    """There is more to do than can be done in time, or nobody waits for it any more; nothing was begun."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    since: float
    called: threading.Event = field(default_factory=threading.Event)


class Turn:
    """One request's turn, which it has, or is without for a while. `waited` is for how many seconds it waited first."""

    def __init__(self, admission: "Admission", waited: float) -> None:
        """Take who gave it."""
        self._admission, self._is_held = admission, True
        self.waited = waited

    def leave(self) -> None:
        """Give it to whoever waits for one, unless it was given away already."""
        if self._is_held:
            self._is_held = False
            self._admission.give()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Be without it for a while; the next one that is free comes back to this request."""
        self.leave()
        try:
            yield
        finally:
            self._come_back()

    @contextmanager
    def again(self) -> Iterator[None]:
        """Have it once more for a while, for a piece of an answer that has begun."""
        self._come_back()
        try:
            yield
        finally:
            self.leave()

    def _come_back(self) -> None:
        self._admission.take_back()
        self._is_held = True


class Admission:
    """The turns of one process. `now` is in seconds and only goes forward."""

    def __init__(self, turns: int, now: Callable[[], float]) -> None:
        self._free, self._now = turns, now
        self._lock = threading.Lock()  # holds all that follows
        self._coming_back: deque[_Waiting] = deque()
        self._new: deque[_Waiting] = deque()
        self._refused = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a turn now."""
        return len(self._coming_back) + len(self._new)

    def take_refused(self) -> int:
        """How many requests were refused since this was asked last."""
        with self._lock:
            taken, self._refused = self._refused, 0
        return taken

    def enter(self) -> Turn:
        """A turn, waited for in the queue of those who are new. Raises Overloaded at once where that is long."""
        return Turn(self, self._take(self._new, self._refuse_many))

    def take_back(self) -> None:
        """Wait for the next turn that is free, before those who are new."""
        self._take(self._coming_back, lambda: None)

    def give(self) -> None:
        """Give a turn to whoever waits for one."""
        with self._lock:
            queue = self._coming_back or self._new
            if queue:
                queue.popleft().called.set()
            else:
                self._free += 1

    def _take(self, queue: deque[_Waiting], refuse: Callable[[], None]) -> float:
        with self._lock:
            if self._free:
                self._free -= 1
                return 0.0
            refuse()
            mine = _Waiting(self._now())
            queue.append(mine)
        try:
            mine.called.wait()
        except BaseException:  # the server ends this request while it waits
            self._give_up(queue, mine)
            raise
        return self._now() - mine.since

    def _refuse_many(self) -> None:
        if self._new and self._now() - self._new[0].since > LONGEST_WAIT:
            self._refused += 1
            raise Overloaded

    def _give_up(self, queue: deque[_Waiting], mine: _Waiting) -> None:
        with self._lock:
            if not mine.called.is_set():
                queue.remove(mine)
                return
        self.give()


_ESTABLISHED = 1
"""Of a connection that both ends hold open: `tcpi_state`, the first byte of Linux' TCP_INFO (linux/tcp.h)."""


def has_hung_up(environ: dict[str, Any]) -> bool:
    """Whether nobody is left who would hear the answer to the request of this WSGI environment."""
    client = environ.get("gunicorn.socket")
    if client is None:
        return False
    try:
        state: int = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:  # no TCP, or closed
        return False
    return state != _ESTABLISHED
