"""Hosts that kept somebody waiting: of several that a URL names they are asked last, and connections to them end.

A server that stands still takes connections and says nothing, and those that were made before look as good as ever.
Were it asked first because the URL names it first, each connection to the one that was promoted in its place would wait
for it. Were each old connection tried, each of both databases would find out by itself how long that takes.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

Where = tuple[str, str]
"""A host and its port, as the URL has them."""


class Hosts:
    """What one process knows of them. Those that answer are asked in the order of the URL."""

    def __init__(self) -> None:
        self._times = count(1)
        self._mute: dict[Where, int] = {}
        self._hung: dict[Where | None, int] = {}

    def connect(self, connect: Callable[..., Any], errors: Any, options: dict[str, Any]) -> Any:  # noqa: ANN401  # the driver's
        """A connection to the first of them that is what is asked for. Raises what they said."""
        said: list[Exception] = []
        for where in sorted(_places(options), key=lambda each: self._mute.get(each, 0)):
            try:
                made = connect(**options | _only(where))
            except errors.OperationalError as error:
                self._mute[where] = next(self._times) if isinstance(error, errors.ConnectionTimeout) else 0
                said.append(error)
            else:
                self._mute[where] = 0
                made.asked_by, made.came_from = self, where
                return made
        if len(said) == 1:
            raise said[0]
        raise errors.OperationalError("; ".join(str(each) for each in said)) from said[-1]

    def hung(self, connection: Any) -> None:  # noqa: ANN401  # as above
        """It was not answered on this connection, which is ended for that."""
        self._mute[connection.came_from] = self._hung[connection.came_from] = next(self._times)

    def note(self, _connection: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # as above
        """Keep when a connection was ready. Just before it is handed out: the pool takes no second refusal."""
        entry.info[_READY] = next(self._times)

    def refuse_hung(self, connection: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # as above
        """Have the pool make a new connection in place of one from before its host kept somebody waiting."""
        came_from = getattr(connection, "came_from", None)  # it has none where another listener made it
        if entry.info[_READY] < self._hung.get(came_from, 0):
            raise DisconnectionError("its host has not answered since")


_READY = "panless_ready"


_DRIVERS: Where = ("", "")
"""Where the driver decides: by options that have an order of their own, or by its environment."""


def _places(options: dict[str, Any]) -> list[Where]:
    hosts, ports = (str(options.get(name) or "").split(",") for name in ("host", "port"))
    if "hostaddr" in options or "load_balance_hosts" in options or "prefer-standby" in options.values():
        return [_DRIVERS]
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))


def _only(where: Where) -> dict[str, str | None]:
    host, port = where
    return {} if where == _DRIVERS else {"host": host or None, "port": port or None}
