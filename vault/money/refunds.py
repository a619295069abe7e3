"""Refunds: all or part of what a charge took goes back, never more. They go on after the customer is erased."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, insert, select, update

from keys.context import Context
from keys.database import reading
from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.errors import Invalid, MovedOn, NotUsable, ProcessorNotReached, ProcessorRefused
from vault.events import events
from vault.money.charge_states import PAID
from vault.money.charges import open_retained, row_of_charge
from vault.money.refund_following import LOOK_EVERY, give_back
from vault.money.refunds_listed import Refund, read, shown_in_event
from vault.processing import intents, processor_accounts, references
from vault.processing.processing import Connected, Processors, connect, persist
from vault.processing.processor_answers import (
    Declined,
    Marks,
    NotFound,
    NotReached,
    Refunded,
    RefundOutcome,
    Refused,
    Unknown,
)
from vault.sealing import place_of, seal_value
from vault.statements import Change, updated, write
from vault.tables import charges as charge_table
from vault.tables import refunds


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
    refunding = _begin(records, keyring, processors, caller, charge_id, amount, reason, attempt)
    if refunding is None:
        return _replay(records, keyring, caller, attempt), True
    return conclude(records, keyring, refunding, persist(partial(send, keyring, refunding))), False


def send(keyring: Keyring, refunding: Refunding) -> RefundOutcome:
    """Ask the processor for the refund: always with the same key and body."""
    reference = open_retained(keyring, refunding.charge)["reference"]
    tag = intents.tag(keyring, refunding.caller.tenant, refunding.refund_id)
    amount, reason = refunding.amount, refunding.reason
    return refunding.connected.processor.refund(
        refunding.connected.credentials,
        reference=reference,
        amount=amount,
        reason=reason,
        marks=Marks(tag=tag, id=refunding.refund_id),
        key=refunding.intent.processor_key,
        currency=refunding.charge.currency,
    )


def look_up(keyring: Keyring, refunding: Refunding) -> RefundOutcome | NotFound:
    """What the processor has of a refund that broke off."""
    reference = open_retained(keyring, refunding.charge)["reference"]
    processor, credentials = refunding.connected.processor, refunding.connected.credentials
    return processor.find_refund(credentials, id=refunding.refund_id, reference=reference)


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


def conclude(records: Engine, keyring: Keyring, refunding: Refunding, outcome: RefundOutcome | NotFound) -> Refund:
    """Write down what the processor answered. Raises ProcessorRefused, ProcessorNotReached."""
    match outcome:
        case Refunded():
            _end(records, keyring, refunding, outcome.status, reference=outcome.reference)
        case Unknown():
            _leave(records, keyring, refunding)
        case NotReached():
            _take_back(records, keyring, refunding)
            raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was refunded.")
        case Refused(credentials=True):  # nothing was done: the same key may begin again
            _take_back(records, keyring, refunding)
            raise ProcessorRefused(outcome.code, outcome.param, credentials=True)
        case Refused():
            _end(records, keyring, refunding, "failed", reference=None)
            raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)
        case Declined() | NotFound():
            _end(records, keyring, refunding, "failed", reference=None)
    return read(records, refunding.caller, refunding.refund_id)


def _begin(
    records: Engine,
    keyring: Keyring,
    processors: Processors,
    caller: Caller,
    charge_id: str,
    amount: int | None,
    reason: str | None,
    attempt: intents.Attempt,
) -> Refunding | None:
    """Commit the intent and the pending refund, its amount taken off what is left; None for a known key."""
    with reading(records) as connection:
        row = row_of_charge(connection, caller, charge_id)
        account = processor_accounts.by_id(connection, caller.tenant, row.account_id)
    connected = connect(processors, keyring, caller.tenant, account)
    refund_id = intents.resource_id("rfd", keyring, caller, attempt)
    with audit.transaction(records) as tx:
        intent = intents.begin(
            tx, keyring, caller, attempt, resource_id=refund_id, customer_id=row.customer_id, account_id=row.account_id
        )
        if intent is None:
            return None
        taken = _take_off(tx, caller, row, amount)
        tx.execute(
            insert(refunds),
            {
                "tenant_id": caller.tenant,
                "refund_id": refund_id,
                "charge_id": charge_id,
                "state": "pending",
                "amount": taken,
                "reason": reason,
                "created_at": caller.at,
                "updated_at": caller.at,
            },
        )
    return Refunding(
        caller=caller,
        intent=intent,
        connected=connected,
        charge=row,
        refund_id=refund_id,
        amount=taken,
        reason=reason,
        created_at=caller.at,
    )


def _take_off(tx: Connection, caller: Caller, row: Row[Any], amount: int | None) -> int:
    """Reserve the amount on the charge, so that refunds running at once never give back more than it took."""
    this = and_(charge_table.c.tenant_id == caller.tenant, charge_table.c.charge_id == row.charge_id)
    columns = (charge_table.c.state, charge_table.c.amount_captured, charge_table.c.amount_refunded)
    now = tx.execute(select(*columns).where(this).with_for_update()).one()
    left = now.amount_captured - now.amount_refunded
    if now.state not in PAID:
        raise NotUsable("charge_not_refundable", "Only a charge that succeeded or was captured can be refunded.")
    if left == 0:
        raise NotUsable("already_refunded", "Nothing of this charge is left to refund.")
    if amount is not None and amount > left:
        raise Invalid("amount", "The amount is more than is left to refund.")
    taken = left if amount is None else amount
    tx.execute(update(charge_table).where(this).values(amount_refunded=charge_table.c.amount_refunded + taken))
    return taken


def _end(records: Engine, keyring: Keyring, refunding: Refunding, state: str, *, reference: str | None) -> None:
    """What the processor made of it. One that is pending there is followed from now on; nothing is left of the call."""
    caller = refunding.caller
    changes = {"state": state, "updated_at": caller.at, **_sealed(keyring, refunding, reference)}
    clocks = {"next_look_at": LOOK_EVERY} if state == "pending" else {}
    key = {"tenant_id": caller.tenant, "refund_id": refunding.refund_id}
    with audit.transaction(records) as tx:
        if not write(tx, updated(refunds, key, changes, _OPEN, clocks=clocks))[0]:
            return
        if state == "failed":
            give_back(tx, caller.tenant, refunding.charge.charge_id, refunding.amount)
        intents.finish(tx, refunding.intent)
        _record(tx, keyring, refunding, state)


def _sealed(keyring: Keyring, refunding: Refunding, reference: str | None) -> dict[str, Any]:
    if reference is None:
        return {}
    tenant = refunding.caller.tenant
    place = refund_place(keyring, tenant, refunding.refund_id, 1)
    sealed = seal_value(keyring.tenant_key(tenant, "retention"), {"reference": reference}, place)
    digest = references.digest(keyring, tenant, refunding.charge.account_id, reference)
    return {"retained": sealed, "reference_digest": digest}


def _leave(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    with audit.transaction(records) as tx:
        still = and_(_this(refunding), refunds.c.state == "pending")
        tx.execute(update(refunds).where(still).values(state="unknown", updated_at=refunding.caller.at))
        intents.leave_to_worker(tx, refunding.intent)
        _record(tx, keyring, refunding, "unknown")


def _take_back(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    caller = refunding.caller
    with audit.transaction(records) as tx:
        if tx.execute(delete(refunds).where(_this(refunding), refunds.c.state == "pending")).rowcount == 1:
            give_back(tx, caller.tenant, refunding.charge.charge_id, refunding.amount)
            intents.forget_attempt(tx, refunding.intent)
            write(tx, _entry(tx, keyring, refunding, "refund.not_sent"))


def _replay(records: Engine, keyring: Keyring, caller: Caller, attempt: intents.Attempt) -> Refund:
    with reading(records) as connection:
        first = intents.replayed(connection, keyring, caller, attempt)
    if first is None:
        raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
    return read(records, caller, first.resource_id)


def refund_place(keyring: Keyring, tenant: str, refund_id: str, version: int) -> Context:
    """Where a refund's processor reference stands."""
    return place_of(keyring, tenant, "refunds", "retained", refund_id, version=version)


def _this(refunding: Refunding) -> ColumnElement[bool]:
    return and_(refunds.c.tenant_id == refunding.caller.tenant, refunds.c.refund_id == refunding.refund_id)


def _record(tx: Connection, keyring: Keyring, refunding: Refunding, state: str) -> None:
    """The audit entry of a refund that now stands at `state`, and its event."""
    caller, charge = refunding.caller, refunding.charge
    refund = Refund(
        id=refunding.refund_id,
        charge=charge.charge_id,
        status=state,
        amount=refunding.amount,
        currency=charge.currency,
        reason=refunding.reason,
        origin="panless",
        created_at=refunding.created_at,
    )
    told = events.made(caller, f"refund.{state}", refund.id, shown_in_event(refund))
    write(tx, told, _entry(tx, keyring, refunding, f"refund.{state}"))


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
