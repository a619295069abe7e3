"""Twins: a card that the customer has already. Its token stands for both, renewed where the expiry is new."""

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, select, update

from keys.blindindex import NORMALIZATION
from keys.keyring import Keyring
from vault.cards.storing import Overtaken, Storing, intent_ended, reference_value, told, waiting
from vault.cards.tokens import Token, fingerprint_digest, leave_to_forget, row_of_token, token_place, unsealed
from vault.personal import CardMetadata
from vault.processing import references
from vault.processing.processor_answers import Stored
from vault.sealing import seal_value
from vault.statements import Change, inserted, write
from vault.tables import blind_index
from vault.tables import tokens as token_table


def claim_card(tx: Connection, keyring: Keyring, storing: Storing, stored: Stored) -> bool:
    """Whether this card is new for this customer; twins wait here for one another."""
    return all(write(tx, *claim_on_card(keyring, storing, stored)))


def claim_on_card(keyring: Keyring, storing: Storing, stored: Stored) -> list[Change]:
    """The index row that a customer's card has once; none for a card without a fingerprint."""
    if stored.card.fingerprint is None:
        return []
    row = {
        "tenant_id": storing.tenant_id,
        "field": "fingerprint",
        "form": "raw",
        "digest": _fingerprint(keyring, storing, stored.card.fingerprint),
        "customer_id": storing.customer_id,
        "token_id": storing.token_id,
        "live": storing.caller.live,
        "key_id": keyring.tenant_key(storing.tenant_id, "processor_key").id,
        "normalization": NORMALIZATION,
    }
    return [inserted(blind_index, row, if_absent=True)]


def merge(tx: Connection, keyring: Keyring, storing: Storing, stored: Stored) -> Token:
    """Let the customer's token for this card stand for the new one: renewed where the processor says a new expiry."""
    row = _twin(tx, keyring, storing, stored)
    twin = unsealed(keyring, [row])[0]
    kept = references.find(tx, storing.tenant_id, row.token_id, storing.account_id)
    spare, blocked = stored.reference, twin.blocked
    if kept is not None and _is_new(twin, stored.card):
        blocked = None
        spare = references.open_with(keyring, storing.dek, kept)["reference"]
        _renew(tx, keyring, storing, row, kept, stored)
    if not all(write(tx, *intent_ended(storing, row.token_id))):
        raise Overtaken
    _give_way(tx, storing)
    if kept is not None and spare != _reference_now(tx, keyring, storing, row.token_id):
        leave_to_forget(tx, keyring, storing.caller, row, [spare])
    write(tx, *told(tx, keyring, storing, "token.deduplicate", row.token_id))
    return replace(twin, card=stored.card, status="active", blocked=blocked)


def _give_way(tx: Connection, storing: Storing) -> None:
    """Take the waiting token away; one whose id a client may hold stays, out of use."""
    this = waiting(storing)
    gone = update(token_table).where(*this).values(state="detached", outcome=None)
    if tx.execute(gone if storing.is_shown else delete(token_table).where(*this)).rowcount != 1:
        raise Overtaken


def _is_new(twin: Token, card: CardMetadata) -> bool:
    known = twin.card
    return known is None or (known.exp_month, known.exp_year) != (card.exp_month, card.exp_year)


def _renew(tx: Connection, keyring: Keyring, storing: Storing, row: Row[Any], kept: Row[Any], stored: Stored) -> None:
    version = row.card_version + 1
    card = seal_value(storing.dek, asdict(stored.card), token_place(keyring, row, "card", version))
    this = and_(token_table.c.tenant_id == row.tenant_id, token_table.c.token_id == row.token_id)
    tx.execute(
        update(token_table).where(this).values(card=card, card_version=version, state="active", blocked_code=None)
    )
    references.replace(tx, keyring, storing.dek, kept, reference_value(stored))


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


def _fingerprint(keyring: Keyring, storing: Storing, fingerprint: str) -> bytes:
    return fingerprint_digest(keyring, storing.tenant_id, storing.customer_id, storing.account_id, fingerprint)
