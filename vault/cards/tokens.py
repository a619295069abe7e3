"""Tokens, which clients hold for stored cards: reading and listing.

`tokenizing.py` makes them, `deletion.py` takes them out of use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from keys.blindindex import NORMALIZATION, digest, label
from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of
from keys.errors import KeyDestroyed
from keys.keyring import Keyring
from rows.changes import Change, inserted
from rows.conditions import given, together
from rows.engine import reading
from rows.prepared import Prepared
from vault import cursors
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Erased, NotFoundHere
from vault.ids import base32
from vault.people.customer_rows import row_of
from vault.personal import CardMetadata
from vault.sealing import place_of, unseal_value
from vault.tables import LOST, blind_index, customers, processor_accounts, tokens

STORED = tokens.c.state.not_in(("failed", LOST))


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A stored card as its clients see it. `card` is None while it is not stored, or no longer."""

    id: str
    customer: str
    status: str
    usage: str
    processor: str
    created_at: datetime
    card: CardMetadata | None = field(default=None, repr=False)
    fingerprint: str | None = None
    metadata: dict[str, str] = field(default_factory=dict, repr=False)
    next_action: dict[str, Any] | None = field(default=None, repr=False)
    declined: dict[str, str | None] | None = field(default=None, repr=False)
    refused: dict[str, str | None] | None = field(default=None, repr=False)
    blocked: str | None = None
    """Why it is not to be charged again before its card is renewed."""


def read(desk: Desk, token_id: str) -> Token:
    """One token. Raises NotFoundHere, Erased."""
    with reading(desk.records) as connection:
        row = row_of_token(connection, desk.caller, token_id)
    return unsealed(desk.keyring, [row])[0]


def of_customer(
    desk: Desk, customer_id: str, wanted: cursors.Wanted, which: ColumnElement[bool] = STORED
) -> cursors.Page[Token]:
    """A customer's tokens, newest first; those whose storing failed are left out. Raises NotFoundHere, Erased."""
    with reading(desk.records) as connection:
        row_of(connection, desk.caller, customer_id)
        statement = _mine(desk.caller).where(tokens.c.customer_id == customer_id, which)
        order = (tokens.c.created_at, tokens.c.token_id)
        return cursors.page(connection, statement, order, wanted, partial(unsealed, desk.keyring))


class OfToken(Protocol):
    """What a row of `tokens`, or a storing under way, says of its place."""

    @property
    def tenant_id(self) -> str:
        """Whose it is."""

    @property
    def token_id(self) -> str:
        """The token's id."""

    @property
    def customer_id(self) -> str:
        """The customer's id."""

    @property
    def account_id(self) -> str:
        """The processor account where its card is stored."""


def row_of_token(connection: Connection, caller: Caller, token_id: str) -> Row[Any]:
    """The row of a token, with its processor's kind and its customer's state. Raises NotFoundHere, Erased."""
    return there(_ONE.one_or_none(connection, _asked(caller, token_id)))


def _asked(caller: Caller, token_id: str) -> dict[str, object]:
    return {"of_tenant": caller.tenant, "of_live": caller.live, "of_token": token_id}


def there(row: Row[Any] | None) -> Row[Any]:
    """The row of a token of a customer who is still here. Raises NotFoundHere, Erased."""
    if row is None:
        raise NotFoundHere("No such token.")
    if row.customer_state != "active":
        raise Erased("This token's customer was erased.")
    if row.state == LOST:
        raise Erased("This token was deleted, and these records are older than it.")
    return row


def unsealed(keyring: Keyring, rows: Sequence[Row[Any]]) -> list[Token]:
    """The tokens in these rows, of one tenant, with one read of the keystore. Raises KeyDestroyed, Unreadable."""
    records = [record for row in rows for record in (row.card, row.metadata, row.outcome) if record is not None]
    deks = keyring.deks(rows[0].tenant_id, map(dek_id_of, records)) if records else {}
    return [_token(keyring, row, deks) for row in rows]


def _token(keyring: Keyring, row: Row[Any], deks: dict[bytes, Dek]) -> Token:
    card, metadata, outcome = (_open(keyring, row, column, deks) for column in ("card", "metadata", "outcome"))
    return Token(
        id=row.token_id,
        customer=row.customer_id,
        status=row.state,
        usage=row.usage,
        processor=row.kind,
        created_at=row.created_at,
        card=CardMetadata(**card) if card else None,
        fingerprint=shown_fingerprint(keyring, row, card["fingerprint"]) if card else None,
        metadata=metadata,
        next_action=outcome.get("next_action"),
        declined=outcome.get("declined"),
        refused=outcome.get("refused"),
        blocked=row.blocked_code,
    )


def _open(keyring: Keyring, row: Row[Any], column: str, deks: dict[bytes, Dek]) -> dict[str, Any]:
    record = getattr(row, column)
    if record is None:
        return {}
    dek = deks.get(dek_id_of(record))
    if dek is None:
        raise KeyDestroyed
    return unseal_value(dek, record, token_place(keyring, row, column, getattr(row, f"{column}_version")))


def token_place(keyring: Keyring, row: OfToken, column: str, version: int) -> Context:
    """Where a sealed value of a token stands."""
    return place_of(keyring, row.tenant_id, "tokens", column, row.token_id, customer=row.customer_id, version=version)


def fingerprint_digest(keyring: Keyring, token: OfToken, fingerprint: str) -> bytes:
    """How a card is recognized: the processor's own fingerprint, for this customer and account only.

    So equal cards of two people never meet in the index. Clients compare what they are shown of it, so its key never
    rotates.
    """
    value = f"{token.customer_id}\0{token.account_id}\0{fingerprint}"
    return digest(keyring.subkey(token.tenant_id, "processor_key", label("fingerprint")), form="raw", value=value)


def found_by(keyring: Keyring, token: OfToken, fingerprint: str, *, live: bool) -> Change:
    """The index row by which a customer's card is found; none is made where another token has that card."""
    row = {
        "tenant_id": token.tenant_id,
        "field": "fingerprint",
        "form": "raw",
        "digest": fingerprint_digest(keyring, token, fingerprint),
        "customer_id": token.customer_id,
        "token_id": token.token_id,
        "live": live,
        "key_id": keyring.tenant_key(token.tenant_id, "processor_key").id,
        "normalization": NORMALIZATION,
    }
    return inserted(blind_index, row, if_absent=True)


def shown_fingerprint(keyring: Keyring, row: OfToken, fingerprint: str | None) -> str | None:
    """What clients get to tell a customer's cards apart: our digest, not the processor's fingerprint."""
    if fingerprint is None:
        return None
    return base32(fingerprint_digest(keyring, row, fingerprint))


_ALL = (
    select(
        tokens,
        processor_accounts.c.kind,
        customers.c.state.label("customer_state"),
        customers.c.restricted,
        customers.c.dek_id,
    )
    .join(customers, together(customers, tokens, "customer_id"))
    .join(processor_accounts, together(processor_accounts, tokens, "account_id"))
)
_ONE = Prepared(_ALL.where(given(tokens, "live", "token_id")))


def _mine(caller: Caller) -> Select[Any]:
    return _ALL.where(tokens.c.tenant_id == caller.tenant, tokens.c.live == caller.live)
