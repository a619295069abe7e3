"""Taking in what data subjects ask for: whom it is about, by when it must be answered, whether it was asked before.

Identities are looked up when the request comes in and not kept: from then on it is about customers, by their ids.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from keys.blindindex import Form
from rows.changes import write
from rows.conditions import given
from rows.engine import reading
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Blocked, Duplicate, Invalid, NotFoundHere
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.settling import settle
from vault.once import Once
from vault.people import customer_index
from vault.people.customer_rows import any_row_of
from vault.people.restrictions import GROUNDS, restrict_in
from vault.policy import Policy
from vault.processing import intents
from vault.requests import rights
from vault.requests.approval import approvals_needed, approved_by
from vault.requests.rights import RightsRequest, Target
from vault.tables import blind_index, customers, rights_requests, rights_targets

VERIFICATIONS = ("account", "email", "phone", "document", "in_person", "third_party", "controller")
"""How the controller says that it verified the person: codes, because audit and ledger hold no free text."""

MOST_CUSTOMERS = 1000
CLOCK_SKEW = timedelta(minutes=5)
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nobody asked before; a moment near the calendar's ends would leave it when a deadline is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """By what a person is named: `field` email, phone or reference; `form` raw or the hex `sha256` of it."""

    field: str
    form: Form
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for, for whom and when; `verification` is empty until the controller has verified the person."""

    type: str
    customers: Collection[str] = ()
    identities: Collection[Identity] = ()
    regulation: str | None = None
    submitted_at: datetime | None = None
    verification: str | None = None
    verified_at: datetime | None = None
    ground: str | None = None
    protocol: str = "panless"
    external_id: str | None = None


def submit(
    desk: Desk,
    ledger: Ledger,
    policy: Policy,
    order: Order,
    attempt: intents.Attempt,
    also: Callable[[Connection, str], None] | None = None,
) -> Once[RightsRequest]:
    """Take in a request. An objection restricts at once, pending its review.

    `also` writes what belongs to the new request, whose id it is given, in the same transaction. Raises NotFoundHere
    for a customer that never was, Invalid, Duplicate, ActorNeeded, KeyReused.
    """
    first = _replayed(desk, attempt)
    if first is not None:
        return Once(first, replayed=True)
    try:
        request, intent = _take_in(desk, ledger, policy, order, attempt, also)
    except (Duplicate, IntegrityError) as error:  # of a twin of this very call, perhaps, that was faster
        first = _replayed(desk, attempt)
        if first is None:
            raise _duplicate(desk, order, error) from None
        return Once(first, replayed=True)
    if intent is None:  # the same, where nobody matches
        return submit(desk, ledger, policy, order, attempt, also)
    if request.type == "objection":
        settle(ledger, desk.records)
    return Once(request)


def _duplicate(desk: Desk, order: Order, error: Duplicate | IntegrityError) -> Exception:
    """The one that stands in the way; the database, too, keeps a controller's id from being given twice."""
    if isinstance(error, Duplicate) or order.external_id is None:
        return error
    with reading(desk.records) as connection:
        other = rights.external(connection, desk.caller, order.protocol, order.external_id)
    return error if other is None else Duplicate(other)


def _replayed(desk: Desk, attempt: intents.Attempt) -> RightsRequest | None:
    first = intents.replayed(desk, attempt)
    return None if first is None else rights.read(desk, first.resource_id)


def _take_in(
    desk: Desk,
    ledger: Ledger,
    policy: Policy,
    order: Order,
    attempt: intents.Attempt,
    also: Callable[[Connection, str], None] | None,
) -> tuple[RightsRequest, intents.Intent | None]:
    with audit.transaction(desk.records) as tx:
        request = _request(desk, tx, policy, order)
        intent = intents.begin(desk, tx, attempt, resource_id=request.id)
        if intent is not None:
            keep(desk, tx, request)
            if also is not None:
                also(tx, request.id)
            if request.type == "objection":
                for target in request.targets:
                    _restrict(desk, tx, ledger, target.customer)
            intents.finish(tx, intent)
    return request, intent


def _restrict(desk: Desk, tx: Connection, ledger: Ledger, customer_id: str) -> None:
    """Who is restricted already keeps that ground; of who is erased there is nothing to restrict."""
    row = any_row_of(tx, desk.caller, customer_id)
    if row.state == "active" and not row.restricted:
        restrict_in(desk, tx, ledger, customer_id, "objection")


def ask_to_erase(desk: Desk, policy: Policy, customer_id: str, blocked: Blocked | None = None) -> RightsRequest:
    """Keep a request for an erasure that may not be done yet: it waits for a second actor, or is blocked."""
    regulation = rights.default_regulation(policy)
    target = Target(customer=customer_id, status="waiting")
    if blocked is not None:
        until = max(blocked.until.values(), default=None)
        target = replace(target, status="blocked", reasons=tuple(blocked.reasons), until=until)
    request = RightsRequest(
        id=new_id("rr", desk.caller.tenant),
        type="erasure",
        status="received" if blocked is None else "blocked",
        regulation=regulation,
        submitted_at=desk.caller.at,
        received_at=desk.caller.at,
        due_at=rights.due_at(policy, desk.caller, regulation, desk.caller.at),
        targets=[target],
        verification="controller",
        approvals_needed=2 if blocked is None else 1,
    )
    with audit.transaction(desk.records) as tx:
        _hold(tx, desk.caller, [customer_id])
        twin = _twin(tx, desk.caller, request)
        if twin is not None:
            return rights.whole(tx, desk.caller, twin)
        keep(desk, tx, request)
        if blocked is None:
            approved_by(tx, desk.caller, request.id)
            request = replace(request, approvals=1)
    return request


