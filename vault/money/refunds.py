"""Refunds: all or part of what a charge took goes back, never more. They go on after the customer is erased."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, select
from sqlalchemy.exc import SQLAlchemyError

from keys.database import reading
from keys.errors import KeysError
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.charge_states import PAID
from vault.errors import Invalid, MovedOn, NotUsable, ProcessorNotReached, ProcessorRefused
from vault.events import events
from vault.money import by_hand, refunds_elsewhere
from vault.money.by_hand import ByHand
from vault.money.charges import open_retained, row_of_charge
from vault.money.refund_following import LOOK_EVERY, recount, refund_place
from vault.money.refunds_listed import Refund, read, shown_in_event
from vault.processing import doubt, intents, processor_accounts, references, sending
from vault.processing.processing import Connected, Processors, connect
from vault.processing.processor_answers import (
    Declined,
    NotFound,
    NotReached,
    Refunded,
    RefundOutcome,
    Refused,
    Unknown,
)
from vault.sealing import seal_value
from vault.statements import Change, inserted, updated, write
from vault.tables import charges as charge_table
from vault.tables import refunds


class _Overtaken(Exception):  # no error: what rolls back what another process has ended, or has the lease of
    """Another process ended the same refund first: nothing of ours is written."""


class _Doubtful(Exception):  # no error: what rolls back what must first be looked for
    """These records may have lost refunds of this payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunding:
    """A refund under way: its charge, and the processor that took the money."""

    caller: Caller
    intent: intents.Intent
    connected: Connected
    charge: Row[Any]
    refund_id: str
    amount: int
    reason: str | None
    created_at: datetime


def refund(
    records: Engine,
    keyring: Keyring,
    processors: Processors,
    caller: Caller,
    charge_id: str,
    amount: int | None,
    reason: str | None,
    attempt: intents.Attempt,
) -> tuple[Refund, bool]:
    """Give back `amount` minor units, or all that is left; the refund, and whether it is a replay.

    Raises Invalid, NotFoundHere, NotUsable, KeyReused, InProgress, ProcessorRefused, ProcessorNotReached.
    """
    order = _Order(charge_id=charge_id, amount=amount, reason=reason, attempt=attempt)
    try:
        refunding = _begin(records, keyring, processors, caller, order, is_looked=False)
    except _Doubtful:
        _look_first(records, keyring, processors, caller, order)
        refunding = _begin(records, keyring, processors, caller, order, is_looked=True)
    if refunding is None:
        return _replay(records, keyring, caller, attempt), True
    outcome = sending.once(caller, lambda: send(keyring, refunding))
    try:
        believed = doubt.believed(records, caller.tenant, refunding.charge.account_id, outcome)
        return conclude(records, keyring, refunding, believed), False
    except (SQLAlchemyError, KeysError):  # it was sent, so nobody may be told to try again
        return _shown(refunding, "unknown"), False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    charge_id: str
    amount: int | None
    reason: str | None
    attempt: intents.Attempt


def send(keyring: Keyring, refunding: Refunding) -> RefundOutcome:
    """Ask the processor for the refund."""
    return refunding.connected.processor.refund(
        refunding.connected.credentials,
        reference=open_retained(keyring, refunding.charge)["reference"],
        amount=refunding.amount,
        currency=refunding.charge.currency,
        reason=refunding.reason,
        marks=intents.marks(keyring, refunding.caller.tenant, refunding.refund_id, refunding.charge.obligation_digest),
        key=refunding.intent.processor_key or "",
    )


def look_up(keyring: Keyring, refunding: Refunding) -> RefundOutcome | NotFound:
    """What the processor has of a refund that broke off, among all of its payment."""
    reference = open_retained(keyring, refunding.charge)["reference"]
    connected = refunding.connected
    return connected.processor.find_refund(connected.credentials, id=refunding.refund_id, reference=reference)


def resume(
    records: Engine, keyring: Keyring, processors: Processors, caller: Caller, intent: intents.Intent
) -> Refunding:
    """A refund that was begun before, from its rows."""
    with reading(records) as connection:
        mine = and_(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == intent.resource_id)
        row = connection.execute(select(refunds).where(mine)).one()
        charge = row_of_charge(connection, caller, row.charge_id)
        account = processor_accounts.by_id(connection, caller.tenant, charge.account_id)
    return Refunding(
        caller=caller,
        intent=intent,
        connected=connect(processors, keyring, caller.tenant, account),
        charge=charge,
        refund_id=row.refund_id,
        amount=row.amount,
        reason=row.reason,
        created_at=row.created_at,
    )


def conclude(
    records: Engine, keyring: Keyring, refunding: Refunding, outcome: RefundOutcome | NotFound | ByHand
) -> Refund:
    """Write down what the processor answered, or a human says; NotFound of one that won't be carried out any more.

    Raises ProcessorRefused, ProcessorNotReached.
    """
    try:
        _write_down(records, keyring, refunding, outcome)
    except _Overtaken:
        return read(records, refunding.caller, refunding.refund_id)
    if isinstance(outcome, NotReached):
        raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was refunded. Try again.")
    if isinstance(outcome, Refused):
        raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)
    return read(records, refunding.caller, refunding.refund_id)


