"""Open intents that a human takes in hand: looked at again at once, or ended on that human's word.

An intent that somebody works on just now is left to them until their lease is over. Who ends one takes its lease first,
under a word of its own, as the worker does.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, text, update

from rows.clock import database_clock
from rows.conditions import of_row
from rows.engine import reading, transaction
from vault import audit
from vault.desk import Desk
from vault.errors import VaultError
from vault.money.by_hand import ByHand
from vault.money.charge import charges, looking, steps
from vault.money.charge.outcomes import conclude
from vault.money.refund import listed, outcomes, refunds
from vault.processing.intents import Intent
from vault.recovering import open_intents, resolving
from vault.tables import intents as intent_table
from vault.tables.work import STILL_OPEN
from vault.workshop import Workshop, desk_of

REFUND = "refund.create"
INSTEAD: Mapping[str, str] = {
    "token.create": (
        "A stored card can't be settled by hand: nobody here would know the processor's name for it. "
        "Delete the token and have the card stored again; what the processor has of it is forgotten once it says so."
    ),
    "token.forget": (
        "What the processor is to forget can't be settled by hand: nothing here may claim it. "
        "Mend what keeps the processor from answering, then: panless intents retry."
    ),
    "contact.send": (
        "A contact that goes to the processor can't be settled by hand. "
        "Mend what keeps the processor from answering, then: panless intents retry."
    ),
}
"""What can't be ended on a human's word, and what to do instead."""


class NotByHand(VaultError):
    """Nothing was done with the intent; the message says why, and what to do."""


def retry(shop: Workshop, intent_id: str) -> None:
    """Have the worker look at an open intent again at once, as at the first time, on the record. Raises NotByHand."""
    row = _open(shop, intent_id)
    anew = {"state": "pending", "attempts": 0, "exceptions": 0}
    with audit.transaction(shop.records) as tx:
        if tx.execute(update(intent_table).where(_free(row)).values({**_DUE, **anew})).rowcount != 1:
            raise _held(shop, intent_id)
        audit.record(_desk(shop, row), tx, "intent.retry", resource=intent_id)


def settle(shop: Workshop, intent_id: str, said: ByHand) -> str:
    """End an open intent on a human's word, on the record and told; how what it was about stands now.

    What is said to have failed frees its obligation, or the amount that was to be given back. Raises NotByHand.
    """
    row = _open(shop, intent_id)
    if row.operation not in _ENDS:
        raise NotByHand(INSTEAD[row.operation])
    if not _details(shop, row):
        raise NotByHand("The customer's key is gone, under which the evidence would be kept. Retry it instead.")
    return _ENDS[row.operation](shop, _desk(shop, row), _taken(shop, row), said)


def evidence(shop: Workshop, intent_id: str) -> str | None:
    """By which evidence an intent was ended by hand, on the record; None where it was not or can't be read."""
    row = open_intents.find(shop.records, intent_id)
    if row is None or row.operation not in _ENDS:
        return None
    said = _details(shop, row).get("settled", {}).get(intent_id)
    if said is None:
        return None
    with audit.transaction(shop.records) as tx:
        whose = {"customer": row.customer_id, "resource": intent_id}
        audit.record(_desk(shop, row), tx, "intent.evidence_read", **whose)
    return str(said)


def _open(shop: Workshop, intent_id: str) -> Row[Any]:
    row = open_intents.find(shop.records, intent_id)
    if row is None or row.state == "done":
        raise NotByHand("There is no such open intent. See: panless intents list.")
    return row


def _desk(shop: Workshop, row: Row[Any]) -> Desk:
    return desk_of(shop, row.tenant_id, live=bool(row.live))


def _taken(shop: Workshop, row: Row[Any]) -> Intent:
    """The intent under a word of ours, whenever its next look was to be. Raises NotByHand while another works on it."""
    with transaction(shop.records) as tx:
        tx.execute(update(intent_table).where(_free(row)).values(_DUE))
    intent = resolving.take_up(shop, row)
    if intent is None:
        raise _held(shop, row.intent_id)
    return intent


def _held(shop: Workshop, intent_id: str) -> NotByHand:
    row = _open(shop, intent_id)
    return NotByHand(f"It is being worked on until {row.lease_until:%H:%M:%S} UTC at the latest. Try again after that.")


def _details(shop: Workshop, row: Row[Any]) -> Mapping[str, Any]:
    """What is kept of the intent's charge under its customer's key; empty where there is no such key any more."""
    desk, charge_id = _desk(shop, row), row.resource_id
    if row.operation == REFUND:
        charge_id = listed.read(desk, charge_id).charge
    with reading(desk.records) as connection:
        charge = charges.row_of_charge(connection, desk.caller, charge_id)
    return charges.unsealed_details(desk.keyring, charge)


def _end_charge(_: Workshop, desk: Desk, intent: Intent, said: ByHand) -> str:
    charging = looking.begun(desk, intent.resource_id, intent)
    charge = conclude(charging, said)
    return f"{charge.id} is {charge.status}"


def _end_step(_: Workshop, desk: Desk, intent: Intent, said: ByHand) -> str:
    charging = looking.begun(desk, intent.resource_id, intent)
    charge = steps.believe(charging, said)
    return f"{charge.id} is {charge.status}"


def _end_refund(shop: Workshop, desk: Desk, intent: Intent, said: ByHand) -> str:
    refunding = refunds.resume(desk, shop.processors, intent)
    refund = outcomes.conclude(refunding, said)
    return f"{refund.id} is {refund.status}"


_ENDS: Mapping[str, Callable[[Workshop, Desk, Intent, ByHand], str]] = {
    "charge.create": _end_charge,
    "charge.capture": _end_step,
    "charge.void": _end_step,
    "charge.abandon": _end_step,
    REFUND: _end_refund,
}
"""How each is ended. What else there is stands in `INSTEAD`."""


def _free(row: Row[Any]) -> ColumnElement[bool]:
    """The intent of this row, while it is open and nobody works on it."""
    return and_(of_row(intent_table, row), text(f"intents.{STILL_OPEN}"), ~open_intents.is_held())


_DUE = {"lease_until": database_clock(), "word": None}
