"""Sending: a call that changes something at a processor is made once, and only while its request is young.

A process may be stopped for minutes between its commit and its call (a frozen machine, a database that hangs). Whoever
takes its work over meanwhile must be able to say that nothing comes any more: so a request that is older than its
budget sends nothing. Its age is counted by a clock that goes on while the machine sleeps, never by one that is set.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from vault.caller import Caller
from vault.processing.answers import NotReached

BUDGET = 30
"""Seconds after its arrival in which a request may begin a call. An intent's lease is longer by any call's timeout."""

Outcome = TypeVar("Outcome")


def once(caller: Caller, call: Callable[[], Outcome]) -> Outcome | NotReached:
    """Make the call, once; where the request is too old, it is certain that it was not made.

    Whatever the call needs was read before: a process may stand still at each statement, too.
    """
    if caller.age() > BUDGET:
        return NotReached(reason="too_late")
    with caller.aside():
        return call()


def from_now() -> Callable[[], float]:
    """The age of something that begins now, in seconds of CLOCK_BOOTTIME."""
    return partial(_since, _boottime())


def _since(begun: float) -> float:
    return _boottime() - begun


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
