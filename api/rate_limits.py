"""How often each client may call, and how often an address may show no valid key; counted by `limits`.

What can't be counted is let through: a store of counts that is away must not stop a charge.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from time import monotonic as monotonic_clock

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


class RateLimits:
    """The limits of one deployment; the store may be shared by its processes."""

    def __init__(
        self,
        store: Storage,
        *,
        clients: RateLimitItem | None,
        failures: RateLimitItem | None,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = monotonic_clock,
    ) -> None:
        """Take the store, the limits (None: none), and the clock that the store counts its windows by."""
        self._counts = FixedWindowRateLimiter(store)
        self._clients = clients
        self._failures = failures
        self._clock = clock
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
            within = self._counts.hit(limit, name, whose)
            reset_at, left = self._counts.get_window_stats(limit, name, whose)
        except StorageError as error:
            self._rests_until = self._monotonic() + REST_SECONDS
            structlog.get_logger().warning("rate_limits_unavailable", kind=type(error.storage_error).__name__)
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
