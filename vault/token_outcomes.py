"""What becomes of a token when the processor has answered: one transaction, which ends the intent.

It holds the customer against an erasure that begins meanwhile; where the customer is gone already, what the processor
stored is forgotten there instead. A twin of a card that the customer has is that token, renewed if its expiry is new.
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, select, update

from keys.blindindex import NORMALIZATION
from keys.database import reading
from keys.dek import Dek
from keys.keyring import Keyring
from vault import audit, customers, intents, references
from vault.caller import Caller
from vault.errors import Erased, ProcessorNotReached, ProcessorRefused
from vault.personal import CardMetadata
from vault.processing import Connected
from vault.processor import ActionRequired, Declined, NotFound, NotReached, Refused, Stored, StoreOutcome, Unknown
from vault.sealing import seal_value
from vault.statements import insert_if_absent, update_row
from vault.tables import blind_index
from vault.tables import tokens as token_table
from vault.tokens import (
    Token,
    fingerprint_digest,
    leave_to_forget,
    read,
    row_of_token,
    shown_fingerprint,
    token_place,
    unsealed,
)


class _Overtaken(Exception):
    """Another process ended the same storing first: nothing of ours is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Storing:
    """A storing under way: what its end needs. It has no card."""

    caller: Caller
    intent: intents.Intent | None
    """None where a person's authentication is taken up: the intent ended when it was asked for."""
    connected: Connected
    account_id: str
    kind: str
    token_id: str
    customer_id: str
    dek: Dek
    customer_reference: str | None = field(repr=False)
    usage: str
    metadata: dict[str, str] | None = field(repr=False)
    created_at: datetime
    outcome_version: int = 1
    """The version that the next sealed outcome gets."""
    is_shown: bool = False
    """Whether the client may have been told of the token before: its id then answers for good."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""
        return self.caller.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokenized:
    """The token, and how it came: `replayed` for a known idempotency key, `deduplicated` for a known card."""

    token: Token
    replayed: bool = False
    deduplicated: bool = False


def conclude(
    records: Engine, keyring: Keyring, storing: Storing, outcome: StoreOutcome | NotFound, opened: str | None
) -> Tokenized:
    """Write down what the processor answered. `opened` is the customer that it made on the way, if it did.

    Raises Erased, ProcessorRefused, ProcessorNotReached.
    """
    try:
        concluded: Tokenized = _CONCLUSIONS[type(outcome)](records, keyring, storing, outcome, opened)
    except Erased:
        _forget_instead(records, keyring, storing, outcome, opened)
        raise
    except _Overtaken:
        token = _as_it_is(records, keyring, storing)
        if token.status == "detached" and storing.intent is not None:  # deleted while its outcome was unknown
            _forget_instead(records, keyring, storing, outcome, opened)
        elif token.status == "failed" and isinstance(outcome, Stored):  # given up, and then it was stored after all
            _forget_instead(records, keyring, storing, outcome, None)
        return Tokenized(token=token)
    return concluded


def _keep(records: Engine, keyring: Keyring, storing: Storing, stored: Stored, opened: str | None) -> Tokenized:
    """The token becomes active, or the token that the customer has for the same card takes its place."""
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        if not _claim_card(tx, keyring, storing, stored):
            return Tokenized(token=_merge(tx, keyring, storing, stored), deduplicated=True)
        card = seal_value(storing.dek, asdict(stored.card), token_place(keyring, storing, "card", 1))
        _move(tx, storing, state="active", card=card, outcome=None)
        _insert_reference(tx, keyring, storing, storing.token_id, _reference_value(stored))
        _end(tx, keyring, storing, "token.create")
    return Tokenized(token=_token(keyring, storing, "active", card=stored.card))


def _await_person(
    records: Engine, keyring: Keyring, storing: Storing, outcome: ActionRequired, opened: str | None
) -> Tokenized:
    note = {"next_action": outcome.next_action, "reference": outcome.reference}
    _note(records, keyring, storing, "requires_action", note, opened)
    return Tokenized(token=_token(keyring, storing, "requires_action", next_action=outcome.next_action))


def _fail(records: Engine, keyring: Keyring, storing: Storing, outcome: Declined, opened: str | None) -> Tokenized:
    declined = {
        "code": outcome.code,
        "decline_code": outcome.decline_code,
        "advice_code": outcome.advice_code,
        "network_decline_code": outcome.network_decline_code,
    }
    _note(records, keyring, storing, "failed", {"declined": declined}, opened)
    return Tokenized(token=_token(keyring, storing, "failed", declined=declined))


def _refuse(records: Engine, keyring: Keyring, storing: Storing, outcome: Refused, opened: str | None) -> Tokenized:
    refused = {"code": outcome.code, "param": outcome.param}
    _note(records, keyring, storing, "failed", {"refused": refused}, opened)
    raise ProcessorRefused(outcome.code, outcome.param, credentials=outcome.credentials)


def _abandon(records: Engine, keyring: Keyring, storing: Storing, _outcome: NotFound, opened: str | None) -> Tokenized:
    declined = {"code": "abandoned", "decline_code": None, "advice_code": None, "network_decline_code": None}
    _note(records, keyring, storing, "failed", {"declined": declined}, opened)
    return Tokenized(token=_token(keyring, storing, "failed", declined=declined))


def _leave(records: Engine, keyring: Keyring, storing: Storing, _outcome: Unknown, opened: str | None) -> Tokenized:
    """Nobody knows: the token stays pending and the worker looks it up."""
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        if storing.intent is not None:
            intents.leave_to_worker(tx, storing.intent)
    return Tokenized(token=_as_it_is(records, keyring, storing))


def _take_back(
    records: Engine, keyring: Keyring, storing: Storing, outcome: NotReached, opened: str | None
) -> Tokenized:
    """Nothing happened: the same idempotency key may begin again."""
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        if storing.intent is not None:
            tx.execute(delete(token_table).where(*_waiting(storing)))
            intents.forget_attempt(tx, storing.intent)
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


def _hold_customer(tx: Connection, keyring: Keyring, storing: Storing, opened: str | None) -> None:
    """Hold the customer against an erasure, and keep the processor's name for it. Raises Erased."""
    customers.shared_row_of(tx, storing.caller, storing.customer_id)
    if opened is not None:
        _insert_reference(tx, keyring, storing, storing.customer_id, {"reference": opened})


