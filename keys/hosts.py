"""Of several hosts that a URL names, those that kept somebody waiting are asked last.

A server that stands still takes a connection and says nothing. Were it always asked first, because the URL names it
first, each connection to the one that was promoted in its place would cost the whole of its time to answer, and a
request that makes three of them three times that.
"""

from collections.abc import Callable
from itertools import count
from typing import Any


class Hosts:
    """In which order the hosts of one database are asked. Those that answer, in the order of the URL."""

    def __init__(self) -> None:
        self._times = count(1)
        self._kept_waiting: dict[tuple[str, str], int] = {}

    def connect(self, connect: Callable[..., Any], errors: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401  # the driver's
        """A connection to the first of them that is what is asked for. Raises what the last one said."""
        where = _pairs(options)
        if len(where) < 2:  # noqa: PLR2004  # several
            return connect(**options)
        said: list[Exception] = []
        for host, port in sorted(where, key=lambda each: self._kept_waiting.get(each, 0)):
            try:
                made = connect(**options | {"host": host, "port": port})
            except errors.OperationalError as error:
                self._note((host, port), is_mute=isinstance(error, errors.ConnectionTimeout))
                said.append(error)
            else:
                self._note((host, port), is_mute=False)
                return made
        raise errors.OperationalError("; ".join(str(each) for each in said)) from said[-1]

    def _note(self, where: tuple[str, str], *, is_mute: bool) -> None:
        self._kept_waiting[where] = next(self._times) if is_mute else 0


_SAYS_MORE = ("hostaddr", "load_balance_hosts", "service")
"""Options that have an order of their own, which is the driver's to follow."""


def _pairs(options: dict[str, Any]) -> list[tuple[str, str]]:
    """Each host with its port; none where the driver is to decide."""
    if any(name in options for name in _SAYS_MORE) or options.get("target_session_attrs") == "prefer-standby":
        return []
    hosts, ports = (str(options.get(name) or "").split(",") for name in ("host", "port"))
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))
