"""Refunds as the processor lists them: those of ours that came to an end, and those that somebody made there."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, select

from rows.changes import inserted, write
from vault import audit
from vault.desk import Desk
from vault.ids import new_id
from vault.money.refund.following import (
    LOOK_EVERY,
    WITH_CHARGE,
    event_of,
    follow_seen,
    recorded,
    recount,
    refund_place,
)
from vault.processing import intents, references
from vault.processing.answers import RefundSeen
from vault.processing.connecting import Connected
from vault.sealing import seal_value
from vault.tables import charges, refunds


def follow(desk: Desk, connected: Connected, account_id: str, charge_id: str, payment: str) -> bool:
    """Ask the processor for the refunds of a charge's payment, and write down what is news; whether it said."""
    seen = connected.processor.refunds_of(connected.credentials, reference=payment)
    if not isinstance(seen, list):
        return False
    book(desk, account_id, charge_id, seen)
    return True


def book(desk: Desk, account_id: str, charge_id: str, seen: Sequence[RefundSeen]) -> None:
    """Write down what is news of a charge's refunds, as the processor lists them."""
    for each in seen:
        with audit.transaction(desk.records) as tx:
            _follow_one(desk, tx, account_id, charge_id, each)


def _follow_one(desk: Desk, tx: Connection, account_id: str, charge_id: str, seen: RefundSeen) -> None:
    digest = references.digest(desk.keyring, desk.caller.tenant, account_id, seen.reference)
    this = and_(charges.c.tenant_id == desk.caller.tenant, charges.c.charge_id == charge_id)
    charge = tx.execute(select(charges).where(this).with_for_update()).one()  # one at a time
    known = tx.execute(
        WITH_CHARGE.where(refunds.c.tenant_id == desk.caller.tenant, refunds.c.reference_digest == digest)
    ).one_or_none()
    if known is not None:
        follow_seen(desk, tx, known, seen.status)
    elif seen.status != "failed" and _tag(seen) not in _open_tags(desk, tx, charge_id):
        _adopt(desk, tx, charge, seen, digest)


def _open_tags(desk: Desk, tx: Connection, charge_id: str) -> set[str]:
    """The tags of our own refunds whose outcome is open: their intent ends them, and the amount is counted already."""
    of_charge = and_(refunds.c.tenant_id == desk.caller.tenant, refunds.c.charge_id == charge_id)
    ours = select(refunds.c.refund_id).where(of_charge, refunds.c.reference_digest.is_(None))
    return {intents.tag(desk.keyring, desk.caller.tenant, refund_id) for refund_id in tx.scalars(ours)}


def _tag(seen: RefundSeen) -> str | None:
    return seen.marks.tag if seen.marks is not None else None


def _named(desk: Desk, seen: RefundSeen) -> tuple[str, str]:
    """The id of a refund's row and who made it: one that carries our words keeps its id, so that a retry finds it."""
    if seen.marks is not None and intents.is_ours(desk.keyring, desk.caller.tenant, seen.marks, "rfd"):
        return seen.marks.id, "panless"
    return new_id("rfd", desk.caller.tenant), "processor"


def _adopt(
    desk: Desk,
    tx: Connection,
    charge: Any,  # noqa: ANN401  # a row of charges
    seen: RefundSeen,
    digest: bytes,
) -> None:
    """Count a refund that these records do not know: made there by somebody, or by us, its commit lost since."""
    refund_id, origin = _named(desk, seen)
    place = refund_place(desk.keyring, desk.caller.tenant, refund_id, 1)
    row = {
        "tenant_id": desk.caller.tenant,
        "refund_id": refund_id,
        "charge_id": charge.charge_id,
        "state": seen.status,
        "amount": seen.amount,
        "origin": origin,
        "reference_digest": digest,
        "retained": seal_value(
            desk.keyring.tenant_key(desk.caller.tenant, "retention"), {"reference": seen.reference}, place
        ),
        "created_at": desk.caller.at,
        "updated_at": desk.caller.at,
    }
    clocks = {"next_look_at": LOOK_EVERY} if seen.status == "pending" else {}
    if not write(tx, inserted(refunds, row, if_absent=True, clocks=clocks))[0]:
        return
    recount(tx, desk.caller.tenant, charge.charge_id)
    made = tx.execute(
        WITH_CHARGE.where(refunds.c.tenant_id == desk.caller.tenant, refunds.c.refund_id == refund_id)
    ).one()
    write(tx, event_of(desk.caller, made, seen.status), recorded(desk, tx, made, "refund.made_elsewhere"))
