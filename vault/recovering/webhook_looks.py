"""What an event leads to: the processor is asked how the objects that it names stand, and what is seen is written down.

An event may come before we know what it is about: our own call that made the object is slow, or its answer was lost. It
then waits for its row. Where that itself was lost, it is written again.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, and_, exists, select

from rows.engine import reading
from vault.cards import looking as token_looking
from vault.cards import updates
from vault.desk import Desk
from vault.erasing import retention
from vault.money import disputes
from vault.money.charge import aftermath, recovered
from vault.money.charge import looking as charge_looking
from vault.money.charge.looking import DEFINITE
from vault.money.refund import elsewhere
from vault.processing import inbox, references
from vault.processing.answers import Declined, Failure, Payment, Refused
from vault.processing.connecting import Connected, connect_to
from vault.processing.intents import is_ours
from vault.tables import charges, intents
from vault.workshop import Workshop, desk_of

CLOCKS_APART = timedelta(minutes=1)
"""How far the clocks of two of our processes may be apart."""

OF_CHARGES = ("payment_intent.", "charge.captured", "charge.expired")
"""Beginnings of the types of events that tell how a charge stands; others of a payment tell of money that went back."""


class Seen(StrEnum):
    """What became of an event; what is none of these two ends is tried again."""

    APPLIED = "applied"
    IGNORED = "ignored"
    """About nothing of ours."""
    WAITS = "waits"
    """About something of ours that these records do not know yet, or the processor does not list yet."""
    SILENT = "silent"
    """The processor did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """An event, and the processor that is asked about it."""

    shop: Workshop
    desk: Desk
    connected: Connected
    row: Row[Any]
    named: dict[str, str | None]


def look(shop: Workshop, row: Row[Any]) -> Seen:
    """Ask the processor about what an event names, and write down what is seen."""
    asking = _Asking(
        shop=shop,
        desk=desk_of(shop, row.tenant_id, live=row.live),
        connected=connect_to(shop.records, shop.keyring, shop.processors, row.tenant_id, row.account_id),
        row=row,
        named=inbox.named_in(shop.keyring, row),
    )
    if method := asking.named.get("method"):
        return _at_method(asking, method)
    if setup := asking.named.get("setup"):
        return _at_setup(asking, setup)
    payment = asking.named.get("payment")
    return Seen.IGNORED if payment is None else _at_payment(asking, payment)


def _at_method(asking: _Asking, method: str) -> Seen:
    shop, caller, account = asking.shop, asking.desk.caller, asking.row.account_id
    token = updates.token_of(shop.records, shop.keyring, caller.tenant, account, method)
    if token is None:
        return _unknown_card(asking)
    return _said(updates.follow(shop.desk(caller), asking.connected, token, method))


def _at_setup(asking: _Asking, setup: str) -> Seen:
    shop, caller, account = asking.shop, asking.desk.caller, asking.row.account_id
    token = token_looking.token_of(shop.records, shop.keyring, caller.tenant, account, setup)
    if token is None:
        return _unknown_card(asking)
    return _said(token_looking.look(shop.desk(caller), shop.processors, token))


def _unknown_card(asking: _Asking) -> Seen:
    """Ours if at all while a storing is open there that began before: only that could still give it a row."""
    row = asking.row
    could_be = exists().where(
        intents.c.tenant_id == row.tenant_id,
        intents.c.account_id == row.account_id,
        intents.c.operation == "token.create",
        intents.c.state == "pending",
        intents.c.created_at <= row.received_at + CLOCKS_APART,
    )
    with reading(asking.desk.records) as connection:
        return Seen.WAITS if connection.scalar(select(could_be)) else Seen.IGNORED


