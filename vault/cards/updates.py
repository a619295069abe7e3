"""Stored cards that change at the processor: replaced by their issuer, or detached there. Our tokens follow."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, delete, select, update

from keys.errors import KeyDestroyed
from keys.keyring import Keyring
from rows.changes import write
from rows.conditions import of_row
from rows.engine import reading
from vault import audit
from vault.cards.deletion import unlink
from vault.cards.tokens import found_by, row_of_token, token_place, unsealed
from vault.desk import Desk
from vault.errors import Erased
from vault.events import raising
from vault.processing import references
from vault.processing.answers import Forgotten, Refused, Stored
from vault.processing.connecting import Connected
from vault.sealing import seal_value
from vault.tables import blind_index, processor_references, tokens


def token_of(records: Engine, keyring: Keyring, tenant: str, account_id: str, method: str) -> str | None:
    """The token that charges the payment method, None where these records know none."""
    digest = references.digest(keyring, tenant, account_id, method)
    named = and_(
        processor_references.c.tenant_id == tenant,
        processor_references.c.account_id == account_id,
        processor_references.c.reference_digest == digest,
    )
    with reading(records) as connection:
        found: str | None = connection.scalar(select(processor_references.c.owner_id).where(named))
    return found


def detached_there(desk: Desk, connected: Connected, token_id: str, method: str, refused: Refused) -> bool:
    """Whether a charge was refused because its payment method is detached at the processor. The token then is, here.

    Stripe has no code of its own for it (a 400, `invalid_request_error`), so the payment method is read, whatever the
    refusal of anything but the credentials says.
    """
    if refused.credentials or not follow(desk, connected, token_id, method):
        return False
    this = and_(tokens.c.tenant_id == desk.caller.tenant, tokens.c.token_id == token_id)
    with reading(desk.records) as connection:
        return connection.scalar(select(tokens.c.state).where(this)) == "detached"


def follow(desk: Desk, connected: Connected, token_id: str, method: str) -> bool:
    """Ask the processor for a token's payment method and let the token follow; whether it said."""
    seen = connected.processor.read_stored(connected.credentials, reference=method)
    if not isinstance(seen, Stored | Forgotten):
        return False
    try:
        with audit.transaction(desk.records) as tx:
            row = row_of_token(tx, desk.caller, token_id)
            if row.state == "active" and _is_charged(tx, desk.keyring, row, method):
                _follow(desk, tx, row, seen)
    except (Erased, KeyDestroyed):  # meanwhile: nothing is left that could follow
        return True
    return True


def _is_charged(tx: Connection, keyring: Keyring, row: Row[Any], method: str) -> bool:
    """Whether it still is this payment method: a renewal may have put another in its place while we asked."""
    kept = references.find(tx, row.tenant_id, row.token_id, row.account_id)
    digest = references.digest(keyring, row.tenant_id, row.account_id, method)
    return kept is not None and kept.reference_digest == digest


def _follow(desk: Desk, tx: Connection, row: Row[Any], seen: Stored | Forgotten) -> None:
    if isinstance(seen, Forgotten):
        _detach(desk, tx, row)
        return
    dek = desk.keyring.dek(desk.caller.tenant, row.dek_id)
    known = unsealed(desk.keyring, [row])[0].card
    if known is None or known == seen.card:
        return
    version = row.card_version + 1
    card = seal_value(dek, asdict(seen.card), token_place(desk.keyring, row, "card", version))
    changed = {"card": card, "card_version": version, "blocked_code": None}
    tx.execute(update(tokens).where(of_row(tokens, row)).values(changed))
    if seen.card.fingerprint is not None and seen.card.fingerprint != known.fingerprint:
        _index(tx, desk.keyring, row, seen.card.fingerprint)
    _tell(desk, tx, row, "updated", "active")


def _index(tx: Connection, keyring: Keyring, row: Row[Any], fingerprint: str) -> None:
    """Find it by the new card; where the customer stored that one too, the other token is the one that is found."""
    mine = and_(blind_index.c.tenant_id == row.tenant_id, blind_index.c.token_id == row.token_id)
    tx.execute(delete(blind_index).where(mine, blind_index.c.field == "fingerprint"))
    write(tx, found_by(keyring, row, fingerprint, live=row.live))


def _detach(desk: Desk, tx: Connection, row: Row[Any]) -> None:
    """Gone there, so it charges nothing here.

    Nothing of it goes to the ledger: a restored backup that has it active again only makes the processor refuse it.
    """
    unlink(tx, row)
    gone = {"state": "detached", "card": None, "metadata": None, "outcome": None}
    tx.execute(update(tokens).where(of_row(tokens, row)).values(gone))
    _tell(desk, tx, row, "detached", "detached")


def _tell(desk: Desk, tx: Connection, row: Row[Any], what: str, status: str) -> None:
    data = {"id": row.token_id, "object": "token", "customer": row.customer_id, "status": status}
    write(
        tx,
        raising.made(desk.caller, f"token.{what}", row.token_id, data),
        audit.entry(desk, tx, f"token.{what}", customer=row.customer_id, resource=row.token_id),
    )
