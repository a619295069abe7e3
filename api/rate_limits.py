"""How often each client may call, and how often an address may show no valid key; counted by `limits`.

What can't be counted is let through: a store of counts that is away must not stop a charge.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import monotonic as monotonic_clock
from typing import TypeAlias

import structlog
from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

REST_SECONDS = 5.0
"""For how long a store that failed is not asked again: nobody waits for it meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one caller stands with one limit."""

    name: str
    quota: int
    window: int
    left: int
    reset: int
    is_over: bool

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 says it."""
        return {
            "RateLimit-Policy": f'"{self.name}";q={self.quota};w={self.window}',
            "RateLimit": f'"{self.name}";r={self.left};t={self.reset}',
        }


_Counted: TypeAlias = tuple[bool, float, int]
"""Whether it is within the limit, when the window ends, and how many are left in it."""


class RateLimits:
    """The limits of one deployment; the store may be shared by its processes."""

    def __init__(
        self,
        store: Storage,
        *,
        clients: RateLimitItem | None,
        failures: RateLimitItem | None,
        clock: Callable[[], float],
        patience: float | None = None,
        monotonic: Callable[[], float] = monotonic_clock,
    ) -> None:
        """Take the store, the limits (None: none), and the clock that the store counts its windows by.

        `patience`: how many seconds one count may take, of a store that may be slow.
        """
        self._counts = FixedWindowRateLimiter(store)
        self._clients = clients
        self._failures = failures
        self._clock = clock
        self._patience = patience
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._rests_until = 0.0
        self._uncounted = 0

    def of_client(self, client_id: str) -> Standing | None:
        """Count a call of a client."""
        return self._hit("client", self._clients, client_id)

    def of_failure(self, address: str) -> Standing | None:
        """Count a call from an address that showed no valid key."""
        return self._hit("failures", self._failures, _place(address))

    def take_uncounted(self) -> int:
        """How many calls were let through uncounted since this was asked last."""
        with self._lock:
            taken, self._uncounted = self._uncounted, 0
        return taken

    def _hit(self, name: str, limit: RateLimitItem | None, whose: str) -> Standing | None:
        if limit is None:
            return None
        if self._monotonic() < self._rests_until:
            self._let_through()
            return None
        try:
            within, reset_at, left = self._count_in_time(limit, name, whose)
        except (StorageError, TimeoutError) as error:
            self._rests_until = self._monotonic() + REST_SECONDS
            kind = type(getattr(error, "storage_error", error)).__name__
            structlog.get_logger().warning("rate_limits_unavailable", kind=kind)
            self._let_through()
            return None
        return Standing(
            name=name,
            quota=limit.amount,
            window=limit.get_expiry(),
            left=left,
            reset=max(1, round(reset_at - self._clock())),
            is_over=not within,
        )

    def _count_in_time(self, limit: RateLimitItem, name: str, whose: str) -> _Counted:
        """Count; the client of a store bounds each step by itself, so where it may be slow a thread is left behind."""
        if self._patience is None:
            return self._count(limit, name, whose)
        counted: Future[_Counted] = Future()

        def count() -> None:
            try:
                counted.set_result(self._count(limit, name, whose))
            except Exception as error:  # noqa: BLE001  # raised again where it is waited for
                counted.set_exception(error)

        threading.Thread(target=count, name="rate-limits", daemon=True).start()
        return counted.result(self._patience)

    def _count(self, limit: RateLimitItem, name: str, whose: str) -> _Counted:
        within = self._counts.hit(limit, name, whose)
        reset_at, left = self._counts.get_window_stats(limit, name, whose)
        return within, reset_at, left

    def _let_through(self) -> None:
        with self._lock:
            self._uncounted += 1


def _place(address: str) -> str:
    """Whom an address stands for: with IPv6 one customer has all of a /64."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(IPv6Address(int(found) >> 64 << 64))
    return str(getattr(found, "ipv4_mapped", None) or found)
