"""Refunds as the processor lists them: those of ours that came to an end, and those that somebody made there."""

from functools import partial
from typing import Any

from sqlalchemy import Connection, Engine, and_, select, update

from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.ids import new_id
from vault.money.refund_following import LOOK_EVERY, WITH_CHARGE, event_of, follow_seen, recorded
from vault.money.refunds import refund_place
from vault.processing import intents, references
from vault.processing.processing import Connected, persist
from vault.processing.processor_answers import RefundSeen
from vault.sealing import seal_value
from vault.statements import inserted, write
from vault.tables import charges, refunds


def follow(
    records: Engine,
    keyring: Keyring,
    caller: Caller,
    connected: Connected,
    account_id: str,
    charge_id: str,
    payment: str,
) -> bool:
    """Ask the processor for the refunds of a charge's payment, and write down what is news; whether it said."""
    seen = persist(partial(connected.processor.refunds_of, connected.credentials, reference=payment))
    if not isinstance(seen, list):
        return False
    for each in seen:
        with audit.transaction(records) as tx:
            _follow_one(tx, keyring, caller, account_id, charge_id, each)
    return True


def _follow_one(
    tx: Connection, keyring: Keyring, caller: Caller, account_id: str, charge_id: str, seen: RefundSeen
) -> None:
    digest = references.digest(keyring, caller.tenant, account_id, seen.reference)
    this = and_(charges.c.tenant_id == caller.tenant, charges.c.charge_id == charge_id)
    charge = tx.execute(select(charges).where(this).with_for_update()).one()  # one at a time
    known = tx.execute(
        WITH_CHARGE.where(refunds.c.tenant_id == caller.tenant, refunds.c.reference_digest == digest)
    ).one_or_none()
    if known is not None:
        follow_seen(tx, keyring, caller, known, seen.status)
    elif seen.status != "failed" and not (seen.marks and seen.marks.tag in _open_tags(tx, keyring, caller, charge_id)):
        _adopt(tx, keyring, caller, charge, seen, digest)


def _open_tags(tx: Connection, keyring: Keyring, caller: Caller, charge_id: str) -> set[str]:
    """The tags of our own refunds whose outcome is open: their intent ends them, and the amount is counted already."""
    of_charge = and_(refunds.c.tenant_id == caller.tenant, refunds.c.charge_id == charge_id)
    ours = select(refunds.c.refund_id).where(of_charge, refunds.c.reference_digest.is_(None))
    return {intents.tag(keyring, caller.tenant, refund_id) for refund_id in tx.scalars(ours)}


def _adopt(
    tx: Connection,
    keyring: Keyring,
    caller: Caller,
    charge: Any,  # noqa: ANN401  # a row of charges
    seen: RefundSeen,
    digest: bytes,
) -> None:
    """Count a refund that was made there, never above what was taken: the reconciliation tells where we differ."""
    refund_id = new_id("rfd", caller.tenant)
    place = refund_place(keyring, caller.tenant, refund_id, 1)
    row = {
        "tenant_id": caller.tenant,
        "refund_id": refund_id,
        "charge_id": charge.charge_id,
        "state": seen.status,
        "amount": seen.amount,
        "origin": "processor",
        "reference_digest": digest,
        "retained": seal_value(keyring.tenant_key(caller.tenant, "retention"), {"reference": seen.reference}, place),
        "created_at": caller.at,
        "updated_at": caller.at,
    }
    clocks = {"next_look_at": LOOK_EVERY} if seen.status == "pending" else {}
    write(tx, inserted(refunds, row, if_absent=True, clocks=clocks))
    given = min(charge.amount_refunded + seen.amount, charge.amount_captured)
    this = and_(charges.c.tenant_id == caller.tenant, charges.c.charge_id == charge.charge_id)
    tx.execute(update(charges).where(this).values(amount_refunded=given))
    made = tx.execute(WITH_CHARGE.where(refunds.c.tenant_id == caller.tenant, refunds.c.refund_id == refund_id)).one()
    write(tx, event_of(caller, made, seen.status), recorded(tx, keyring, caller, made, "refund.made_elsewhere"))