def _note(
    records: Engine, keyring: Keyring, storing: Storing, state: str, note: dict[str, Any], opened: str | None
) -> None:
    version = storing.outcome_version
    sealed = seal_value(storing.dek, note, token_place(keyring, storing, "outcome", version))
    with audit.transaction(records) as tx:
        _hold_customer(tx, keyring, storing, opened)
        _move(tx, storing, state=state, outcome=sealed, outcome_version=version)
        _end(tx, keyring, storing, f"token.{state}")


def _move(tx: Connection, storing: Storing, **values: object) -> None:
    """Change the token while it waits for its outcome; only one process ends a storing."""
    key = {"tenant_id": storing.tenant_id, "token_id": storing.token_id}
    if not update_row(tx, token_table, key, values, _OPEN):
        raise _Overtaken


def _end(tx: Connection, keyring: Keyring, storing: Storing, action: str, token_id: str | None = None) -> None:
    if storing.intent is not None:
        intents.finish(tx, storing.intent, resource_id=token_id or storing.token_id)
    resource = token_id or storing.token_id
    audit.record(tx, keyring, storing.caller, action, customer=storing.customer_id, resource=resource)


def _claim_card(tx: Connection, keyring: Keyring, storing: Storing, stored: Stored) -> bool:
    """Whether this card is new for this customer; twins wait here for one another."""
    if stored.card.fingerprint is None:
        return True
    row = {
        "tenant_id": storing.tenant_id,
        "field": "fingerprint",
        "form": "raw",
        "digest": _fingerprint(keyring, storing, stored.card.fingerprint),
        "customer_id": storing.customer_id,
        "token_id": storing.token_id,
        "live": storing.caller.live,
        "key_id": keyring.tenant_key(storing.tenant_id, "index").id,
        "normalization": NORMALIZATION,
    }
    return insert_if_absent(tx, blind_index, row)


