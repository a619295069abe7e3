"""How many rights requests are open, pressing or overdue, over all tenants: for the figures that operators watch."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, func, or_, select

from rows.engine import reading
from rows.tenants import EVERY, for_tenant
from vault.policy import Policy
from vault.requests import deadlines, listed
from vault.tables import rights_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Open requests: `pressing` are past the policy's day of warning and not overdue yet."""

    open: int
    blocked: int
    pressing: int
    overdue: int


def watch(records: Engine, policy: Policy, at: datetime) -> Watch:
    """How the open requests stand at the moment `at`."""
    late = listed.overdue(at)
    pressing = and_(or_(*(_warned(policy, name, at) for name in policy.regulations)), ~late)
    statement = select(
        func.count(),
        func.count().filter(rights_requests.c.state == "blocked"),
        func.count().filter(pressing),
        func.count().filter(late),
    ).where(rights_requests.c.completed_at.is_(None))
    with reading(for_tenant(records, EVERY)) as connection:
        every, blocked, soon, overdue = connection.execute(statement).one()
    return Watch(open=every, blocked=blocked, pressing=soon, overdue=overdue)


def _warned(policy: Policy, regulation: str, at: datetime) -> ColumnElement[bool]:
    """Requests under a regulation that began so long ago that it is time to warn; what is extended is not warned of."""
    starts = policy.regulations[regulation].starts
    began = rights_requests.c.submitted_at if starts == "submitted" else rights_requests.c.received_at
    return and_(
        rights_requests.c.regulation == regulation,
        rights_requests.c.extended_due_at.is_(None),
        began < deadlines.pressing_before(policy, regulation, at),
    )