def _write_down(
    records: Engine, keyring: Keyring, refunding: Refunding, outcome: RefundOutcome | NotFound | ByHand
) -> None:
    match outcome:
        case ByHand():
            _believe(records, keyring, refunding, outcome)
        case Refunded():
            _end(records, keyring, refunding, outcome.status, reference=outcome.reference)
        case Unknown():
            _leave(records, keyring, refunding)
        case NotReached() | Refused(credentials=True):  # nothing was done: the same key may begin again
            _take_back(records, keyring, refunding)
        case Refused() | Declined() | NotFound():
            _end(records, keyring, refunding, "failed", reference=None)


def _begin(
    records: Engine, keyring: Keyring, processors: Processors, caller: Caller, order: _Order, *, is_looked: bool
) -> Refunding | None:
    """Commit the intent and the pending refund, its amount taken off what is left; None for a known key.

    Raises _Doubtful where the payment's refunds must be looked through first.
    """
    with reading(records) as connection:
        row = row_of_charge(connection, caller, order.charge_id)
        account = processor_accounts.by_id(connection, caller.tenant, row.account_id)
    connected = connect(processors, keyring, caller.tenant, account)
    refund_id = intents.resource_id("rfd", keyring, caller, order.attempt)
    with audit.transaction(records) as tx:
        intent = intents.begin(
            tx,
            keyring,
            caller,
            order.attempt,
            resource_id=refund_id,
            customer_id=row.customer_id,
            account_id=row.account_id,
        )
        if intent is None:
            return None
        if not is_looked and doubt.is_doubted(tx, caller.tenant, row.account_id):
            raise _Doubtful
        if _is_recovered(tx, caller, refund_id):
            intents.finish(tx, intent)
            return None
        taken = _take_off(tx, caller, row, order.amount)
        new = {
            "tenant_id": caller.tenant,
            "refund_id": refund_id,
            "charge_id": order.charge_id,
            "state": "pending",
            "amount": taken,
            "reason": order.reason,
            "created_at": caller.at,
            "updated_at": caller.at,
        }
        write(tx, inserted(refunds, new))
        recount(tx, caller.tenant, order.charge_id)
    return Refunding(
        caller=caller,
        intent=intent,
        connected=connected,
        charge=row,
        refund_id=refund_id,
        amount=taken,
        reason=order.reason,
        created_at=caller.at,
    )


def _is_recovered(tx: Connection, caller: Caller, refund_id: str) -> bool:
    """Whether this very refund was written again from what the processor has: the call is its replay."""
    this = and_(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refund_id)
    return tx.scalar(select(refunds.c.refund_id).where(this)) is not None


def _look_first(records: Engine, keyring: Keyring, processors: Processors, caller: Caller, order: _Order) -> None:
    """Book what the processor has of refunds that these records may have lost.

    Raises NotUsable where one of ours is as large as this one: it may be the very same, ordered under another key; and
    for a charge that these records do not know as paid: without the payment's name, another's refunds would be listed.
    """
    with reading(records) as connection:
        row = row_of_charge(connection, caller, order.charge_id)
        account = processor_accounts.by_id(connection, caller.tenant, row.account_id)
        since = doubt.since(connection, account)
    _refuse_unpaid(row.state, row)
    connected = connect(processors, keyring, caller.tenant, account)
    seen = connected.processor.refunds_of(connected.credentials, reference=open_retained(keyring, row)["reference"])
    if not isinstance(seen, list):
        raise ProcessorNotReached("The processor did not say what was refunded; nothing was refunded. Try again.")
    refunds_elsewhere.book(records, keyring, caller, row.account_id, order.charge_id, seen)
    refund_id = intents.resource_id("rfd", keyring, caller, order.attempt)
    for each in seen:
        is_new = since is None or each.at >= since
        if each.marks is not None and each.marks.id != refund_id and is_new and each.amount == order.amount:
            raise NotUsable(
                "refund_in_doubt", "A refund of this amount was made just before records were lost. Look first."
            )


def _take_off(tx: Connection, caller: Caller, row: Row[Any], amount: int | None) -> int:
    """What is to be given back, the charge's row held, so that refunds at once never give back more than it took."""
    this = and_(charge_table.c.tenant_id == caller.tenant, charge_table.c.charge_id == row.charge_id)
    columns = (charge_table.c.state, charge_table.c.amount_captured, charge_table.c.amount_refunded)
    now = tx.execute(select(*columns).where(this).with_for_update()).one()
    left = now.amount_captured - now.amount_refunded
    _refuse_unpaid(now.state, row)
    if left <= 0:
        raise NotUsable("already_refunded", "Nothing of this charge is left to refund.")
    if amount is not None and amount > left:
        raise Invalid("amount", "The amount is more than is left to refund.")
    return left if amount is None else amount


