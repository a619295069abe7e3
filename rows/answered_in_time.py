"""Every wait for PostgreSQL has an end, on the client's side: who is not answered in time closes the connection.

Never by cancelling: a commit that waits for a standby and is cancelled says that it succeeded. What was sent on a
connection that was closed is unknown, and whoever reads it again on another one knows. A server that hangs answers no
cancel request anyway.
"""

from functools import cache, partial
from typing import Any

from rows.hosts import Hosts


def connect_in_time(
    seconds: float,
    hosts: Hosts,
    dialect: Any,  # noqa: ANN401  # SQLAlchemy's `do_connect`
    _record: object,
    arguments: Any,  # noqa: ANN401  # as above
    options: Any,  # noqa: ANN401  # as above
) -> Any:  # noqa: ANN401  # as above
    """A connection of psycopg whose every statement, commit and fetch is answered within so many seconds."""
    driver = dialect.loaded_dbapi
    return hosts.connect(partial(_bounded(driver, seconds).connect, *arguments), driver.errors, options)


@cache
def _bounded(driver: Any, seconds: float) -> Any:  # noqa: ANN401  # psycopg, which this room must not import before gevent
    class Bounded(driver.Connection):  # type: ignore[misc]  # of a module that is handed in
        """A connection that is closed where it is not answered in time. Psycopg 3.3 waits nowhere else.

        One that the server has ended says so in one way, whatever the driver calls it: it is an outage.
        """

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401  # as psycopg has it
            try:
                return super().wait(gen, interval, seconds if timeout is None else timeout)
            except driver.errors._WaitTimeout:  # noqa: SLF001  # what psycopg tells of it; a test sees it
                self.pgconn.finish()
                self.asked_by.hung(self)
                raise driver.OperationalError(f"the server did not answer within {seconds:g} s") from None
            except driver.DatabaseError as error:
                if isinstance(error, driver.OperationalError) or not self.closed:
                    raise
                # A server that is told to end between a command's answer and its readiness for the next one sends two
                # results, which psycopg takes for an error of its own; an idle transaction's end has another name, too.
                raise driver.OperationalError(str(error)) from error

    return Bounded
