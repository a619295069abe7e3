"""Stripe's lists: read to their end, page after page."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from vault.processing.answers import Declined, Failure, NotFound, Unknown
from vault.processors.stripe import marks, shapes
from vault.processors.stripe.errors import Object
from vault.processors.stripe.outcomes import definite, outcome
from vault.processors.stripe.transport import Line

Read = TypeVar("Read")
Last = TypeVar("Last")

PAGE, MAX_PAGES = 100, 10_000
"""A list is read to its end by pages of so many; one of a million objects and more is Unknown, never NotFound."""

CLOCK_SKEW = timedelta(minutes=1)
"""How far Stripe's clock and ours may be apart."""


def made(since: datetime) -> Object:
    """The bound of a list to what was made since then, give or take the skew of the clocks."""
    return {"created": {"gte": int((since - CLOCK_SKEW).timestamp())}}


def read_all(line: Line, path: str, params: Object, read: Callable[[Object], Read]) -> list[Read] | Declined | Failure:
    """What `read` makes of each object of a list. Raises ValueError for an empty filter: it would list everybody's."""
    if "" in params.values():
        raise ValueError(f"{path} was to be listed by an empty {', '.join(params)}")
    found: list[Read] = []
    cursor = None
    for _ in range(MAX_PAGES):
        page = {"limit": PAGE, "starting_after": cursor, **params}
        rows = outcome(line.get(path, page), "list", lambda listed: (list(map(read, listed["data"])), after(listed)))
        if not isinstance(rows, tuple):
            return rows
        found += rows[0]
        cursor = rows[1]
        if cursor is None:
            return found
    return Unknown(reason="too_many_to_look_through")


def after(listed: Object) -> str | None:
    """Where the page after this one begins, None on the last."""
    more = listed["has_more"]
    if not isinstance(more, bool):
        raise TypeError("has_more")
    return shapes.text(listed["data"][-1], "id") if more else None


def ours(line: Line, path: str, params: Object, own_id: str) -> list[Object] | Failure:
    """The objects of a list that carry our id, newest first."""
    rows = read_all(line, path, params, lambda row: (marks.read(row), row))
    if not isinstance(rows, list):
        return definite(rows)
    return [row for found, row in rows if found is not None and found.id == own_id]


def one_of(found: Sequence[Last], *ranks: Callable[[Last], bool]) -> Last | NotFound | Unknown:
    """Of what several objects with one id mean: what is of the first rank that has any; two of it contradict another.

    What is of no rank came to nothing: of that the newest counts.
    """
    for rank in ranks:
        of_rank = [each for each in found if rank(each)]
        if of_rank:
            return of_rank[0] if len(of_rank) == 1 else Unknown(reason="several_with_one_id")
    return found[0] if found else NotFound()
