"""Does something now and then every few seconds, in the background, until told to stop."""

import threading
from collections.abc import Callable

import structlog

EVERY = 10.0
"""Seconds between two looks of the boot guard."""

SOON = 1.0
"""Seconds until the next look when the last one found something wrong."""


def beat(action: Callable[[], bool], every: float = EVERY) -> Callable[[], None]:
    """Run `action` once before this returns, then every so many seconds; what comes back ends that.

    It says whether all is well; if not, or if it fails, which is logged, its next time comes soon. The thread is a
    greenlet under gevent.
    """
    stopped = threading.Event()

    def run(well: bool) -> None:  # noqa: FBT001  # what the first beat found
        while not stopped.wait(every if well else min(every, SOON)):
            well = _attempt(action)

    threading.Thread(target=run, args=(_attempt(action),), name="heartbeat", daemon=True).start()
    return stopped.set


def _attempt(action: Callable[[], bool]) -> bool:
    try:
        return action()
    except Exception as error:  # noqa: BLE001  # the next beat may find the database back; until then it is logged
        structlog.get_logger().warning("heartbeat_failed", kind=type(error).__name__, exc_info=error)
        return False