def _merge(tx: Connection, keyring: Keyring, storing: Storing, stored: Stored) -> Token:
    """Let the customer's token for this card stand for the new one: renewed where the processor says a new expiry."""
    row = _twin(tx, keyring, storing, stored)
    twin = unsealed(keyring, [row])[0]
    kept = references.find(tx, storing.tenant_id, row.token_id, storing.account_id)
    spare = stored.reference
    if kept is not None and _is_new(twin, stored.card):
        spare = references.open_with(keyring, storing.dek, kept)["reference"]
        _renew(tx, keyring, storing, row, kept, stored)
    _give_way(tx, storing)
    if kept is not None and spare != _reference_now(tx, keyring, storing, row.token_id):
        leave_to_forget(tx, keyring, storing.caller, row, [spare])
    _end(tx, keyring, storing, "token.deduplicate", row.token_id)
    return replace(twin, card=stored.card, status="active")


def _give_way(tx: Connection, storing: Storing) -> None:
    """Take the waiting token away; one whose id a client may hold stays, out of use."""
    waiting = _waiting(storing)
    gone = update(token_table).where(*waiting).values(state="detached", outcome=None)
    if tx.execute(gone if storing.is_shown else delete(token_table).where(*waiting)).rowcount != 1:
        raise _Overtaken


def _is_new(twin: Token, card: CardMetadata) -> bool:
    known = twin.card
    return known is None or (known.exp_month, known.exp_year) != (card.exp_month, card.exp_year)


def _renew(tx: Connection, keyring: Keyring, storing: Storing, row: Row[Any], kept: Row[Any], stored: Stored) -> None:
    version = row.card_version + 1
    card = seal_value(storing.dek, asdict(stored.card), token_place(keyring, row, "card", version))
    this = and_(token_table.c.tenant_id == row.tenant_id, token_table.c.token_id == row.token_id)
    tx.execute(update(token_table).where(this).values(card=card, card_version=version, state="active"))
    references.replace(tx, keyring, storing.dek, kept, _reference_value(stored))


def _twin(tx: Connection, keyring: Keyring, storing: Storing, stored: Stored) -> Row[Any]:
    """The row of the customer's token for the same card."""
    if stored.card.fingerprint is None:
        raise AssertionError("only a card with a fingerprint has a twin")
    this = and_(
        blind_index.c.tenant_id == storing.tenant_id,
        blind_index.c.live == storing.caller.live,
        blind_index.c.field == "fingerprint",
        blind_index.c.digest == _fingerprint(keyring, storing, stored.card.fingerprint),
    )
    return row_of_token(tx, storing.caller, tx.execute(select(blind_index.c.token_id).where(this)).scalar_one())


def _reference_now(tx: Connection, keyring: Keyring, storing: Storing, token_id: str) -> str | None:
    row = references.find(tx, storing.tenant_id, token_id, storing.account_id)
    return references.open_with(keyring, storing.dek, row)["reference"] if row else None


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


_OPEN = token_table.c.state.in_(("pending", "requires_action"))


def _waiting(storing: Storing) -> tuple[ColumnElement[bool], ...]:
    return (
        token_table.c.tenant_id == storing.tenant_id,
        token_table.c.token_id == storing.token_id,
        _OPEN,
    )


def _insert_reference(
    tx: Connection, keyring: Keyring, storing: Storing, owner: str, value: dict[str, str | None]
) -> None:
    references.keep(
        tx,
        keyring,
        storing.dek,
        tenant=storing.tenant_id,
        owner=owner,
        customer=storing.customer_id,
        account=storing.account_id,
        value=value,
        at=storing.caller.at,
    )


def _reference_value(stored: Stored) -> dict[str, str | None]:
    return {"reference": stored.reference, "network_transaction_id": stored.network_transaction_id}


def _fingerprint(keyring: Keyring, storing: Storing, fingerprint: str) -> bytes:
    return fingerprint_digest(keyring, storing.tenant_id, storing.customer_id, storing.account_id, fingerprint)


def _token(
    keyring: Keyring,
    storing: Storing,
    status: str,
    *,
    card: CardMetadata | None = None,
    next_action: dict[str, Any] | None = None,
    declined: dict[str, str | None] | None = None,
) -> Token:
    """The token as it was just written, without reading it again."""
    return Token(
        id=storing.token_id,
        customer=storing.customer_id,
        status=status,
        usage=storing.usage,
        processor=storing.kind,
        created_at=storing.created_at,
        card=card,
        fingerprint=shown_fingerprint(keyring, storing, card.fingerprint) if card else None,
        metadata=storing.metadata or {},
        next_action=next_action,
        declined=declined,
    )
