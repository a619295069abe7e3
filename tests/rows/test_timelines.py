from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import event, literal, select, text
from sqlalchemy.exc import OperationalError
from standby import pair

from rows.engine import open_database, reader_of, reading, transaction
from rows.prepared import Prepared


def addressed(url: str) -> tuple[Any, Callable[[int], None]]:
    """An engine behind an address that moves, and what moves it."""
    engine, port = open_database(url, 2), [0]

    def connect(_dialect: object, _record: object, _arguments: object, named: dict[str, Any]) -> None:
        named["port"] = port[0] or named["port"]

    for each in (engine, reader_of(engine)):
        event.listen(each, "do_connect", connect)

    def move(to: int) -> None:
        port[0] = to

    return engine, move


def answering(engine: Any) -> int:
    with reading(engine) as connection:
        found: int = connection.scalar(text("SELECT inet_server_port()"))
        return found


def test_a_server_that_was_left_behind_is_not_asked_again() -> None:
    """Once a process has seen the later timeline it drops its connections to the earlier one and makes none to it."""
    with pair() as both:
        engine, move = addressed(both.url)
        assert answering(engine) == both.port
        before, after = both.split()
        move(after)
        with reading(engine), reading(engine) as second:  # the first is of before, the second new
            assert second.scalar(text("SELECT inet_server_port()")) == after
        assert {answering(engine) for _ in range(4)} == {after}
        move(before)
        engine.dispose()
        with pytest.raises(OperationalError, match="left behind"):
            answering(engine)
        move(after)
        assert answering(engine) == after
        engine.dispose()


def test_one_dead_connection_tells_of_all() -> None:
    """A restart ends all connections: who meets the first is told so, and nobody meets another later, read or write."""
    one, connections = Prepared(select(literal(1).label("one"))), 3
    with pair() as both:
        engine = open_database(both.url, connections)
        with ExitStack() as used:
            for way in (reading, transaction):
                for _ in range(connections):
                    assert one.scalar(used.enter_context(way(engine)), {}) == 1
        both.restart()
        with pytest.raises(OperationalError), reading(engine) as connection:
            one.scalar(connection, {})
        with ExitStack() as used:
            for way in (reading, transaction):
                for _ in range(connections):
                    assert one.scalar(used.enter_context(way(engine)), {}) == 1
        engine.dispose()
