"""A PostgreSQL that is told to end ends connections at any moment: each is an outage, never an error of ours."""

import time
from collections.abc import Iterator

import pytest
from between import Between
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import OperationalError

from rows.engine import open_database, transaction


@pytest.fixture
def between(postgresql: str) -> Iterator[Between]:
    started = Between(postgresql)
    yield started
    started.close()


@pytest.fixture
def database(postgresql: str, between: Between) -> Iterator[Engine]:
    there = make_url(postgresql).set(
        host="127.0.0.1", port=between.port, query={"sslmode": "disable", "gssencmode": "disable"}
    )
    engine = open_database(there.render_as_string(hide_password=False), 1, seconds=5.0)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("command", [b"BEGIN", b"COMMIT", b"ROLLBACK"])
def test_it_ends_after_the_answer(between: Between, database: Engine, command: bytes) -> None:
    """The answer to a command that frames a transaction, and then the server's last word: the database is away."""
    with transaction(database) as tx:
        tx.execute(text("SELECT 1"))
    between.ends_at = command
    with pytest.raises(OperationalError):
        _transact(database, taken_back=command == b"ROLLBACK")
    with transaction(database) as tx:
        assert tx.scalar(text("SELECT 1")) == 1


def test_an_idle_transaction_that_the_server_ends(postgresql: str) -> None:
    """`idle_in_transaction_session_timeout`, which this driver tells as an error of its own kind: away as well."""
    engine = open_database(postgresql, 1, seconds=5.0)
    with pytest.raises(OperationalError, match="idle-in-transaction"):
        _idle(engine)
    engine.dispose()


def _transact(database: Engine, *, taken_back: bool) -> None:
    with transaction(database) as tx:
        tx.execute(text("SELECT 1"))
        if taken_back:
            raise ValueError


def _idle(database: Engine) -> None:
    with transaction(database) as tx:
        tx.execute(text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        time.sleep(0.5)
        tx.execute(text("SELECT 1"))
