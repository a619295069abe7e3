"""Twins: a card that the customer has already. Its token stands for both, renewed where the expiry is later."""

from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, select, update

from rows.changes import Change, updated, write
from vault.cards.deletion import leave_to_forget
from vault.cards.storing import Overtaken, Storing, intent_ended, reference_value, told, waiting
from vault.cards.tokens import Token, fingerprint_digest, found_by, row_of_token, token_place, unsealed
from vault.personal import CardMetadata
from vault.processing import references
from vault.processing.answers import Stored
from vault.sealing import seal_value
from vault.tables import blind_index
from vault.tables import tokens as token_table


def claim_card(storing: Storing, tx: Connection, stored: Stored) -> bool:
    """Whether this card is new for this customer; twins wait here for one another."""
    return all(write(tx, *claim_on_card(storing, stored)))


def claim_on_card(storing: Storing, stored: Stored) -> list[Change]:
    """The index row that a customer's card has once; none for a card without a fingerprint."""
    if stored.card.fingerprint is None:
        return []
    return [found_by(storing.desk.keyring, storing, stored.card.fingerprint, live=storing.desk.caller.live)]


def merge(storing: Storing, tx: Connection, stored: Stored) -> Token:
    """Let the customer's token for this card stand for the new one, for all that either was agreed to be used for.

    What is charged is the copy with the later expiry; of two alike, the one that was stored for the wider use.
    """
    row = _twin(storing, tx, stored)
    twin = unsealed(storing.desk.keyring, [row])[0]
    kept = references.find(tx, storing.tenant_id, row.token_id, storing.account_id)
    usage = "off_session" if "off_session" in (row.usage, storing.usage) else row.usage
    changes = {"usage": usage} | _newer_metadata(storing, row)
    spare, card, blocked = stored.reference, twin.card or stored.card, twin.blocked
    if kept is not None and _replaces(twin, stored.card, wider=usage != row.usage):
        spare = references.open_with(storing.desk.keyring, storing.dek, kept)["reference"]
        references.replace(tx, storing.desk.keyring, storing.dek, kept, reference_value(stored))
        blocked = None if _is_later(twin, stored.card) else blocked
        card, changes = stored.card, changes | _renewed(storing, row, stored.card, blocked)
    if not all(write(tx, *intent_ended(storing, row.token_id))):
        raise Overtaken
    _give_way(tx, storing)
    this = {"tenant_id": row.tenant_id, "token_id": row.token_id}
    write(tx, updated(token_table, this, changes), *told(storing, tx, "token.deduplicate", row.token_id))
    if kept is not None and spare != _reference_now(storing, tx, row.token_id):
        leave_to_forget(storing.desk, tx, row, [spare])
    metadata = storing.metadata or twin.metadata
    return replace(twin, card=card, status="active", usage=usage, metadata=metadata, blocked=blocked)


def _give_way(tx: Connection, storing: Storing) -> None:
    """Take the waiting token away; one whose id a client may hold stays, out of use."""
    this = waiting(storing)
    gone = update(token_table).where(*this).values(state="detached", outcome=None)
    if tx.execute(gone if storing.is_shown else delete(token_table).where(*this)).rowcount != 1:
        raise Overtaken


def _replaces(twin: Token, card: CardMetadata, *, wider: bool) -> bool:
    """Whether the new copy is charged from now on. One that was typed with an older expiry never is."""
    return _is_later(twin, card) or (wider and twin.card is not None and _expiry(twin.card) == _expiry(card))


def _is_later(twin: Token, card: CardMetadata) -> bool:
    return twin.card is None or _expiry(card) > _expiry(twin.card)


def _expiry(card: CardMetadata) -> tuple[int, int]:
    return card.exp_year, card.exp_month


def _renewed(storing: Storing, row: Row[Any], card: CardMetadata, blocked: str | None) -> dict[str, Any]:
    version = row.card_version + 1
    sealed = seal_value(storing.dek, asdict(card), token_place(storing.desk.keyring, row, "card", version))
    return {"card": sealed, "card_version": version, "state": "active", "blocked_code": blocked}


def _newer_metadata(storing: Storing, row: Row[Any]) -> dict[str, Any]:
    """The newer one whole, in place of the one before; an order without any says nothing of it."""
    if not storing.metadata:
        return {}
    version = row.metadata_version + 1
    sealed = seal_value(storing.dek, storing.metadata, token_place(storing.desk.keyring, row, "metadata", version))
    return {"metadata": sealed, "metadata_version": version}


def _twin(storing: Storing, tx: Connection, stored: Stored) -> Row[Any]:
    """The row of the customer's token for the same card."""
    if stored.card.fingerprint is None:
        raise AssertionError("only a card with a fingerprint has a twin")
    this = and_(
        blind_index.c.tenant_id == storing.tenant_id,
        blind_index.c.live == storing.desk.caller.live,
        blind_index.c.field == "fingerprint",
        blind_index.c.digest == fingerprint_digest(storing.desk.keyring, storing, stored.card.fingerprint),
    )
    return row_of_token(tx, storing.desk.caller, tx.execute(select(blind_index.c.token_id).where(this)).scalar_one())


def _reference_now(storing: Storing, tx: Connection, token_id: str) -> str | None:
    row = references.find(tx, storing.tenant_id, token_id, storing.account_id)
    return references.open_with(storing.desk.keyring, storing.dek, row)["reference"] if row else None