def keep(desk: Desk, tx: Connection, request: RightsRequest) -> None:
    """Write a new request with its targets, and an audit entry for each of them."""
    write(tx, rights.made(desk.caller, request))
    for target in request.targets:
        write(tx, rights.made_target(desk.caller, request.id, target))
    details: audit.Details = {"type": request.type, "customers": len(request.targets)}
    about: Sequence[str | None] = request.customers or [None]
    for customer in about:
        audit.record(desk, tx, "rights.request", customer=customer, resource=request.id, details=details)


def _request(desk: Desk, tx: Connection, policy: Policy, order: Order) -> RightsRequest:
    """The request that `order` asks for, in `tx`. Raises NotFoundHere, Invalid, Duplicate, ActorNeeded."""
    _check(desk.caller, order)
    regulation, submitted_at = (
        order.regulation or rights.default_regulation(policy),
        order.submitted_at or desk.caller.at,
    )
    theirs = _hold(tx, desk.caller, meant_by(desk, tx, order))
    request = RightsRequest(
        id=new_id("rr", desk.caller.tenant),
        type=order.type,
        status="received" if order.verification else "verifying",
        regulation=regulation,
        submitted_at=submitted_at,
        received_at=desk.caller.at,
        due_at=rights.due_at(policy, desk.caller, regulation, submitted_at),
        targets=[Target(customer=each, status="waiting") for each in theirs],
        protocol=order.protocol,
        external_id=order.external_id,
        verification=order.verification,
        verified_at=order.verified_at or (desk.caller.at if order.verification else None),
        ground=order.ground,
        approvals_needed=approvals_needed(tx, policy, desk.caller, order.type, len(theirs)),
    )
    twin = _twin(tx, desk.caller, request)
    if twin is not None:
        raise Duplicate(twin)
    return request


def _check(caller: Caller, order: Order) -> None:
    """What no schema says: which fields go together. Raises Invalid."""
    if order.type not in rights.TYPES:
        raise Invalid("type", f"One of: {', '.join(rights.TYPES)}.")
    if bool(order.customers) == bool(order.identities):
        raise Invalid("customers", "Send either customers or identities.")
    if order.verification and order.verification not in VERIFICATIONS:
        raise Invalid("verification", f"One of: {', '.join(VERIFICATIONS)}.")
    if (order.type == "restriction") != (order.ground is not None) or order.ground not in {None, *GROUNDS}:
        raise Invalid("ground", f"A restriction, and nothing else, has a ground. One of: {', '.join(GROUNDS)}.")
    for name, moment in (("submitted_at", order.submitted_at), ("verified_at", order.verified_at)):
        if moment is not None and not EARLIEST < moment <= caller.at + CLOCK_SKEW:
            raise Invalid(name, "This lies in the future, or before the year 2000.")


def meant_by(desk: Desk, tx: Connection, order: Order) -> list[str]:
    """The customers that an order names; of identities those that match, perhaps nobody."""
    if order.customers:
        return sorted(set(order.customers))
    found: set[str] = set()
    for each in order.identities:
        of_value = customer_index.by_value(desk, tx, each.field, each.value, each.form)
        found |= set(tx.scalars(select(blind_index.c.customer_id).where(of_value)))
    if len(found) > MOST_CUSTOMERS:
        raise Invalid("identities", f"More than {MOST_CUSTOMERS} customers match: ask in parts.")
    return sorted(found)


def _hold(tx: Connection, caller: Caller, customer_ids: Collection[str]) -> list[str]:
    """The customers' rows, held one after the other in one order, so that twins wait and never deadlock."""
    for customer_id in customer_ids:
        if tx.execute(_CUSTOMER, rights.asked(caller) | {"of_customer": customer_id}).first() is None:
            raise NotFoundHere("No such customer.")
    return [*customer_ids]


def _twin(tx: Connection, caller: Caller, request: RightsRequest) -> str | None:
    """This request of the controller's, or an open one of the same type for one of the same customers.

    Identities that match nobody have none of the second kind.
    """
    if request.external_id is not None:
        same = rights.external(tx, caller, request.protocol, request.external_id)
        if same is not None:
            return same
    for customer_id in request.customers:
        named = rights.asked(caller) | {"of_type": request.type, "of_customer": customer_id}
        found: str | None = tx.execute(_TWIN, named).scalar()
        if found is not None:
            return found
    return None


_CUSTOMER = select(customers.c.state).where(given(customers, "live", "customer_id")).with_for_update()
_TWIN = (
    select(rights_requests.c.request_id)
    .join(rights_targets, rights.OF_REQUEST)
    .where(
        given(rights_requests, "live", "type"),
        rights_requests.c.state.in_(rights.OPEN),
        rights_targets.c.customer_id == bindparam("of_customer"),
    )
    .limit(1)
)
