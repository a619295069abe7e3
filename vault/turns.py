"""Whose turn it is: what waits at many processor accounts is worked on a little of each, several accounts at once.

So one account's backlog, or a processor that hangs, costs the others no more than the time of a turn.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

BATCH = 100
OF_ONE_ACCOUNT = 25
"""Of a batch: an account whose processor is away must not fill it."""

SECONDS = 2.0
"""After so long no further call is begun for the same account in a round."""

AT_ONCE = 8

Step = Callable[[Row[Any]], bool | None]
"""Works on one row: whether something came to its end; False where its processor did not say, None for neither."""


def a_few_of_each(rows: Select[Any], order: ColumnElement[Any]) -> Select[Any]:
    """Some of `rows`, at most so many of each account: the first of every account before the second of any.

    `rows` has the columns `tenant_id` and `account_id`; `order` says which of an account's is first.
    """
    named = rows.selected_columns
    place = func.row_number().over(partition_by=(named.tenant_id, named.account_id), order_by=order)
    placed = rows.add_columns(place.label("place"), order.label("turn")).subquery()
    mine = select(placed).where(placed.c.place <= OF_ONE_ACCOUNT)
    return mine.order_by(placed.c.place, placed.c.turn).limit(BATCH)


def by_account(rows: Iterable[Row[Any]]) -> list[list[Row[Any]]]:
    """The rows by processor account, those of one together, in their order."""
    queues: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        queues.setdefault((row.tenant_id, row.account_id), []).append(row)
    return [*queues.values()]


def take(rows: Iterable[Row[Any]], step: Step) -> int:
    """Work on each row: several accounts at once, each of them one row at a time; how many came to their end.

    An account whose processor did not say is left alone for the rest of the round.
    """
    queues = by_account(rows)
    if len(queues) <= 1:
        return sum(_one_turn(step, queue) for queue in queues)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(partial(_one_turn, step), queues))


def _one_turn(step: Step, queue: Sequence[Row[Any]]) -> int:
    ended, end = 0, monotonic() + SECONDS
    for row in queue:
        done = step(row)
        ended += done is True
        if done is False or monotonic() > end:
            break
    return ended
