"""Answers that are written while they are sent: each piece is made on a turn, and one that breaks off says so.

Whoever has a turn finds a database connection (api/admission.py), so an answer that has begun comes to its end however
much there is to do. Between two pieces, while the client takes what it was sent, others have their turns.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext

import structlog
from flask import request

from api.admission import TURN


def begun(written: Generator[bytes]) -> Iterator[bytes]:
    """The pieces, of which the first was made by now: what fails by then is an answer of its own, and no 200.

    What fails later ends the connection before the answer is whole, which the client sees: nothing says that it ended.
    """
    turn = request.environ.get(TURN)
    return _sent(next(written, b""), written, turn.again if turn else nullcontext)


def _sent(
    first: bytes, written: Generator[bytes], on_a_turn: Callable[[], AbstractContextManager[None]]
) -> Iterator[bytes]:
    with closing(written):
        yield first
        while (piece := _next(written, on_a_turn())) is not None:
            yield piece


def _next(written: Iterator[bytes], on_a_turn: AbstractContextManager[None]) -> bytes | None:
    try:
        with on_a_turn:
            return next(written, None)
    except Exception as error:
        structlog.get_logger().error("answer_cut", kind=type(error).__name__)
        raise
