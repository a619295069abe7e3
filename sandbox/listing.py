"""Lists: pages of objects, newest first."""

import operator
from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Any

from sandbox import errors, state
from sandbox.params import Params
from sandbox.state import SINGULAR, Account, Object

LIMIT, HIGHEST_LIMIT = 10, 100
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def page(
    account: Account,
    kind: str,
    params: Params,
    *,
    by: tuple[str, ...] = (),
    url: str | None = None,
    **equal: str,
) -> Object:
    """One page of a kind, filtered by the parameters named in ``by``, by ``created`` and by fields that must be equal.

    Times never run backwards along a list, so that a lower bound ends it.
    """
    limit = params.get("limit", LIMIT)
    if not 1 <= limit <= HIGHEST_LIMIT:
        raise errors.invalid("Invalid limit: from 1 to 100.", param="limit", code="parameter_invalid_integer")
    equal |= {name: params[name] for name in by if params.get(name)}
    rows = _within(state.newest_first(account, kind, equal), params.get("created", {}))
    chosen, has_more = _cut(account, kind, rows, params, limit)
    return {"object": "list", "data": chosen, "has_more": has_more, "url": url or f"/v1/{kind}"}


def _within(rows: Iterator[Object], bounds: dict[str, int]) -> Iterator[Object]:
    oldest = max(bounds.get("gte", 0), bounds.get("gt", 0))
    living = (row for row in rows if not row.get("deleted"))
    recent = takewhile(lambda row: row["created"] >= oldest, living)
    checks = [(COMPARE[name], second) for name, second in bounds.items()]
    return (row for row in recent if all(compare(row["created"], second) for compare, second in checks))


def _cut(account: Account, kind: str, rows: Iterator[Object], params: Params, limit: int) -> tuple[list[Object], bool]:
    after, before = (_order(account, kind, params, name) for name in ("starting_after", "ending_before"))
    if before is not None:
        newer = list(takewhile(lambda row: row["_order"] > before, rows))
        return newer[-limit:], len(newer) > limit
    older = (row for row in rows if after is None or row["_order"] < after)
    found = list(islice(older, limit + 1))
    return found[:limit], len(found) > limit


def _order(account: Account, kind: str, params: Params, name: str) -> int | None:
    if params.get(name) is None:
        return None
    cursor = account.tables[kind].get(params[name])
    if cursor is None:
        raise errors.missing(SINGULAR[kind], params[name], param=name, status=400)
    return int(cursor["_order"])
