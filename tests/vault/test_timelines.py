from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from standby import pair

from keys.database import open_database, reader_of, reading


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
