"""Deciding on rights requests: approve, deny, extend, cancel. What is approved is carried out by `execution`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from rows.changes import update_row
from rows.clock import database_clock
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Invalid, NotUsable
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.policy import Policy
from vault.requests import deadlines, progress, rights
from vault.requests.approval import approvals_needed, approved_by
from vault.requests.intake import VERIFICATIONS
from vault.requests.rights import RightsRequest
from vault.tables import erasure_recipients, erasures, rights_requests

DENIALS = (
    "identity_not_verified",
    "manifestly_unfounded",
    "excessive",
    "legal_obligation",
    "legal_claims",
    "public_interest",
    "rights_of_others",
    "not_our_data",
)
"""Why a request may be refused (GDPR Art. 12(5), 12(6), 15(4), 17(3), 21(1); CCPA 1798.105(d), 1798.130)."""

EXTENSIONS = ("complexity", "number_of_requests")
"""The two reasons of GDPR Art. 12(3)."""


def approve(
    desk: Desk,
    policy: Policy,
    request_id: str,
    verification: str | None = None,
    *,
    corrects: bool = False,
    cancels: bool = False,
) -> RightsRequest:
    """Let a request go on, once the person is verified and as many actors as it needs have approved it.

    A second approval by the same actor counts once. `corrects`: it comes with a correction, which is for the
    rectification of one customer's contact. `cancels`: an erasure may cancel the person's subscriptions at the
    processor, also one that is under way. Raises NotFoundHere, NotUsable, Invalid, ActorNeeded.
    """
    with audit.transaction(desk.records) as tx:
        row = rights.lone_row_of(tx, desk.caller, request_id)
        about = len(progress.targets_of(tx, desk.caller.tenant, request_id))
        if corrects and (row.type != "rectification" or about > 1):
            raise Invalid("correction", "A correction is for the rectification of one customer's contact.")
        if cancels and row.type != "erasure":
            raise Invalid("cancel_subscriptions", "This is for erasures.")
        if row.state in rights.CLOSED or (corrects and row.state not in {*rights.UNDECIDED, "approved"}):
            raise NotUsable("request_closed", f"This request is {row.state.replace('_', ' ')}.")
        if cancels:
            _cancel_subscriptions(desk, tx, request_id)
        if row.state not in rights.UNDECIDED:
            return rights.whole(tx, desk.caller, request_id)
        verified = _verified(desk.caller, row, verification)
        needed = max(row.approvals_needed, approvals_needed(tx, policy, desk.caller, row.type, about))
        status = "approved" if approved_by(tx, desk.caller, request_id, needed) >= needed else "received"
        progress.move(tx, desk.caller.tenant, request_id, status, approvals_needed=needed, **verified)
        person = {} if desk.caller.person is None else {"person": desk.caller.person}
        _record(desk, tx, "rights.approve", request_id, {"status": status, **person})
        return rights.whole(tx, desk.caller, request_id)


def deny(desk: Desk, ledger: Ledger, request_id: str, reason: str, notified_at: datetime) -> RightsRequest:
    """Refuse a request, with the reason and when the person was told of it and of where to complain (Art. 12(4)).

    Raises NotFoundHere, NotUsable once it is carried out, Invalid.
    """
    if reason not in DENIALS:
        raise Invalid("reason", f"One of: {', '.join(DENIALS)}.")
    with audit.transaction(desk.records) as tx:
        row = _undecided(tx, desk.caller, request_id)
        _check_notice(desk.caller, row, notified_at)
        changes = {"denial_reason": reason, "notice_sent_at": notified_at, "completed_at": desk.caller.at}
        progress.move(tx, desk.caller.tenant, request_id, "denied", **changes)
        _record(desk, tx, "rights.deny", request_id, {"reason": reason})
        _close_on_ledger(tx, ledger, desk.caller, row, "denied")
        denied = rights.whole(tx, desk.caller, request_id)
    settle(ledger, desk.records)
    return denied


def extend(desk: Desk, policy: Policy, request_id: str, reason: str, notified_at: datetime) -> RightsRequest:
    """Take the longer time that the law grants, once; the person was told inside the first (Art. 12(3)).

    Raises NotFoundHere, NotUsable for one that is closed or extended already, Invalid.
    """
    if reason not in EXTENSIONS:
        raise Invalid("reason", f"One of: {', '.join(EXTENSIONS)}.")
    with audit.transaction(desk.records) as tx:
        row = rights.lone_row_of(tx, desk.caller, request_id)
        if row.state not in rights.OPEN:
            raise NotUsable("request_closed", "This request is closed.")
        if row.extended_due_at is not None:
            raise NotUsable("already_extended", "A request can be extended once.")
        _check_notice(desk.caller, row, notified_at)
        if notified_at > row.due_at:
            raise Invalid("notified_at", "The person must have been told before the first time was over.")
        until = deadlines.extended(policy, row.regulation, submitted_at=row.submitted_at, received_at=row.received_at)
        changes = {"extended_due_at": until, "extension_reason": reason, "notice_sent_at": notified_at}
        progress.move(tx, desk.caller.tenant, request_id, row.state, **changes)
        _record(desk, tx, "rights.extend", request_id, {"reason": reason})
        return rights.whole(tx, desk.caller, request_id)


def cancel(desk: Desk, ledger: Ledger, request_id: str) -> RightsRequest:
    """Withdraw a request that nothing has been done for yet; again, it changes nothing.

    Raises NotFoundHere, NotUsable once it is carried out.
    """
    with audit.transaction(desk.records) as tx:
        row = rights.lone_row_of(tx, desk.caller, request_id)
        if row.state != "cancelled":
            about = progress.targets_of(tx, desk.caller.tenant, request_id)
            untouched = all(each.status in {"waiting", "blocked"} for each in about)
            if row.state not in {*rights.UNDECIDED, "approved", "blocked"} or not untouched:
                raise NotUsable(
                    "request_closed", f"This request is {row.state.replace('_', ' ')}: too late to cancel it."
                )
            progress.move(tx, desk.caller.tenant, request_id, "cancelled", completed_at=desk.caller.at)
            _record(desk, tx, "rights.cancel", request_id, {})
            _close_on_ledger(tx, ledger, desk.caller, row, "cancelled")
        cancelled = rights.whole(tx, desk.caller, request_id)
    settle(ledger, desk.records)
    return cancelled


def _close_on_ledger(tx: Connection, ledger: Ledger, caller: Caller, row: Row[Any], status: str) -> None:
    """An erasure that was withdrawn must not come back with a backup: the worker would carry it out."""
    if row.type == "erasure":
        decide(tx, ledger, caller, "erase.closed", row.request_id, version=1, terms={"status": status})


def _cancel_subscriptions(desk: Desk, tx: Connection, request_id: str) -> None:
    """Recipients that wait for somebody's word are told at once."""
    update_row(tx, rights_requests, _key(desk.caller, request_id), {"cancel_subscriptions": True})
    theirs = erasures.c.tenant_id == desk.caller.tenant, erasures.c.request_id == request_id
    tx.execute(
        update(erasure_recipients)
        .where(
            erasure_recipients.c.tenant_id == desk.caller.tenant,
            erasure_recipients.c.erasure_id.in_(select(erasures.c.erasure_id).where(*theirs)),
            erasure_recipients.c.waits_for.is_not(None),
        )
        .values(next_attempt_at=desk.caller.at, waits_for=None)
    )
    tx.execute(update(erasures).where(*theirs, erasures.c.state != "redacting").values(lease_until=database_clock()))
    _record(desk, tx, "rights.cancel_subscriptions", request_id, {})


