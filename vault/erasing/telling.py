"""Telling processors of an erasure: each deletes what it has of the person, and is asked until it says that it did.

Only the processor's own word that something is gone makes it `erased` or `already_gone`. What it does not find is
`not_found`, no more: a day after the erasure was decided, and at an account that is proven to be the one that had it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row

from keys.dek import Dek
from vault.caller import Caller
from vault.desk import Desk
from vault.erasing import recipients
from vault.erasing.recipients import Answer
from vault.errors import NotUsable
from vault.processing import intents
from vault.processing.answers import CustomerOpened, Failure, Forgotten, Held, NotFound, Refused
from vault.processing.connecting import Connected, Processors, connect

FINAL = frozenset({"erased", "already_gone", "not_found"})
SUBSCRIPTIONS, CREDENTIALS, PROCESSOR, PROOF, SEARCH, HUMAN = (
    "subscriptions",
    "credentials",
    "processor",
    "proof",
    "search",
    "human",
)
"""What a recipient waits for: a word on subscriptions that end with the customer, a key that the processor takes, a
processor that this deployment lacks, a proof of whose account it is, an index that is up to date, somebody who looks
why it refuses. Without any of these it waits for an answer."""

NAME, TAG = "name", "tag"
"""By what it was looked for: the processor's own name for it, or our tag, where a restore lost the name."""

SURE_AFTER = timedelta(days=1)
"""How long after an erasure was decided what was made before it is certainly found, whatever index was behind."""


@dataclass(frozen=True, slots=True)
class Said:
    """What became of telling one recipient: one of FINAL, or `pending` and what it waits for."""

    result: str = "pending"
    waits_for: str | None = None
    looked_for: str | None = None


def tell(desk: Desk, processors: Processors, erasure: Row[Any], listed: Sequence[Row[Any]]) -> dict[str, Answer]:
    """Tell every processor whose turn it is and that has not answered; what each says, by recipient.

    Who has not answered is asked again later, each time later. Nothing is written yet.
    """
    pending = [row for row in listed if row.result == "pending"]
    due = [row for row in pending if row.next_attempt_at <= desk.caller.at]
    if not due:
        return {}
    sealed = any(row.reference is not None for row in pending)
    dek = desk.keyring.dek(erasure.tenant_id, erasure.dek_id) if sealed else None
    telling = _Telling(desk=desk, processors=processors, erasure=erasure, dek=dek)
    waits = {} if erasure.cancel_subscriptions else _waits(telling, pending)
    said = {row.recipient_id: waits.get(row.account_id) or _tell(telling, row) for row in due}
    return {row.recipient_id: _answer(desk.caller, row, said[row.recipient_id]) for row in due}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    desk: Desk
    processors: Processors
    erasure: Row[Any]
    dek: Dek | None


def _waits(telling: _Telling, pending: Sequence[Row[Any]]) -> dict[str, Said]:
    """What each account waits for before anything is deleted there, cards too: a subscription needs its card."""
    people = [row for row in pending if row.what == "customer"]
    found = {row.account_id: _holds(telling, row) for row in people}
    return {account_id: said for account_id, said in found.items() if said}


def _holds(telling: _Telling, row: Row[Any]) -> Said | None:
    """What is in the way: subscriptions, or that the processor does not say. None where nothing is."""
    connected = _connected(telling, row)
    if connected is None:
        return Said(waits_for=PROCESSOR)
    named = _named(telling, connected, row)
    if isinstance(named, str):
        met = connected.processor.held(connected.credentials, customer_reference=named)
        if isinstance(met, Held):
            return Said(waits_for=SUBSCRIPTIONS) if met.subscriptions else None
        named = met
    said = _said(telling, row, named)
    return None if said.result in FINAL else said


def _tell(telling: _Telling, row: Row[Any]) -> Said:
    connected = _connected(telling, row)
    if connected is None:
        return Said(waits_for=PROCESSOR)
    named = _named(telling, connected, row)
    if not isinstance(named, str):
        return _said(telling, row, named)
    key = f"panless-{telling.erasure.erasure_id}-{row.recipient_id}"
    return _said(telling, row, _forget(connected, row.what, named, key))


def _connected(telling: _Telling, row: Row[Any]) -> Connected | None:
    """The account; None where this deployment can't reach it now: it stays on the list."""
    try:
        return connect(telling.processors, telling.desk.keyring, telling.erasure.tenant_id, row)
    except NotUsable:
        return None


def _named(telling: _Telling, connected: Connected, row: Row[Any]) -> str | NotFound | Failure:
    """The processor's name for it. After a restore that lost it, the customer is found there by our tag."""
    if row.reference is not None and telling.dek is not None:
        return recipients.open_reference(telling.desk.keyring, telling.dek, row)["reference"]
    tag = intents.tag(telling.desk.keyring, telling.erasure.tenant_id, telling.erasure.customer_id)
    found = connected.processor.search_customer(connected.credentials, tag=tag)
    return found.customer_reference if isinstance(found, CustomerOpened) else found


def _forget(connected: Connected, what: str, reference: str, key: str) -> Forgotten | NotFound | Failure:
    processor, credentials = connected.processor, connected.credentials
    if what == "customer":
        return processor.forget_customer(credentials, customer_reference=reference, key=key)
    return processor.forget(credentials, reference=reference, key=key)


def _said(telling: _Telling, row: Row[Any], met: Forgotten | NotFound | Failure) -> Said:
    match met:
        case Forgotten(already=True):
            return Said("already_gone")
        case Forgotten():
            return Said("erased")
        case NotFound():
            return _not_found(telling, row)
        case Refused():
            return Said(waits_for=CREDENTIALS if met.credentials else HUMAN)
        case _:
            return Said(waits_for=row.waits_for)


def _not_found(telling: _Telling, row: Row[Any]) -> Said:
    """Another account's key is told the same, and an index lags behind: neither proves anything."""
    if row.proven_at is None:
        return Said(waits_for=PROOF)
    if telling.desk.caller.at < telling.erasure.requested_at + SURE_AFTER:
        return Said(waits_for=SEARCH)
    return Said("not_found", looked_for=TAG if row.reference is None else NAME)


def _answer(caller: Caller, row: Row[Any], said: Said) -> Answer:
    if said.result in FINAL:
        return recipients.answered(caller, row, said.result, said.looked_for)
    again = caller.at + recipients.pause(row.attempts)
    return {"attempts": row.attempts + 1, "next_attempt_at": again, "waits_for": said.waits_for}
