"""Refunds: all or part of what a charge took goes back, never more. They go on after the customer is erased."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, and_, select
from sqlalchemy.exc import SQLAlchemyError

from keys.errors import KeysError
from rows.changes import inserted, write
from rows.engine import reading
from vault import audit
from vault.caller import Caller
from vault.charge_states import PAID
from vault.desk import Desk
from vault.errors import Invalid, MovedOn, NotUsable, ProcessorNotReached
from vault.money.charge.charges import open_retained, row_of_charge
from vault.money.refund import elsewhere
from vault.money.refund.following import recount
from vault.money.refund.listed import Refund, read
from vault.money.refund.outcomes import Refunding, conclude, shown
from vault.once import Once
from vault.processing import accounts, doubt, intents, sending
from vault.processing.answers import NotFound, RefundOutcome
from vault.processing.connecting import Processors, connect, connect_to
from vault.tables import charges as charge_table
from vault.tables import refunds


class _Doubtful(Exception):  # no error: what rolls back what must first be looked for
    """These records may have lost refunds of this payment."""


def refund(
    desk: Desk, processors: Processors, charge_id: str, amount: int | None, reason: str | None, attempt: intents.Attempt
) -> Once[Refund]:
    """Give back `amount` minor units, or all that is left.

    Raises Invalid, NotFoundHere, NotUsable, KeyReused, InProgress, ProcessorRefused, ProcessorNotReached.
    """
    order = _Order(charge_id=charge_id, amount=amount, reason=reason, attempt=attempt)
    try:
        refunding = _begin(desk, processors, order, is_looked=False)
    except _Doubtful:
        _look_first(desk, processors, order)
        refunding = _begin(desk, processors, order, is_looked=True)
    if refunding is None:
        return Once(_replay(desk, attempt), replayed=True)
    outcome = sending.once(desk.caller, _call(refunding))
    try:
        believed = doubt.believed(desk.records, desk.caller.tenant, refunding.charge.account_id, outcome)
        return Once(conclude(refunding, believed))
    except (SQLAlchemyError, KeysError):  # it was sent, so nobody may be told to try again
        return Once(shown(refunding, "unknown"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    charge_id: str
    amount: int | None
    reason: str | None
    attempt: intents.Attempt


def _call(refunding: Refunding) -> Callable[[], RefundOutcome]:
    """The one call, with all that has to be read for it read."""
    return partial(
        refunding.connected.processor.refund,
        refunding.connected.credentials,
        reference=open_retained(refunding.desk.keyring, refunding.charge)["reference"],
        amount=refunding.amount,
        currency=refunding.charge.currency,
        reason=refunding.reason,
        marks=intents.marks(
            refunding.desk.keyring,
            refunding.desk.caller.tenant,
            refunding.refund_id,
            refunding.charge.obligation_digest,
        ),
        key=refunding.intent.processor_key or "",
    )


def look_up(refunding: Refunding) -> RefundOutcome | NotFound:
    """What the processor has of a refund that broke off, among all of its payment."""
    reference = open_retained(refunding.desk.keyring, refunding.charge)["reference"]
    connected = refunding.connected
    return connected.processor.find_refund(connected.credentials, id=refunding.refund_id, reference=reference)


def resume(desk: Desk, processors: Processors, intent: intents.Intent) -> Refunding:
    """A refund that was begun before, from its rows."""
    with reading(desk.records) as connection:
        mine = and_(refunds.c.tenant_id == desk.caller.tenant, refunds.c.refund_id == intent.resource_id)
        row = connection.execute(select(refunds).where(mine)).one()
        charge = row_of_charge(connection, desk.caller, row.charge_id)
    return Refunding(
        desk=desk,
        intent=intent,
        connected=connect_to(desk.records, desk.keyring, processors, desk.caller.tenant, charge.account_id),
        charge=charge,
        refund_id=row.refund_id,
        amount=row.amount,
        reason=row.reason,
        created_at=row.created_at,
    )


def _begin(desk: Desk, processors: Processors, order: _Order, *, is_looked: bool) -> Refunding | None:
    """Commit the intent and the pending refund, its amount taken off what is left; None for a known key.

    Raises _Doubtful where the payment's refunds must be looked through first.
    """
    with reading(desk.records) as connection:
        row = row_of_charge(connection, desk.caller, order.charge_id)
    connected = connect_to(desk.records, desk.keyring, processors, desk.caller.tenant, row.account_id)
    refund_id = intents.resource_id(desk, "rfd", order.attempt)
    with audit.transaction(desk.records) as tx:
        intent = intents.begin(
            desk, tx, order.attempt, resource_id=refund_id, customer_id=row.customer_id, account_id=row.account_id
        )
        if intent is None:
            return None
        if not is_looked and doubt.is_doubted(tx, desk.caller.tenant, row.account_id):
            raise _Doubtful
        if _is_recovered(tx, desk.caller, refund_id):
            intents.finish(tx, intent)
            return None
        taken = _take_off(tx, desk.caller, row, order.amount)
        new = {
            "tenant_id": desk.caller.tenant,
            "refund_id": refund_id,
            "charge_id": order.charge_id,
            "state": "pending",
            "amount": taken,
            "reason": order.reason,
            "created_at": desk.caller.at,
            "updated_at": desk.caller.at,
        }
        write(tx, inserted(refunds, new))
        recount(tx, desk.caller.tenant, order.charge_id)
    return Refunding(
        desk=desk,
        intent=intent,
        connected=connected,
        charge=row,
        refund_id=refund_id,
        amount=taken,
        reason=order.reason,
        created_at=desk.caller.at,
    )


def _is_recovered(tx: Connection, caller: Caller, refund_id: str) -> bool:
    """Whether this very refund was written again from what the processor has: the call is its replay."""
    this = and_(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refund_id)
    return tx.scalar(select(refunds.c.refund_id).where(this)) is not None


def _look_first(desk: Desk, processors: Processors, order: _Order) -> None:
    """Book what the processor has of refunds that these records may have lost.

    Raises NotUsable where one of ours is as large as this one: it may be the very same, ordered under another key; and
    for a charge that these records do not know as paid: without the payment's name, another's refunds would be listed.
    """
    with reading(desk.records) as connection:
        row = row_of_charge(connection, desk.caller, order.charge_id)
        account = accounts.by_id(connection, desk.caller.tenant, row.account_id)
        since = doubt.since(connection, account)
    _refuse_unpaid(row.state, row)
    connected = connect(processors, desk.keyring, desk.caller.tenant, account)
    seen = connected.processor.refunds_of(
        connected.credentials, reference=open_retained(desk.keyring, row)["reference"]
    )
    if not isinstance(seen, list):
        raise ProcessorNotReached("The processor did not say what was refunded; nothing was refunded. Try again.")
    elsewhere.book(desk, row.account_id, order.charge_id, seen)
    refund_id = intents.resource_id(desk, "rfd", order.attempt)
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


def _replay(desk: Desk, attempt: intents.Attempt) -> Refund:
    first = intents.replayed(desk, attempt)
    if first is None:
        raise MovedOn("The first call with this Idempotency-Key has just been taken back. Try again.")
    return read(desk, first.resource_id)
