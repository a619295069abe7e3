"""Carrying out what was approved, right by right. Any process may take it up again; what is done is not done twice."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, Row, and_, or_, select

from rows.clock import database_clock
from rows.conditions import spelled, together
from rows.engine import reading, transaction
from vault import audit, leases
from vault.desk import Desk
from vault.erasing import erasure
from vault.errors import Blocked, Erased, NotFoundHere, NotUsable
from vault.exports import packages
from vault.ledger.book import Ledger
from vault.ledger.settling import settle
from vault.people import contacts, customer_rows, restrictions
from vault.personal import BillingContact
from vault.policy import Policy
from vault.requests import progress, rights
from vault.requests.rights import RightsRequest, Target
from vault.tables import packages as package_table
from vault.tables import rights_requests, rights_targets

AT_ONCE = 20
"""How many targets whoever approves waits for."""

LOOK_AGAIN_SECONDS = 10
"""How soon the worker looks again at what was blocked; it is the lease of a look, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What carrying out needs."""

    desk: Desk
    ledger: Ledger
    policy: Policy


def execute(
    work: Work,
    request: RightsRequest,
    edit: Callable[[BillingContact], BillingContact] | None = None,
    most: int = AT_ONCE,
) -> None:
    """Carry out an approved request: for at most so many targets here; the rest is the worker's, and what errors left.

    `edit` is the correction of a rectification, which is not kept anywhere: without one, the contact was corrected
    already.
    """
    if request.type in {"access", "portability"}:
        if len(request.targets) <= most:
            _order_package(work, request)
    elif request.type == "rectification":
        _rectify(work, request, edit)
    else:
        for target in [each for each in request.targets if each.status in {"waiting", "blocked"}][:most]:
            _each(work, request, target)
    if not request.targets:
        _settle(work, request)


def open_targets(records: Engine) -> Sequence[Row[str, str, str, bool]]:
    """What was approved and waits, or is blocked: (tenant_id, request_id, customer_id, live)."""
    statement = (
        select(
            rights_targets.c.tenant_id,
            rights_targets.c.request_id,
            rights_targets.c.customer_id,
            rights_requests.c.live,
        )
        .join(rights_requests, rights.OF_REQUEST)
        .where(
            spelled(rights_targets.c.state, "waiting", "blocked"),
            rights_targets.c.next_look_at <= database_clock(),
            rights_requests.c.state.in_(rights.UNDER_WAY),
            rights_requests.c.type.in_(("erasure", "restriction", "objection")),
        )
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def left_approved(records: Engine) -> Sequence[Row[str, str, bool]]:
    """What was approved by a process that ended before it ordered the package, or about nobody, and stands so still.

    (tenant_id, request_id, live). That another process is about to carry it out does no harm: it is done once.
    """
    about_somebody = select(rights_targets.c.customer_id).where(rights.OF_REQUEST).correlate(rights_requests).exists()
    statement = select(rights_requests.c.tenant_id, rights_requests.c.request_id, rights_requests.c.live).where(
        rights_requests.c.completed_at.is_(None),
        rights_requests.c.state == "approved",
        or_(rights_requests.c.type.in_(("access", "portability")), ~about_somebody),
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def take_up(records: Engine, row: Row[str, str, str, bool]) -> bool:
    """Take the look at one target; whether this process got it."""
    return leases.take(records, rights_targets, row, "next_look_at", LOOK_AGAIN_SECONDS)


def carry_on(work: Work, request_id: str, customer_id: str) -> None:
    """Carry out what waits of one target."""
    request = rights.read(work.desk, request_id)
    for target in request.targets:
        if target.customer == customer_id and target.status in {"waiting", "blocked"}:
            _each(work, request, target)


def packages_to_finish(records: Engine) -> Sequence[Row[str, str, bool]]:
    """Requests whose package is built, or never will be: (tenant_id, request_id, live)."""
    ended = and_(together(package_table, rights_requests, "request_id"), package_table.c.state != "building")
    statement = (
        select(rights_requests.c.tenant_id, rights_requests.c.request_id, rights_requests.c.live)
        .join(package_table, ended)
        .where(
            rights_requests.c.completed_at.is_(None),
            rights_requests.c.state == "executing",
            rights_requests.c.type.in_(("access", "portability")),
        )
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def finish_package(work: Work, request_id: str) -> None:
    """The package stands: the request is complete. One that went with an erased customer is made anew without."""
    request = rights.read(work.desk, request_id)
    there = [each for each in request.targets if _lives(work, each.customer)]
    ended = packages.of_request(work.desk, request_id).status == "erased"
    with audit.transaction(work.desk.records) as tx:
        if progress.hold(tx, work.desk.caller.tenant, request_id) != "executing":
            return
        gone = [each for each in request.targets if each not in there]
        if ended and there:
            _request_package(tx, work, request, there)
            _move_in(tx, work, request, gone, "done")
        else:
            _move_in(tx, work, request, request.targets, "done")


def _each(work: Work, request: RightsRequest, target: Target) -> None:
    if request.type == "erasure":
        _erase(work, request, target)
    else:
        _restrict(work, request, target)


def _restrict(work: Work, request: RightsRequest, target: Target) -> None:
    """In one transaction with the request, which may have been withdrawn; an upheld objection stays restricted."""
    with suppress(NotUsable), audit.transaction(work.desk.records) as tx:
        with suppress(Erased):
            ground = request.ground or "objection"
            restrictions.restrict_in(work.desk, tx, work.ledger, target.customer, ground)
        progress.refuse_closed(tx, work.desk.caller.tenant, request.id)
        _move_in(tx, work, request, [target], "done")
    settle(work.ledger, work.desk.records)


def _erase(work: Work, request: RightsRequest, target: Target) -> None:
    """Erase, or say what stands in the way and until when. Another request's erasure of the same customer counts."""
    try:
        made = erasure.execute(work.desk, work.ledger, work.policy, target.customer, approved=request.id)
    except NotUsable:  # it was cancelled meanwhile
        return
    except Blocked as blocked:
        until = max(blocked.until.values(), default=None)
        found = replace(target, status="blocked", reasons=tuple(blocked.reasons), until=until)
        if found != target:
            with transaction(work.desk.records) as tx:
                progress.move_target(tx, work.desk.caller.at, work.desk.caller.tenant, request.id, found)
        return
    if made is None and not _is_under_way(work, request, target):
        with transaction(work.desk.records) as tx:
            _move_in(tx, work, request, [target], "done")


