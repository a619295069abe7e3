"""Rights requests: what a data subject asked for, with its clock, whom it is about, and what came of it.

`verifying` (the controller has not said yet that it verified the person) -> `received` (waits for approval) ->
`approved` -> `executing`, or `blocked` by what stands in the way -> `awaiting_processor` -> `completed`, or
`completed_with_retention`; `denied` and `cancelled` end it before. Each customer that it is about is a target of its
own, and the request stands where the one that is furthest behind does.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, exists, select

from rows.changes import Change, inserted
from rows.conditions import given, together
from rows.engine import reading
from rows.prepared import Prepared
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.policy import Policy
from vault.requests import deadlines
from vault.tables import erasures, rights_approvals, rights_requests, rights_targets

TYPES = ("access", "portability", "rectification", "restriction", "erasure", "objection")
COMPLETED = frozenset({"completed", "completed_with_retention"})
CLOSED = frozenset({"denied", "cancelled"})
UNDECIDED = ("verifying", "received")
UNDER_WAY = ("approved", "blocked", "executing", "awaiting_processor")
OPEN = (*UNDECIDED, *UNDER_WAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One customer that a request is about.

    `waiting`, `blocked` by reasons, `executing`, `awaiting_processor`, then `done`, or `retained` where the law keeps
    something.
    """

    customer: str
    status: str
    reasons: Sequence[str] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsRequest:
    """A rights request and its targets."""

    id: str
    type: str
    status: str
    regulation: str
    submitted_at: datetime
    received_at: datetime
    due_at: datetime
    targets: Sequence[Target]
    completed_at: datetime | None = None
    client: str = ""
    protocol: str = "panless"
    external_id: str | None = None
    verification: str | None = None
    verified_at: datetime | None = None
    ground: str | None = None
    approvals_needed: int = 1
    approvals: int = 0
    extended_due_at: datetime | None = None
    extension_reason: str | None = None
    denial_reason: str | None = None
    notice_sent_at: datetime | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do, at the processors either."""
        return self.status in COMPLETED

    @property
    def customers(self) -> list[str]:
        """Whom it is about."""
        return [target.customer for target in self.targets]

    @property
    def matched(self) -> int:
        """How many customers it is about: none where nobody here is who was named."""
        return len(self.targets)

    @property
    def customer(self) -> str | None:
        """Whom it is about, where that is one customer."""
        return self.targets[0].customer if len(self.targets) == 1 else None

    @property
    def final_due_at(self) -> datetime:
        """When it must be answered, an extension counted."""
        return self.extended_due_at or self.due_at


def default_regulation(policy: Policy) -> str:
    """The one that a request is under which names none: GDPR, or else the first that the policy names."""
    return "gdpr" if "gdpr" in policy.regulations else next(iter(policy.regulations))


def due_at(policy: Policy, caller: Caller, regulation: str, submitted_at: datetime) -> datetime:
    """When a request that is received now must be answered. Raises Invalid for a regulation the policy lacks."""
    return deadlines.due(policy, regulation, submitted_at=submitted_at, received_at=caller.at)


def made(caller: Caller, request: RightsRequest) -> Change:
    """The row of a new request."""
    row = {
        "tenant_id": caller.tenant,
        "request_id": request.id,
        "type": request.type,
        "regulation": request.regulation,
        "state": request.status,
        "client_id": caller.client,
        "submitted_at": request.submitted_at,
        "received_at": request.received_at,
        "due_at": request.due_at,
        "live": caller.live,
        "protocol": request.protocol,
        "external_id": request.external_id,
        "actor": caller.actor,
        "verification": request.verification,
        "verified_at": request.verified_at,
        "ground": request.ground,
        "approvals_needed": request.approvals_needed,
        "extended_due_at": request.extended_due_at,
    }
    return inserted(rights_requests, row)


def made_target(caller: Caller, request_id: str, target: Target) -> Change:
    """The row of one target."""
    row = {
        "tenant_id": caller.tenant,
        "request_id": request_id,
        "customer_id": target.customer,
        "state": target.status,
        "reasons": " ".join(target.reasons),
        "until": target.until,
    }
    return inserted(rights_targets, row, clocks={"next_look_at": 0})


def read(desk: Desk, request_id: str) -> RightsRequest:
    """One request. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        return whole(connection, desk.caller, request_id)


def by_external_id(desk: Desk, protocol: str, external_id: str) -> RightsRequest:
    """The request that came by `protocol` under this id of the controller's. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        return whole(connection, desk.caller, external(connection, desk.caller, protocol, external_id) or "")


def external(connection: Connection, caller: Caller, protocol: str, external_id: str) -> str | None:
    """The id here of the request that came by `protocol` under this id of the controller's."""
    named = asked(caller) | {"of_protocol": protocol, "of_external": external_id}
    found: str | None = connection.execute(_EXTERNAL, named).scalar()
    return found


