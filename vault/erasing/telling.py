"""Telling processors of an erasure: each deletes what it has of the person, and is asked until it says that it did."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row

from keys.dek import Dek
from keys.keyring import Keyring
from vault.caller import Caller
from vault.erasing import recipients
from vault.erasing.recipients import Answer
from vault.errors import NotUsable
from vault.processing import intents
from vault.processing.processing import Connected, Processors, connect
from vault.processing.processor_answers import CustomerOpened, Failure, Forgotten, Held, NotFound

FINAL = frozenset({"erased", "already_gone"})
SUBSCRIPTIONS = "subscriptions"
"""What a recipient waits for where deleting the customer would cancel subscriptions that nobody spoke of."""


def tell(
    keyring: Keyring, processors: Processors, caller: Caller, erasure: Row[Any], listed: Sequence[Row[Any]]
) -> dict[str, Answer]:
    """Tell every processor whose turn it is and that has not answered; what each says, by recipient.

    Who has not answered is asked again later, each time later. Nothing is written yet.
    """
    pending = [row for row in listed if row.result == "pending"]
    due = [row for row in pending if row.next_attempt_at <= caller.at]
    if not due:
        return {}
    sealed = any(row.reference is not None for row in pending)
    dek = keyring.dek(erasure.tenant_id, erasure.dek_id) if sealed else None
    waits = {} if erasure.cancel_subscriptions else _waits(keyring, processors, erasure, pending, dek)
    met = {row.recipient_id: waits.get(row.account_id) or _tell(keyring, processors, erasure, row, dek) for row in due}
    return {row.recipient_id: _answer(caller, row, met[row.recipient_id]) for row in due}


def _waits(
    keyring: Keyring, processors: Processors, erasure: Row[Any], pending: Sequence[Row[Any]], dek: Dek | None
) -> dict[str, str]:
    """What each account waits for before anything is deleted there, cards too: a subscription needs its card."""
    people = [row for row in pending if row.what == "customer"]
    found = {row.account_id: _holds(keyring, processors, erasure, row, dek) for row in people}
    return {account_id: why for account_id, why in found.items() if why}


def _holds(keyring: Keyring, processors: Processors, erasure: Row[Any], row: Row[Any], dek: Dek | None) -> str | None:
    """SUBSCRIPTIONS, or `pending` where the processor can't say now."""
    try:
        connected = connect(processors, keyring, erasure.tenant_id, row)
    except NotUsable:
        return "pending"
    reference = _reference(keyring, connected, erasure, row, dek)
    if not isinstance(reference, str):
        return None if isinstance(reference, NotFound) else "pending"
    held = connected.processor.held(connected.credentials, customer_reference=reference)
    if not isinstance(held, Held):
        return "pending"
    return SUBSCRIPTIONS if held.subscriptions else None


def _tell(keyring: Keyring, processors: Processors, erasure: Row[Any], row: Row[Any], dek: Dek | None) -> str:
    """One of FINAL, or `pending`."""
    try:
        connected = connect(processors, keyring, erasure.tenant_id, row)
    except NotUsable:  # this deployment can't reach that account now; it stays on the list
        return "pending"
    reference = _reference(keyring, connected, erasure, row, dek)
    if not isinstance(reference, str):
        return "already_gone" if isinstance(reference, NotFound) else "pending"
    outcome = _forget(connected, row.what, reference, f"panless-{erasure.erasure_id}-{row.recipient_id}")
    if not isinstance(outcome, Forgotten):
        return "pending"
    return "already_gone" if outcome.already else "erased"


def _reference(
    keyring: Keyring, connected: Connected, erasure: Row[Any], row: Row[Any], dek: Dek | None
) -> str | NotFound | Failure:
    """The processor's name for it. After a restore that lost it, the customer is found there by our tag."""
    if row.reference is not None and dek is not None:
        return recipients.open_reference(keyring, dek, row)["reference"]
    tag = intents.tag(keyring, erasure.tenant_id, erasure.customer_id)
    found = connected.processor.search_customer(connected.credentials, tag=tag)
    return found.customer_reference if isinstance(found, CustomerOpened) else found


def _forget(connected: Connected, what: str, reference: str, key: str) -> object:
    processor, credentials = connected.processor, connected.credentials
    if what == "customer":
        return processor.forget_customer(credentials, customer_reference=reference, key=key)
    return processor.forget(credentials, reference=reference, key=key)


def _answer(caller: Caller, row: Row[Any], result: str) -> Answer:
    if result in FINAL:
        return recipients.answered(caller, row, result)
    waits_for = result if result != "pending" else None
    again = caller.at + recipients.pause(row.attempts)
    return {"attempts": row.attempts + 1, "next_attempt_at": again, "waits_for": waits_for}
