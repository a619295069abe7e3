"""A URL with several hosts, one of which takes connections and says nothing."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from between import Between
from sqlalchemy import Engine, text

from keys.database import open_database, reading, transaction

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
    hosts = "&".join(f"host=127.0.0.1:{port}" for port in (mute.getsockname()[1], answering.port))
    encryption = "sslmode=disable&gssencmode=disable"
    url = f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write&{encryption}"
    engine = open_database(url, 2, seconds=10.0)
    yield engine
    engine.dispose()


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
