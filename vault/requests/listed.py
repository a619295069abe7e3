"""Rights requests, listed: newest first, by state, type, customer, and whether they are late."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, select

from rows.engine import reading
from vault import cursors
from vault.caller import Caller
from vault.desk import Desk
from vault.requests.rights import OPEN, RightsRequest, assembled
from vault.tables import rights_requests, rights_targets


def listed(desk: Desk, filters: Mapping[str, Any], wanted: cursors.Wanted) -> cursors.Page[RightsRequest]:
    """One page of requests, newest first; `filters` may name `status`, `type`, `customer` and `overdue`."""
    statement = select(rights_requests).where(
        rights_requests.c.tenant_id == desk.caller.tenant, rights_requests.c.live == desk.caller.live
    )
    for name, value in filters.items():
        statement = statement.where(_FILTERS[name](value, desk.caller))
    order = (rights_requests.c.received_at, rights_requests.c.request_id)
    with reading(desk.records) as connection:
        return cursors.page(connection, statement, order, wanted, lambda rows: assembled(connection, rows))


def overdue(at: datetime) -> ColumnElement[bool]:
    """The condition for requests that are open and should have been answered before `at`."""
    return and_(rights_requests.c.completed_at.is_(None), rights_requests.c.state.in_(OPEN), at > _FINAL_DUE)


def _about(customer_id: str, caller: Caller) -> ColumnElement[bool]:
    theirs = and_(rights_targets.c.tenant_id == caller.tenant, rights_targets.c.customer_id == customer_id)
    return rights_requests.c.request_id.in_(select(rights_targets.c.request_id).where(theirs))


_FINAL_DUE = func.coalesce(rights_requests.c.extended_due_at, rights_requests.c.due_at)
_FILTERS: dict[str, Callable[[Any, Caller], ColumnElement[bool]]] = {
    "status": lambda value, _: rights_requests.c.state == value,
    "type": lambda value, _: rights_requests.c.type == value,
    "customer": _about,
    "overdue": lambda value, caller: overdue(caller.at) if value else not_(overdue(caller.at)),
}
