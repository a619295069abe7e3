"""Connections to a PostgreSQL that is over: left behind by a failover, or ended. None of them is used again."""

from typing import Any

from sqlalchemy.exc import DisconnectionError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry


class Timelines:
    """The latest timeline of a PostgreSQL that this process has seen.

    After a failover the primary from before may go on for a while, and connections to it would go on in a history that
    is over: they are dropped, and none is made to it again.
    """

    def __init__(self) -> None:
        self._latest = ""

    def note(self, dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # the driver's connection
        """Keep the timeline of a new connection. Raises OperationalError for one that is over."""
        cursor = dbapi.execute(_TIMELINE)
        entry.info[_ON_TIMELINE] = seen = cursor.fetchone()[0] or self._latest
        dbapi.rollback()
        self._latest = max(self._latest, seen)
        if seen < self._latest:
            raise OperationalError("this server was left behind by a failover", None, Exception(seen))

    def refuse_left_behind(self, _dbapi: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # as above
        """Have the pool make a new connection in place of one whose server was left behind since."""
        if entry.info.get(_ON_TIMELINE, self._latest) < self._latest:
            raise DisconnectionError("this server was left behind by a failover")


class Lives:
    """How often a PostgreSQL has ended under the connections of this engine, or of its reader.

    One that is gone says so of all that were made before it went, in both pools: else each would be met later, by
    another request, and be its outage.
    """

    def __init__(self) -> None:
        self._ended = 0

    def note(self, _dbapi: Any, entry: ConnectionPoolEntry) -> None:  # noqa: ANN401  # the driver's connection
        """Keep in which life a connection was made."""
        entry.info[_IN_LIFE] = self._ended

    def end(self, _dbapi: Any, entry: ConnectionPoolEntry, error: BaseException | None) -> None:  # noqa: ANN401  # as above
        """A connection of the present life is gone: that life is over."""
        is_news = error is not None and not isinstance(error, DisconnectionError)
        if is_news and entry.info.get(_IN_LIFE) == self._ended:
            self._ended += 1

    def refuse_ended(self, _dbapi: Any, entry: ConnectionPoolEntry, _proxy: object) -> None:  # noqa: ANN401  # as above
        """Have the pool make a new connection in place of one from before."""
        if entry.info.get(_IN_LIFE, self._ended) < self._ended:
            raise DisconnectionError("the server has ended since")


_IN_LIFE = "panless_life"
_ON_TIMELINE = "panless_timeline"
_TIMELINE = "SELECT CASE WHEN NOT pg_is_in_recovery() THEN left(pg_walfile_name(pg_current_wal_lsn()), 8) END"
"""Eight digits that sort by time; NULL on a standby, which has none of its own."""