def _refuse_unpaid(state: str, row: Row[Any]) -> None:
    """Raises NotUsable for a charge that took no money, or of whose payment nobody here knows the name."""
    if state not in PAID:
        raise NotUsable("charge_not_refundable", "Only a charge that succeeded or was captured can be refunded.")
    if row.reference_digest is None:
        raise NotUsable(
            "charge_not_refundable", "This charge was settled by hand. Give its money back at the processor."
        )


def _end(records: Engine, keyring: Keyring, refunding: Refunding, state: str, *, reference: str | None) -> None:
    """What the processor made of it. One that is pending there is followed from now on; nothing is left of the call."""
    caller = refunding.caller
    changes = {"state": state, "updated_at": caller.at, **_sealed(keyring, refunding, reference)}
    clocks = {"next_look_at": LOOK_EVERY} if state == "pending" else {}
    with audit.transaction(records) as tx:
        moved = updated(refunds, _key_of(refunding), changes, _OPEN, clocks=clocks)
        if not all(write(tx, moved, intents.finished(refunding.intent))):
            raise _Overtaken
        if state == "failed":
            recount(tx, caller.tenant, refunding.charge.charge_id)
        _record(tx, keyring, refunding, state)


def _believe(records: Engine, keyring: Keyring, refunding: Refunding, said: ByHand) -> None:
    """A human says how it ended: the evidence is kept with its charge, which the customer's key opens."""
    caller, charge = refunding.caller, refunding.charge
    state = "succeeded" if said.succeeded else "failed"
    sealed = by_hand.sealed_evidence(keyring, charge._asdict(), refunding.intent, said)
    of_charge = {name: getattr(charge, name) for name in ("tenant_id", "charge_id", "details_version")}
    with audit.transaction(records) as tx:
        moved = updated(refunds, _key_of(refunding), {"state": state, "updated_at": caller.at}, _OPEN)
        kept = updated(charge_table, of_charge, sealed)
        if not all(write(tx, moved, intents.finished(refunding.intent), kept)):
            raise _Overtaken
        recount(tx, caller.tenant, charge.charge_id)
        _record(tx, keyring, refunding, state, how="_by_hand")


def _sealed(keyring: Keyring, refunding: Refunding, reference: str | None) -> dict[str, Any]:
    if reference is None:
        return {}
    tenant = refunding.caller.tenant
    place = refund_place(keyring, tenant, refunding.refund_id, 1)
    sealed = seal_value(keyring.tenant_key(tenant, "retention"), {"reference": reference}, place)
    digest = references.digest(keyring, tenant, refunding.charge.account_id, reference)
    return {"retained": sealed, "reference_digest": digest}


def _leave(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    unknown = {"state": "unknown", "updated_at": refunding.caller.at}
    with audit.transaction(records) as tx:
        moved = updated(refunds, _key_of(refunding), unknown, _OPEN)
        if not all(write(tx, moved, intents.left_to_worker(refunding.intent))):
            raise _Overtaken
        _record(tx, keyring, refunding, "unknown")


def _take_back(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    caller = refunding.caller
    this = and_(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refunding.refund_id)
    with audit.transaction(records) as tx:
        if not intents.forget_attempt(tx, refunding.intent):
            raise _Overtaken
        if tx.execute(delete(refunds).where(this, _OPEN)).rowcount != 1:
            raise _Overtaken
        recount(tx, caller.tenant, refunding.charge.charge_id)
        write(tx, _entry(tx, keyring, refunding, "refund.not_sent"))


def _replay(records: Engine, keyring: Keyring, caller: Caller, attempt: intents.Attempt) -> Refund:
    with reading(records) as connection:
        first = intents.replayed(connection, keyring, caller, attempt)
    if first is None:
        raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
    return read(records, caller, first.resource_id)


def _key_of(refunding: Refunding) -> dict[str, str]:
    return {"tenant_id": refunding.caller.tenant, "refund_id": refunding.refund_id}


def _shown(refunding: Refunding, state: str) -> Refund:
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


def _record(tx: Connection, keyring: Keyring, refunding: Refunding, state: str, how: str = "") -> None:
    """The audit entry of a refund that now stands at `state`, and its event."""
    told = events.made(
        refunding.caller, f"refund.{state}", refunding.refund_id, shown_in_event(_shown(refunding, state))
    )
    write(tx, told, _entry(tx, keyring, refunding, f"refund.{state}{how}"))


def _entry(tx: Connection, keyring: Keyring, refunding: Refunding, action: str) -> Change:
    details = {"charge": refunding.charge.charge_id, "amount": refunding.amount}
    return audit.entry(
        tx,
        keyring,
        refunding.caller,
        action,
        customer=refunding.charge.customer_id,
        resource=refunding.refund_id,
        details=details,
    )


_OPEN = and_(refunds.c.state.in_(("pending", "unknown")), refunds.c.retained.is_(None))