def whole(tx: Connection, caller: Caller, request_id: str) -> RightsRequest:
    """One request, as `tx` sees it. Raises NotFoundHere."""
    return assembled(tx, [row_of(tx, caller, request_id)])[0]


def row_of(connection: Connection, caller: Caller, request_id: str) -> Row[Any]:
    """The row of a request. Raises NotFoundHere."""
    return _there(_ONE.one_or_none(connection, asked(caller) | {"of_request": request_id}))


def lone_row_of(tx: Connection, caller: Caller, request_id: str) -> Row[Any]:
    """The row of a request, held against all others who hold it. Raises NotFoundHere."""
    return _there(_ONE_ALONE.one_or_none(tx, asked(caller) | {"of_request": request_id}))


def of_customer(connection: Connection, caller: Caller, customer_id: str) -> RightsRequest | None:
    """The erasure request that a customer is or was a target of: the one that erased it, where one did."""
    row = _OF_CUSTOMER.one_or_none(connection, asked(caller) | {"of_customer": customer_id})
    return None if row is None else assembled(connection, [row])[0]


def _there(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise NotFoundHere("No such rights request.")
    return row


def assembled(connection: Connection, rows: Sequence[Row[Any]]) -> list[RightsRequest]:
    """The requests of these rows, with their targets and how many approved each."""
    if not rows:
        return []
    named = {"of_tenant": rows[0].tenant_id, "of_requests": [row.request_id for row in rows]}
    targets: dict[str, list[Target]] = {row.request_id: [] for row in rows}
    for each in connection.execute(_TARGETS_OF_SEVERAL, named):
        target = Target(
            customer=each.customer_id, status=each.state, reasons=tuple(each.reasons.split()), until=each.until
        )
        targets[each.request_id].append(target)
    approvals = Counter(row.request_id for row in connection.execute(_APPROVALS, named))
    return [_request(row, targets[row.request_id], approvals[row.request_id]) for row in rows]


def _request(row: Row[Any], targets: Sequence[Target], approvals: int) -> RightsRequest:
    return RightsRequest(
        id=row.request_id,
        type=row.type,
        status=row.state,
        regulation=row.regulation,
        submitted_at=row.submitted_at,
        received_at=row.received_at,
        due_at=row.due_at,
        targets=targets,
        completed_at=row.completed_at,
        client=row.client_id,
        protocol=row.protocol,
        external_id=row.external_id,
        verification=row.verification,
        verified_at=row.verified_at,
        ground=row.ground,
        approvals_needed=row.approvals_needed,
        approvals=approvals,
        extended_due_at=row.extended_due_at,
        extension_reason=row.extension_reason,
        denial_reason=row.denial_reason,
        notice_sent_at=row.notice_sent_at,
    )


def asked(caller: Caller) -> dict[str, Any]:
    """Whose requests are meant, as statements here name it."""
    return {"of_tenant": caller.tenant, "of_live": caller.live}


OF_REQUEST = together(rights_targets, rights_requests, "request_id")
"""A target and its request."""

_MINE = given(rights_requests, "live")
_THIS = select(rights_requests).where(_MINE, rights_requests.c.request_id == bindparam("of_request"))
_ONE = Prepared(_THIS)
_ONE_ALONE = Prepared(_THIS.with_for_update())
_EXTERNAL = select(rights_requests.c.request_id).where(
    _MINE,
    rights_requests.c.protocol == bindparam("of_protocol"),
    rights_requests.c.external_id == bindparam("of_external"),
)
_DID_ERASE = case(
    (
        exists().where(
            together(erasures, rights_requests, "request_id"), erasures.c.customer_id == bindparam("of_customer")
        ),
        1,
    ),
    else_=0,
)
_OF_CUSTOMER = Prepared(
    select(rights_requests)
    .join(rights_targets, OF_REQUEST)
    .where(
        _MINE,
        rights_requests.c.type == "erasure",
        rights_requests.c.state.not_in(("denied", "cancelled")),
        rights_targets.c.customer_id == bindparam("of_customer"),
    )
    .order_by(_DID_ERASE.desc(), rights_requests.c.received_at, rights_requests.c.request_id)
    .limit(1)
)
_TARGETS_OF_SEVERAL = (
    select(rights_targets)
    .where(
        rights_targets.c.tenant_id == bindparam("of_tenant"),
        rights_targets.c.request_id.in_(bindparam("of_requests", expanding=True)),
    )
    .order_by(rights_targets.c.request_id, rights_targets.c.customer_id)
)
PERSON = case((rights_approvals.c.vouched, rights_approvals.c.actor), else_=rights_approvals.c.client_id)
"""Who approved, as far as anybody vouches for it."""

_APPROVALS = (
    select(rights_approvals.c.request_id, PERSON)
    .where(
        rights_approvals.c.tenant_id == bindparam("of_tenant"),
        rights_approvals.c.request_id.in_(bindparam("of_requests", expanding=True)),
    )
    .distinct()
)