def _undecided(tx: Connection, caller: Caller, request_id: str) -> Row[Any]:
    row = rights.lone_row_of(tx, caller, request_id)
    if row.state not in rights.UNDECIDED:
        raise NotUsable(
            "request_closed", f"This request is {row.state.replace('_', ' ')}: it can't be denied any more."
        )
    return row


def _verified(caller: Caller, row: Row[Any], verification: str | None) -> dict[str, object]:
    """The columns that say how the person was verified. Raises NotUsable while nobody did, Invalid."""
    if verification is None:
        if row.verification is None:
            raise NotUsable("not_verified", "Say how the person was verified: send verification.")
        return {}
    if verification not in VERIFICATIONS:
        raise Invalid("verification", f"One of: {', '.join(VERIFICATIONS)}.")
    return {"verification": verification, "verified_at": caller.at}


def _check_notice(caller: Caller, row: Row[Any], notified_at: datetime) -> None:
    """Notices have whole seconds. Raises Invalid."""
    if not row.submitted_at.replace(microsecond=0) <= notified_at <= caller.at:
        raise Invalid("notified_at", "The person is told after the request, and before this call.")


def _record(desk: Desk, tx: Connection, action: str, request_id: str, details: dict[str, str]) -> None:
    """One audit entry for each customer that it is about: every one of them has a right to know."""
    about: Sequence[str | None] = [each.customer for each in progress.targets_of(tx, desk.caller.tenant, request_id)]
    for customer in about or [None]:
        audit.record(desk, tx, action, customer=customer, resource=request_id, details=details)


def _key(caller: Caller, request_id: str) -> dict[str, str]:
    return {"tenant_id": caller.tenant, "request_id": request_id}
