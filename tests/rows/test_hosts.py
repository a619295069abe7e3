"""A URL with several hosts, one of which takes connections and says nothing."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from between import Between
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from rows.engine import open_database, reader_of, reading, transaction
from rows.hosts import Hosts

CONNECT_SECONDS = 5.0
"""How long a host is waited for."""


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def answering(postgresql: str) -> Iterator[Between]:
    started = Between(postgresql)
    yield started
    started.close()


@pytest.fixture
def database(mute: socket.socket, answering: Between) -> Iterator[Engine]:
    """The mute one is named first."""
    engine = open_database(url_of(mute.getsockname()[1], answering.port), 2, seconds=10.0)
    yield engine
    engine.dispose()


def url_of(*ports: int) -> str:
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in ports)
    return f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write&sslmode=disable&gssencmode=disable"


def test_one_that_says_nothing_is_waited_for_once(database: Engine) -> None:
    """The first connection waits for it, each later one, for reading too, is made where somebody answers."""
    with reading(database) as first:
        assert first.scalar(text("SELECT 1")) == 1
    begun = time.monotonic()
    with ExitStack() as held:
        for connected in (transaction(database), transaction(database), reading(database)):
            assert held.enter_context(connected).scalar(text("SELECT 1")) == 1
    assert time.monotonic() - begun < CONNECT_SECONDS / 2


def test_it_is_asked_again_where_nobody_else_answers(
    postgresql: str, database: Engine, mute: socket.socket, answering: Between
) -> None:
    """It goes on, and the other one is gone: it is found."""
    with reading(database) as first:
        assert first.scalar(text("SELECT 1")) == 1
    port = mute.getsockname()[1]
    mute.close()
    answering.close()
    database.dispose()
    back = Between(postgresql, port)
    with transaction(database) as tx:
        assert tx.scalar(text("SELECT 1")) == 1
    back.close()


def test_connections_to_one_that_hangs_are_not_tried_each(postgresql: str, answering: Between) -> None:
    """Two databases on it: whose statement was not answered says so for all others, which are made elsewhere."""
    first, hosts = Between(postgresql), Hosts()
    databases = [open_database(url_of(first.port, answering.port), 2, seconds=1.0, hosts=hosts) for _ in range(2)]
    for each in databases:
        _ask(each)
    first.is_silent = True
    with pytest.raises(OperationalError, match="did not answer within 1 s"):
        _ask(databases[0])
    begun = time.monotonic()
    for each in databases:
        _ask(each)
        each.dispose()
    assert time.monotonic() - begun < 1
    first.close()


def test_one_that_is_being_made_meanwhile_is_none_of_them(answering: Between) -> None:
    """Another statement hangs while a connection to the same host is made: that one answers, and serves."""
    hosts = Hosts()
    database = open_database(url_of(answering.port), 2, seconds=1.0, hosts=hosts)
    event.listen(reader_of(database), "connect", lambda made, _entry: hosts.hung(made), insert=True)
    _ask(database)
    database.dispose()


def _ask(database: Engine) -> None:
    with reading(database) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
