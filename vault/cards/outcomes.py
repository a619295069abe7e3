"""What becomes of a token when the processor has answered: one transaction, which ends the intent.

It holds the customer against an erasure that begins meanwhile; where the customer is gone already, what the processor
stored is forgotten there instead.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Engine, delete

from keys.database import reading
from keys.keyring import Keyring
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
from vault.statements import Change, write
from vault.tables import tokens as token_table


def conclude(
    records: Engine, keyring: Keyring, storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None
) -> Tokenized:
    """Write down what the processor answered. `opened` is the customer that it made on the way, if it did.

    Raises Erased, ProcessorRefused, ProcessorNotReached.
    """
    try:
        concluded: Tokenized = _CONCLUSIONS[type(outcome)](records, keyring, storing, outcome, opened)
    except Resealed as resealed:
        dek = keyring.dek(storing.tenant_id, resealed.dek_id)
        return conclude(records, keyring, replace(storing, dek=dek), outcome, opened)
    except Erased:
        _forget_instead(records, keyring, storing, outcome, opened)
        raise
    except Overtaken:
        token = _as_it_is(records, keyring, storing)
        if token.status == "detached" and storing.intent is not None:  # deleted while its outcome was unknown
            _forget_instead(records, keyring, storing, outcome, opened)
        elif token.status == "failed" and isinstance(outcome, Stored):  # given up, and then it was stored after all
            _forget_instead(records, keyring, storing, outcome, None)
        return Tokenized(token=token)
    return concluded


def _keep(records: Engine, keyring: Keyring, storing: Storing, stored: Stored, opened: str | None) -> Tokenized:
    """The token becomes active, or the token that the customer has for the same card takes its place."""
    card = seal_value(storing.dek, asdict(stored.card), token_place(keyring, storing, "card", 1))
    active = moved(storing, {"state": "active", "card": card, "outcome": None})
    reference = kept_reference(keyring, storing, storing.token_id, reference_value(stored))
    claim = claim_on_card(keyring, storing, stored)

    def changes(tx: Connection) -> Sequence[Change]:
        its_customer = [] if opened is None else [_kept_customer(keyring, storing, opened)]
        its_end = intent_ended(storing, storing.token_id)
        return [*claim, active, reference, *its_customer, *its_end, *told(tx, keyring, storing, "token.create")]

    token = token_of(keyring, storing, "active", card=stored.card)
    held = customer_rows.held(storing.caller, storing.customer_id, storing.dek.id, storing.contact_version)
    if audit.write_whole(records, lambda tx: [held, *changes(tx)]):
        return Tokenized(token=token)
    with audit.transaction(records) as tx:  # the customer is gone, corrected, or known there with this card
        contact_version = _hold_customer(tx, keyring, storing, opened)
        if deduplicated := not claim_card(tx, keyring, storing, stored):
            token = merge(tx, keyring, storing, stored)
        else:
            move(tx, storing, active, reference, *told(tx, keyring, storing, "token.create"))
        if contact_version != storing.contact_version:  # corrected meanwhile: this card has the one from before
            contacts.pass_on(tx, keyring, storing.caller, storing.customer_id)
    return Tokenized(token=token, deduplicated=deduplicated)


def _await_person(
    records: Engine, keyring: Keyring, storing: Storing, outcome: ActionRequired, opened: str | None
) -> Tokenized:
    note = {"next_action": outcome.next_action, "reference": outcome.reference}
    setup = references.digest(keyring, storing.tenant_id, storing.account_id, outcome.reference)
    _note(records, keyring, storing, "requires_action", note, opened, {"setup_digest": setup})
    return Tokenized(token=token_of(keyring, storing, "requires_action", next_action=outcome.next_action))


def _fail(records: Engine, keyring: Keyring, storing: Storing, outcome: Declined, opened: str | None) -> Tokenized:
    declined = {
        "code": outcome.code,
        "decline_code": outcome.decline_code,
        "advice_code": outcome.advice_code,
        "network_decline_code": outcome.network_decline_code,
    }
    _note(records, keyring, storing, "failed", {"declined": declined}, opened)
    return Tokenized(token=token_of(keyring, storing, "failed", declined=declined))


def _refuse(records: Engine, keyring: Keyring, storing: Storing, outcome: Refused, opened: str | None) -> Tokenized:
    refused = {"code": outcome.code, "param": outcome.param}
    _note(records, keyring, storing, "failed", {"refused": refused}, opened)
    raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)


def _abandon(records: Engine, keyring: Keyring, storing: Storing, _outcome: NotFound, opened: str | None) -> Tokenized:
    """It was not stored and won't be: no fault of the card, so it may be stored anew under another key."""
    refused = {"code": "never_stored", "param": None}
    _note(records, keyring, storing, "failed", {"refused": refused}, opened)
    return Tokenized(token=token_of(keyring, storing, "failed"))


