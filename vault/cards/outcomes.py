"""What becomes of a token when the processor has answered: one transaction, which ends the intent.

It holds the customer against an erasure that begins meanwhile; where the customer is gone already, what the processor
stored is forgotten there instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, delete

from rows.changes import Change, write
from rows.engine import reading
from vault import audit
from vault.cards.deletion import leave_to_forget
from vault.cards.storing import (
    Overtaken,
    Resealed,
    Storing,
    Tokenized,
    intent_ended,
    kept_reference,
    move,
    moved,
    reference_value,
    token_of,
    told,
    waiting,
)
from vault.cards.tokens import Token, read, token_place
from vault.cards.twins import claim_card, claim_on_card, merge
from vault.errors import Erased, ProcessorNotReached, ProcessorRefused
from vault.people import contacts, customer_rows
from vault.processing import intents, references
from vault.processing.answers import (
    ActionRequired,
    Declined,
    NotFound,
    NotReached,
    Refused,
    Stored,
    StoreOutcome,
    Unknown,
)
from vault.sealing import seal_value
from vault.tables import tokens as token_table


def conclude(storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None) -> Tokenized:
    """Write down what the processor answered. `opened` is the customer that it made on the way, if it did.

    Raises Erased, ProcessorRefused, ProcessorNotReached.
    """
    try:
        return _concluded(storing, outcome, opened)
    except Resealed as resealed:
        dek = storing.desk.keyring.dek(storing.tenant_id, resealed.dek_id)
        return conclude(replace(storing, dek=dek), outcome, opened)
    except Erased:
        _forget_instead(storing, outcome, opened)
        raise
    except Overtaken:
        token = _as_it_is(storing)
        if token.status == "detached" and storing.intent is not None:  # deleted while its outcome was unknown
            _forget_instead(storing, outcome, opened)
        elif token.status == "failed" and isinstance(outcome, Stored):  # given up, and then it was stored after all
            _forget_instead(storing, outcome, None)
        return Tokenized(token=token)


def _concluded(storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None) -> Tokenized:  # noqa: PLR0911  # one an outcome
    match outcome:
        case Stored():
            return _keep(storing, outcome, opened)
        case ActionRequired():
            return _await_person(storing, outcome, opened)
        case Declined():
            return _fail(storing, outcome, opened)
        case Refused():
            return _refuse(storing, outcome, opened)
        case NotFound():
            return _abandon(storing, opened)
        case Unknown():
            return _leave(storing, opened)
        case NotReached():
            return _take_back(storing, outcome, opened)


def _keep(storing: Storing, stored: Stored, opened: str | None) -> Tokenized:
    """The token becomes active, or the token that the customer has for the same card takes its place."""
    card = seal_value(storing.dek, asdict(stored.card), token_place(storing.desk.keyring, storing, "card", 1))
    active = moved(storing, {"state": "active", "card": card, "outcome": None})
    reference = kept_reference(storing, storing.token_id, reference_value(stored))
    claim = claim_on_card(storing, stored)

    def changes(tx: Connection) -> Sequence[Change]:
        its_customer = [] if opened is None else [_kept_customer(storing, opened)]
        its_end = intent_ended(storing, storing.token_id)
        return [*claim, active, reference, *its_customer, *its_end, *told(storing, tx, "token.create")]

    token = token_of(storing, "active", card=stored.card)
    held = customer_rows.held(storing.desk.caller, storing.customer_id, storing.dek.id, storing.contact_version)
    if audit.write_whole(storing.desk.records, lambda tx: [held, *changes(tx)]):
        return Tokenized(token=token)
    # The customer is gone, corrected, or known there with this card.
    with audit.transaction(storing.desk.records) as tx:
        contact_version = _hold_customer(storing, tx, opened)
        if deduplicated := not claim_card(storing, tx, stored):
            token = merge(storing, tx, stored)
        else:
            move(tx, storing, active, reference, *told(storing, tx, "token.create"))
        if contact_version != storing.contact_version:  # corrected meanwhile: this card has the one from before
            contacts.pass_on(storing.desk, tx, storing.customer_id)
    return Tokenized(token=token, deduplicated=deduplicated)


def _await_person(storing: Storing, outcome: ActionRequired, opened: str | None) -> Tokenized:
    note = {"next_action": outcome.next_action, "reference": outcome.reference}
    setup = references.digest(storing.desk.keyring, storing.tenant_id, storing.account_id, outcome.reference)
    _note(storing, "requires_action", note, opened, {"setup_digest": setup})
    return Tokenized(token=token_of(storing, "requires_action", next_action=outcome.next_action))


def _fail(storing: Storing, outcome: Declined, opened: str | None) -> Tokenized:
    declined = {
        "code": outcome.code,
        "decline_code": outcome.decline_code,
        "advice_code": outcome.advice_code,
        "network_decline_code": outcome.network_decline_code,
    }
    _note(storing, "failed", {"declined": declined}, opened)
    return Tokenized(token=token_of(storing, "failed", declined=declined))


def _refuse(storing: Storing, outcome: Refused, opened: str | None) -> Tokenized:
    refused = {"code": outcome.code, "param": outcome.param}
    _note(storing, "failed", {"refused": refused}, opened)
    raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)


def _abandon(storing: Storing, opened: str | None) -> Tokenized:
    """It was not stored and won't be: no fault of the card, so it may be stored anew under another key."""
    refused = {"code": "never_stored", "param": None}
    _note(storing, "failed", {"refused": refused}, opened)
    return Tokenized(token=token_of(storing, "failed"))