def _is_under_way(work: Work, request: RightsRequest, target: Target) -> bool:
    """Whether another process erases it for this very request."""
    now = rights.read(work.desk, request.id)
    return any(each.customer == target.customer and each.status not in {"waiting", "blocked"} for each in now.targets)


def _order_package(work: Work, request: RightsRequest) -> None:
    """Order one package for all targets that are not erased, in the transaction that says so."""
    with audit.transaction(work.desk.records) as tx:
        row = rights.lone_row_of(tx, work.desk.caller, request.id)
        if row.state != "approved":
            return
        there = [each for each in request.targets if _lives(work, each.customer)]
        if there:
            _request_package(tx, work, request, there)
        _move_in(tx, work, request, there, "executing")
        _move_in(tx, work, request, [each for each in request.targets if each not in there], "done")


def _request_package(tx: Connection, work: Work, request: RightsRequest, targets: Sequence[Target]) -> None:
    theirs = [each.customer for each in targets]
    packages.request_package(work.desk, tx, request_id=request.id, kind=request.type, customer_ids=theirs)


def _rectify(work: Work, request: RightsRequest, edit: Callable[[BillingContact], BillingContact] | None) -> None:
    """The correction and the end of the request in one transaction; there is nothing to correct of who is gone."""

    def end(tx: Connection) -> None:
        progress.refuse_closed(tx, work.desk.caller.tenant, request.id)
        _move_in(tx, work, request, request.targets, "done")

    if edit is not None and request.customer is not None:
        with suppress(Erased):
            contacts.change(work.desk, work.ledger, request.customer, edit, also=end)
            return
    with transaction(work.desk.records) as tx:
        end(tx)


def _lives(work: Work, customer_id: str) -> bool:
    with reading(work.desk.records) as connection:
        try:
            customer_rows.row_of(connection, work.desk.caller, customer_id)
        except (Erased, NotFoundHere):
            return False
    return True


def _move_in(tx: Connection, work: Work, request: RightsRequest, targets: Sequence[Target], status: str) -> None:
    moved = [replace(target, status=status, reasons=(), until=None) for target in targets]
    progress.move_target(tx, work.desk.caller.at, work.desk.caller.tenant, request.id, *moved)


def _settle(work: Work, request: RightsRequest) -> None:
    with transaction(work.desk.records) as tx:
        progress.settle(tx, work.desk.caller.at, work.desk.caller.tenant, request.id)