def _leave(records: Engine, keyring: Keyring, storing: Storing, _outcome: Unknown, opened: str | None) -> Tokenized:
    """Nobody knows: the token stays pending and the worker looks it up."""
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        if storing.intent is not None and not intents.leave_to_worker(tx, storing.intent):
            raise Overtaken
    return Tokenized(token=_as_it_is(records, keyring, storing))


def _take_back(
    records: Engine, keyring: Keyring, storing: Storing, outcome: NotReached, opened: str | None
) -> Tokenized:
    """Nothing happened: the same idempotency key may begin again."""
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        if storing.intent is not None:
            if not intents.forget_attempt(tx, storing.intent):
                raise Overtaken
            tx.execute(delete(token_table).where(*waiting(storing)))
    raise ProcessorNotReached(f"The processor was not reached ({outcome.reason}); nothing was stored. Try again.")


_CONCLUSIONS: dict[type, Any] = {
    Stored: _keep,
    ActionRequired: _await_person,
    Declined: _fail,
    Refused: _refuse,
    NotFound: _abandon,
    Unknown: _leave,
    NotReached: _take_back,
}


def _hold_customer(tx: Connection, keyring: Keyring, storing: Storing, opened: str | None) -> int:
    """Hold the customer against an erasure, and keep the processor's name for it; the version of its contact.

    Raises Erased, Resealed.
    """
    customer = customer_rows.shared_row_of(tx, storing.caller, storing.customer_id)
    if customer.dek_id != storing.dek.id:
        raise Resealed(customer.dek_id)
    if opened is not None:
        write(tx, _kept_customer(keyring, storing, opened))
    version: int = customer.contact_version
    return version


def _kept_customer(keyring: Keyring, storing: Storing, opened: str) -> Change:
    return kept_reference(keyring, storing, storing.customer_id, {"reference": opened})


def _note(
    records: Engine,
    keyring: Keyring,
    storing: Storing,
    state: str,
    note: dict[str, Any],
    opened: str | None,
    also: dict[str, Any] | None = None,
) -> None:
    version = storing.outcome_version
    sealed = seal_value(storing.dek, note, token_place(keyring, storing, "outcome", version))
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        noted = {"state": state, "outcome": sealed, "outcome_version": version, **(also or {})}
        move(tx, storing, moved(storing, noted), *told(tx, keyring, storing, f"token.{state}"))


def _forget_instead(
    records: Engine, keyring: Keyring, storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None
) -> None:
    """Customer or token are gone: have the worker tell the processor to forget what it stored meanwhile.

    Where nobody knows what that is, the intent stays open, and the worker looks for it by our tags.
    """
    stored = outcome.reference if isinstance(outcome, Stored) else None
    with audit.transaction(records) as tx:
        if storing.intent is not None and isinstance(outcome, Unknown):
            intents.leave_to_worker(tx, storing.intent)
        elif storing.intent is not None:
            intents.finish(tx, storing.intent)
        if stored or opened:
            leave_to_forget(tx, keyring, storing.caller, storing, [stored] if stored else [], opened)
        audit.record(tx, keyring, storing.caller, "token.discard", customer=storing.customer_id)


def _as_it_is(records: Engine, keyring: Keyring, storing: Storing) -> Token:
    """The token that this storing ended in, whoever ended it."""
    token_id = storing.token_id
    if storing.intent is not None:
        with reading(records) as connection:
            token_id = intents.resource_of(connection, storing.intent)
    return read(records, keyring, storing.caller, token_id)