def _leave(storing: Storing, opened: str | None) -> Tokenized:
    """Nobody knows: the token stays pending and the worker looks it up."""
    with audit.transaction(storing.desk.records) as tx:
        _hold_customer(storing, tx, opened)
        if storing.intent is not None and not intents.leave_to_worker(tx, storing.intent):
            raise Overtaken
    return Tokenized(token=_as_it_is(storing))


def _take_back(storing: Storing, outcome: NotReached, opened: str | None) -> Tokenized:
    """Nothing happened: the same idempotency key may begin again."""
    with audit.transaction(storing.desk.records) as tx:
        _hold_customer(storing, tx, opened)
        if storing.intent is not None:
            if not intents.forget_attempt(tx, storing.intent):
                raise Overtaken
            tx.execute(delete(token_table).where(*waiting(storing)))
    raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was stored. Try again.")


def _hold_customer(storing: Storing, tx: Connection, opened: str | None) -> int:
    """Hold the customer against an erasure, and keep the processor's name for it; the version of its contact.

    Raises Erased, Resealed.
    """
    customer = customer_rows.shared_row_of(tx, storing.desk.caller, storing.customer_id)
    if customer.dek_id != storing.dek.id:
        raise Resealed(customer.dek_id)
    if opened is not None:
        write(tx, _kept_customer(storing, opened))
    version: int = customer.contact_version
    return version


def _kept_customer(storing: Storing, opened: str) -> Change:
    return kept_reference(storing, storing.customer_id, {"reference": opened})


def _note(
    storing: Storing, state: str, note: dict[str, Any], opened: str | None, also: dict[str, Any] | None = None
) -> None:
    version = storing.outcome_version
    sealed = seal_value(storing.dek, note, token_place(storing.desk.keyring, storing, "outcome", version))
    with audit.transaction(storing.desk.records) as tx:
        _hold_customer(storing, tx, opened)
        noted = {"state": state, "outcome": sealed, "outcome_version": version, **(also or {})}
        move(tx, storing, moved(storing, noted), *told(storing, tx, f"token.{state}"))


def _forget_instead(storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None) -> None:
    """Customer or token are gone: have the worker tell the processor to forget what it stored meanwhile.

    Where nobody knows what that is, the intent stays open, and the worker looks for it by our tags.
    """
    stored = outcome.reference if isinstance(outcome, Stored) else None
    with audit.transaction(storing.desk.records) as tx:
        if storing.intent is not None and isinstance(outcome, Unknown):
            intents.leave_to_worker(tx, storing.intent)
        elif storing.intent is not None:
            intents.finish(tx, storing.intent)
        if stored or opened:
            leave_to_forget(storing.desk, tx, storing, [stored] if stored else [], opened)
        audit.record(storing.desk, tx, "token.discard", customer=storing.customer_id)


def _as_it_is(storing: Storing) -> Token:
    """The token that this storing ended in, whoever ended it."""
    token_id = storing.token_id
    if storing.intent is not None:
        with reading(storing.desk.records) as connection:
            token_id = intents.resource_of(connection, storing.intent)
    return read(storing.desk, token_id)
