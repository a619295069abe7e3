"""Rate limits as the settings want them: counted in this process, or in a Redis that all processes share."""

import threading
import time
from typing import cast

from limits import parse
from limits.storage import MemoryStorage, Storage, storage_from_string

from api.rate_limits import RateLimits
from panless.errors import WiringError
from panless.settings.environment import Settings
from vault.personal import Secret

FORGET_EVERY = 60.0
PATIENCE = 0.25
"""Seconds that a Redis may take for one count, and for each step of it: longer than this is away."""


class _Housekeeping(threading.Timer):
    """A timer that goes on."""

    def run(self) -> None:
        while not self.finished.wait(self.interval):
            self.function()


class InProcess(MemoryStorage):
    """Counts in memory. `limits` itself starts a thread to forget old ones up to a hundred times a second."""

    def __init__(self) -> None:
        super().__init__(wrap_exceptions=True)
        self.timer = _Housekeeping(FORGET_EVERY, self.forget)
        self.timer.daemon = True
        self.timer.start()

    def forget(self) -> None:
        """Drop the counts whose window is over."""
        for key in list(self.expirations):
            self.get(key)  # which drops it


def rate_limits(settings: Settings) -> RateLimits:
    """The limits, and who counts. Raises WiringError where redis is needed and not installed."""
    return RateLimits(
        _store(settings.rate_limit_store),
        clients=parse(settings.rate_limit) if settings.rate_limit else None,
        failures=parse(settings.rate_limit_failures) if settings.rate_limit_failures != "off" else None,
        clock=time.time,
        patience=PATIENCE if settings.rate_limit_store else None,
    )


def _store(url: Secret | None) -> Storage:
    if url is None:
        return InProcess()
    try:
        made = storage_from_string(
            url.value, wrap_exceptions=True, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        )
    except Exception as error:  # noqa: BLE001  # of limits, which names the URL and its password
        if "prerequisite" in str(error):
            raise WiringError("A store in Redis needs redis. Run: pip install -r requirements/redis.txt.") from None
        raise WiringError("PANLESS_RATE_LIMIT_STORE is not the URL of a Redis.") from None
    return cast("Storage", made)  # of a URL without async+
