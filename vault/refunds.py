"""Refunds: all or part of what a charge took goes back, never more. They go on after the customer is erased."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, insert, select, update

from keys.context import Context
from keys.database import reading
from keys.keyring import Keyring
from vault import audit, intents, processor_accounts
from vault.caller import Caller
from vault.charges import open_retained, row_of_charge
from vault.errors import Invalid, MovedOn, NotFoundHere, NotUsable, ProcessorNotReached, ProcessorRefused
from vault.ids import new_id
from vault.processing import Connected, Processors, connect, persist
from vault.processor import Declined, NotFound, NotReached, Refunded, RefundOutcome, Refused, Unknown
from vault.sealing import place_of, seal_value
from vault.tables import charges as charge_table
from vault.tables import refunds


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """One refund as its clients see it."""

    id: str
    charge: str
    status: str
    amount: int
    currency: str
    reason: str | None
    created_at: datetime


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
    return refunding.connected.processor.refund(
        refunding.connected.credentials,
        reference=reference,
        amount=refunding.amount,
        reason=refunding.reason,
        tag=intents.tag(keyring, refunding.caller.tenant, refunding.refund_id),
        key=refunding.intent.processor_key,
    )


def look_up(keyring: Keyring, refunding: Refunding) -> RefundOutcome | NotFound:
    """What the processor has of a refund that broke off."""
    reference = open_retained(keyring, refunding.charge)["reference"]
    tag = intents.tag(keyring, refunding.caller.tenant, refunding.refund_id)
    return refunding.connected.processor.find_refund(refunding.connected.credentials, tag=tag, reference=reference)


def read(records: Engine, caller: Caller, refund_id: str) -> Refund:
    """One refund. Raises NotFoundHere."""
    its = and_(refunds.c.tenant_id == charge_table.c.tenant_id, refunds.c.charge_id == charge_table.c.charge_id)
    statement = (
        select(refunds, charge_table.c.currency)
        .join(charge_table, its)
        .where(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refund_id)
    )
    with reading(records) as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFoundHere("No such refund.")
    return _refund(row, row.currency)


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
    refund_id = new_id("rfd", caller.tenant)
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
    )


def _take_off(tx: Connection, caller: Caller, row: Row[Any], amount: int | None) -> int:
    """Reserve the amount on the charge, so that refunds running at once never give back more than it took."""
    this = and_(charge_table.c.tenant_id == caller.tenant, charge_table.c.charge_id == row.charge_id)
    columns = (charge_table.c.state, charge_table.c.amount_captured, charge_table.c.amount_refunded)
    now = tx.execute(select(*columns).where(this).with_for_update()).one()
    left = now.amount_captured - now.amount_refunded
    if now.state != "succeeded":
        raise NotUsable("charge_not_refundable", "Only a charge that succeeded can be refunded.")
    if left == 0:
        raise NotUsable("already_refunded", "Nothing of this charge is left to refund.")
    if amount is not None and amount > left:
        raise Invalid("amount", "The amount is more than is left to refund.")
    taken = left if amount is None else amount
    tx.execute(update(charge_table).where(this).values(amount_refunded=charge_table.c.amount_refunded + taken))
    return taken


def _end(records: Engine, keyring: Keyring, refunding: Refunding, state: str, *, reference: str | None) -> None:
    tenant = refunding.caller.tenant
    sealed = None
    if reference is not None:
        place = refund_place(keyring, tenant, refunding.refund_id, 1)
        sealed = seal_value(keyring.tenant_key(tenant, "retention"), {"reference": reference}, place)
    with audit.transaction(records) as tx:
        open_still = and_(_this(refunding), refunds.c.state.in_(("pending", "unknown")), refunds.c.retained.is_(None))
        changes = {"state": state, "retained": sealed, "updated_at": refunding.caller.at}
        if tx.execute(update(refunds).where(open_still).values(**changes)).rowcount != 1:
            return
        if state == "failed":
            _give_back(tx, refunding)
        intents.finish(tx, refunding.intent)
        _record(tx, keyring, refunding, f"refund.{state}")


def _leave(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    with audit.transaction(records) as tx:
        still = and_(_this(refunding), refunds.c.state == "pending")
        tx.execute(update(refunds).where(still).values(state="unknown", updated_at=refunding.caller.at))
        intents.leave_to_worker(tx, refunding.intent)
        _record(tx, keyring, refunding, "refund.unknown")


def _take_back(records: Engine, keyring: Keyring, refunding: Refunding) -> None:
    with audit.transaction(records) as tx:
        if tx.execute(delete(refunds).where(_this(refunding), refunds.c.state == "pending")).rowcount == 1:
            _give_back(tx, refunding)
            intents.forget_attempt(tx, refunding.intent)
            _record(tx, keyring, refunding, "refund.not_sent")


def _give_back(tx: Connection, refunding: Refunding) -> None:
    this = and_(
        charge_table.c.tenant_id == refunding.caller.tenant, charge_table.c.charge_id == refunding.charge.charge_id
    )
    left = charge_table.c.amount_refunded - refunding.amount
    tx.execute(update(charge_table).where(this).values(amount_refunded=left))


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


def _record(tx: Connection, keyring: Keyring, refunding: Refunding, action: str) -> None:
    audit.record(
        tx,
        keyring,
        refunding.caller,
        action,
        customer=refunding.charge.customer_id,
        resource=refunding.refund_id,
        details={"charge": refunding.charge.charge_id, "amount": refunding.amount},
    )


def _refund(row: Row[Any], currency: str) -> Refund:
    return Refund(
        id=row.refund_id,
        charge=row.charge_id,
        status=row.state,
        amount=row.amount,
        currency=currency,
        reason=row.reason,
        created_at=row.created_at,
    )
