"""Does something now and then every few seconds, in the background, until told to stop."""

import threading
from collections.abc import Callable

import structlog

EVERY = 10.0
"""Seconds between two looks of the boot guard."""


def beat(action: Callable[[], object], every: float = EVERY) -> Callable[[], None]:
    """Run `action` once before this returns, then every so many seconds; what comes back ends that.

    An action that fails is logged and tried again at its next time. The thread is a greenlet under gevent.
    """
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(every):
            _attempt(action)

    _attempt(action)
    threading.Thread(target=run, name="heartbeat", daemon=True).start()
    return stopped.set


def _attempt(action: Callable[[], object]) -> None:
    try:
        action()
    except Exception as error:  # noqa: BLE001  # the next beat may find the database back; until then it is logged
        structlog.get_logger().warning("heartbeat_failed", kind=type(error).__name__, exc_info=error)
