"""What becomes of a refund once the processor has answered or was looked up: one transaction, which ends the intent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, and_, delete

from rows.changes import Change, updated, write
from vault import audit
from vault.desk import Desk
from vault.errors import ProcessorNotReached, ProcessorRefused
from vault.events import raising
from vault.money import by_hand
from vault.money.by_hand import ByHand
from vault.money.refund.following import LOOK_EVERY, recount, refund_place
from vault.money.refund.listed import Refund, read, shown_in_event
from vault.processing import intents, references
from vault.processing.answers import Declined, NotFound, NotReached, Refunded, RefundOutcome, Refused, Unknown
from vault.processing.connecting import Connected
from vault.sealing import seal_value
from vault.tables import charges as charge_table
from vault.tables import refunds


class _Overtaken(Exception):  # no error: what rolls back what another process has ended, or has the lease of
    """Another process ended the same refund first: nothing of ours is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    """A refund under way: its charge, and the processor that took the money."""

    desk: Desk
    intent: intents.Intent
    connected: Connected
    charge: Row[Any]
    refund_id: str
    amount: int
    reason: str | None
    created_at: datetime


def conclude(refunding: Refunding, outcome: RefundOutcome | NotFound | ByHand) -> Refund:
    """Write down what the processor answered, or a human says; NotFound of one that won't be carried out any more.

    Raises ProcessorRefused, ProcessorNotReached.
    """
    try:
        _write_down(refunding, outcome)
    except _Overtaken:
        return read(refunding.desk, refunding.refund_id)
    if isinstance(outcome, NotReached):
        raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was refunded. Try again.")
    if isinstance(outcome, Refused):
        raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)
    return read(refunding.desk, refunding.refund_id)


def _write_down(refunding: Refunding, outcome: RefundOutcome | NotFound | ByHand) -> None:
    match outcome:
        case ByHand():
            _believe(refunding, outcome)
        case Refunded():
            _end(refunding, outcome.status, reference=outcome.reference)
        case Unknown():
            _leave(refunding)
        case NotReached() | Refused(credentials=True):  # nothing was done: the same key may begin again
            _take_back(refunding)
        case Refused() | Declined() | NotFound():
            _end(refunding, "failed", reference=None)


def _end(refunding: Refunding, state: str, *, reference: str | None) -> None:
    """What the processor made of it. One that is pending there is followed from now on; nothing is left of the call."""
    caller = refunding.desk.caller
    changes = {"state": state, "updated_at": caller.at, **_sealed(refunding, reference)}
    clocks = {"next_look_at": LOOK_EVERY} if state == "pending" else {}
    with audit.transaction(refunding.desk.records) as tx:
        moved = updated(refunds, _key_of(refunding), changes, _OPEN, clocks=clocks)
        if not all(write(tx, moved, intents.finished(refunding.intent))):
            raise _Overtaken
        if state == "failed":
            recount(tx, caller.tenant, refunding.charge.charge_id)
        _record(refunding, tx, state)


def _believe(refunding: Refunding, said: ByHand) -> None:
    """A human says how it ended: the evidence is kept with its charge, which the customer's key opens."""
    caller, charge = refunding.desk.caller, refunding.charge
    state = "succeeded" if said.succeeded else "failed"
    sealed = by_hand.sealed_evidence(refunding.desk.keyring, charge._asdict(), refunding.intent, said)
    of_charge = {name: getattr(charge, name) for name in ("tenant_id", "charge_id", "details_version")}
    with audit.transaction(refunding.desk.records) as tx:
        moved = updated(refunds, _key_of(refunding), {"state": state, "updated_at": caller.at}, _OPEN)
        kept = updated(charge_table, of_charge, sealed)
        if not all(write(tx, moved, intents.finished(refunding.intent), kept)):
            raise _Overtaken
        recount(tx, caller.tenant, charge.charge_id)
        _record(refunding, tx, state, how="_by_hand")


def _sealed(refunding: Refunding, reference: str | None) -> dict[str, Any]:
    if reference is None:
        return {}
    tenant = refunding.desk.caller.tenant
    place = refund_place(refunding.desk.keyring, tenant, refunding.refund_id, 1)
    sealed = seal_value(refunding.desk.keyring.tenant_key(tenant, "retention"), {"reference": reference}, place)
    digest = references.digest(refunding.desk.keyring, tenant, refunding.charge.account_id, reference)
    return {"retained": sealed, "reference_digest": digest}


def _leave(refunding: Refunding) -> None:
    unknown = {"state": "unknown", "updated_at": refunding.desk.caller.at}
    with audit.transaction(refunding.desk.records) as tx:
        moved = updated(refunds, _key_of(refunding), unknown, _OPEN)
        if not all(write(tx, moved, intents.left_to_worker(refunding.intent))):
            raise _Overtaken
        _record(refunding, tx, "unknown")


def _take_back(refunding: Refunding) -> None:
    caller = refunding.desk.caller
    this = and_(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refunding.refund_id)
    with audit.transaction(refunding.desk.records) as tx:
        if not intents.forget_attempt(tx, refunding.intent):
            raise _Overtaken
        if tx.execute(delete(refunds).where(this, _OPEN)).rowcount != 1:
            raise _Overtaken
        recount(tx, caller.tenant, refunding.charge.charge_id)
        write(tx, _entry(refunding, tx, "refund.not_sent"))


def _key_of(refunding: Refunding) -> dict[str, str]:
    return {"tenant_id": refunding.desk.caller.tenant, "refund_id": refunding.refund_id}


def shown(refunding: Refunding, state: str) -> Refund:
    """The refund as its clients see it, without reading it again."""
    return Refund(
        id=refunding.refund_id,
        charge=refunding.charge.charge_id,
        status=state,
        amount=refunding.amount,
        currency=refunding.charge.currency,
        reason=refunding.reason,
        origin="panless",
        created_at=refunding.created_at,
    )


def _record(refunding: Refunding, tx: Connection, state: str, how: str = "") -> None:
    """The audit entry of a refund that now stands at `state`, and its event."""
    told = raising.made(
        refunding.desk.caller, f"refund.{state}", refunding.refund_id, shown_in_event(shown(refunding, state))
    )
    write(tx, told, _entry(refunding, tx, f"refund.{state}{how}"))


def _entry(refunding: Refunding, tx: Connection, action: str) -> Change:
    details = {"charge": refunding.charge.charge_id, "amount": refunding.amount}
    return audit.entry(
        refunding.desk, tx, action, customer=refunding.charge.customer_id, resource=refunding.refund_id, details=details
    )


_OPEN = and_(refunds.c.state.in_(("pending", "unknown")), refunds.c.retained.is_(None))