def _at_payment(asking: _Asking, payment: str) -> Seen:
    charge = _charge_of(asking, payment)
    if charge is None:
        return _unknown_payment(asking, payment)
    if asking.row.type.startswith(OF_CHARGES):
        return _at_charge(asking, charge)
    if dispute := asking.named.get("dispute"):
        return _said(disputes.follow(asking.desk, *_asked(asking, charge), dispute))
    follow = aftermath.follow if asking.row.type == aftermath.KIND else elsewhere.follow
    if not follow(asking.desk, *_asked(asking, charge), payment):
        return Seen.SILENT
    return Seen.APPLIED if _is_all_listed(asking, charge, payment) else Seen.WAITS


def _is_all_listed(asking: _Asking, charge: str, payment: str) -> bool:
    """Whether all that went back is booked: lists may be behind for a while, the payment itself says how much."""
    connected = asking.connected
    if asking.desk.caller.at >= asking.row.received_at + connected.processor.list_lag:
        return True
    seen = connected.processor.read_payment(connected.credentials, reference=payment)
    its = and_(charges.c.tenant_id == asking.row.tenant_id, charges.c.charge_id == charge)
    with reading(asking.desk.records) as connection:
        booked = connection.scalars(select(charges.c.amount_refunded).where(its)).one()
    return isinstance(seen, Payment) and booked >= seen.refunded


def _asked(asking: _Asking, charge: str) -> tuple[Connected, str, str]:
    return asking.connected, asking.row.account_id, charge


def _charge_of(asking: _Asking, payment: str) -> str | None:
    row = asking.row
    digest = references.digest(asking.desk.keyring, row.tenant_id, row.account_id, payment)
    mine = and_(charges.c.tenant_id == row.tenant_id, charges.c.live == row.live, charges.c.reference_digest == digest)
    with reading(asking.desk.records) as connection:
        found: str | None = connection.scalar(select(charges.c.charge_id).where(mine))
    return found


def _unknown_payment(asking: _Asking, payment: str) -> Seen:
    """With our tag its charge was lost; without, or where the account has no such payment, it is not ours.

    A charge is committed before its payment is made. So one that is not there was committed to another history of
    these records, as by an old primary that went on: it is written again, and who paid it is named if they were lost
    too, as the walk does it. An account that is unproven may be another one, which says nothing by not having it.
    """
    connected, shop, row = asking.connected, asking.shop, asking.row
    seen = connected.processor.read_payment(connected.credentials, reference=payment)
    if isinstance(seen, Refused) and not seen.credentials and row.proven_at is not None:
        return Seen.APPLIED
    if not isinstance(seen, Payment):
        return Seen.SILENT
    if not is_ours(shop.keyring, row.tenant_id, seen.marks, "chg"):
        return Seen.IGNORED
    is_kept = seen.at >= retention.kept_since(shop.policy, asking.desk.caller.at)
    return _write_again(asking, seen) if is_kept else Seen.WAITS


def _write_again(asking: _Asking, payment: Payment) -> Seen:
    account = asking.row.account_id
    left = recovered.lost_payer(asking.desk, asking.connected, account, payment)
    if isinstance(left, Failure):
        return Seen.SILENT
    if not recovered.write_again(asking.desk, account, payment, left=left):
        return Seen.WAITS
    charge = payment.marks.id if payment.marks else ""
    if payment.refunded and not elsewhere.follow(asking.desk, *_asked(asking, charge), payment.reference):
        return Seen.SILENT
    return _at_payment(asking, payment.reference)


def _at_charge(asking: _Asking, charge_id: str) -> Seen:
    shop = asking.shop
    underway = charge_looking.find(asking.desk, shop.processors, charge_id)
    if underway is None:
        return Seen.APPLIED
    outcome = charge_looking.ask(underway)
    charge = charge_looking.seen(underway, outcome)
    failed_open = isinstance(outcome, Declined) and charge.status == "requires_action"  # it could not be called off
    return _said(isinstance(outcome, DEFINITE) and not failed_open)


def _said(said: bool) -> Seen:  # noqa: FBT001  # what it is made of
    return Seen.APPLIED if said else Seen.SILENT
