"""Tokens: what clients hold for a stored card. Reading, listing, deleting; `tokenizing.py` makes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, select, update
from sqlalchemy import delete as delete_rows

from keys.blindindex import digest, label
from keys.context import Context
from keys.database import reading
from keys.dek import Dek
from keys.envelope import dek_id_of
from keys.errors import KeyDestroyed
from keys.keyring import Keyring
from keys.prepared import Prepared
from vault import audit, pages
from vault.caller import Caller
from vault.charge_states import OPEN
from vault.conditions import given, together
from vault.errors import Erased, NotFoundHere
from vault.events import events
from vault.ids import base32
from vault.ledger.ledger import Ledger, settle
from vault.ledger.ledger_deciding import decide
from vault.people import holds
from vault.people.customer_rows import row_of, shared_row_of
from vault.personal import CardMetadata
from vault.processing import intents, references
from vault.sealing import open_own, place_of, seal_value, unseal_value
from vault.statements import write
from vault.tables import (
    LOST,
    blind_index,
    charges,
    customers,
    processor_accounts,
    processor_references,
    tokens,
)

DETACHED = "detached"
DESTROYED = frozenset({"card", "metadata"})
"""The record classes that a deleted token takes with it."""

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


def read(records: Engine, keyring: Keyring, caller: Caller, token_id: str) -> Token:
    """One token. Raises NotFoundHere, Erased."""
    with reading(records) as connection:
        row = row_of_token(connection, caller, token_id)
    return unsealed(keyring, [row])[0]


def of_customer(
    records: Engine,
    keyring: Keyring,
    caller: Caller,
    customer_id: str,
    wanted: pages.Wanted,
    which: ColumnElement[bool] = STORED,
) -> pages.Page[Token]:
    """A customer's tokens, newest first; those whose storing failed are left out. Raises NotFoundHere, Erased."""
    with reading(records) as connection:
        row_of(connection, caller, customer_id)
        statement = _mine(caller).where(tokens.c.customer_id == customer_id, which)
        order = (tokens.c.created_at, tokens.c.token_id)
        return pages.page(connection, statement, order, wanted, partial(unsealed, keyring))


def delete(records: Engine, keyring: Keyring, ledger: Ledger, caller: Caller, token_id: str) -> Token:
    """Take a token out of use for good, on the ledger, and leave its processor to be told by the worker.

    Deleting again changes nothing and tells nobody. Raises NotFoundHere, Erased, Blocked.
    """
    with reading(records) as connection:
        row = row_of_token(connection, caller, token_id)
    if row.state != DETACHED and _decide_deletion(records, keyring, ledger, caller, row):
        settle(ledger, records)
    return read(records, keyring, caller, token_id)


def _decide_deletion(records: Engine, keyring: Keyring, ledger: Ledger, caller: Caller, row: Row[Any]) -> bool:
    this = and_(tokens.c.tenant_id == caller.tenant, tokens.c.token_id == row.token_id)
    dek = keyring.dek(caller.tenant, row.dek_id)
    with audit.transaction(records) as tx:
        shared_row_of(tx, caller, row.customer_id)
        if tx.execute(update(tokens).where(this, tokens.c.state != DETACHED).values(state=DETACHED)).rowcount != 1:
            return False
        its_charges = and_(charges.c.tenant_id == caller.tenant, charges.c.token_id == row.token_id)
        open_charge = select(charges.c.charge_id).where(its_charges, charges.c.state.in_(OPEN)).limit(1)
        charging = ["open_charge"] if tx.execute(open_charge).first() else []
        frozen = [one for one in holds.in_force(tx, caller, row.customer_id) if not DESTROYED.isdisjoint(one.classes)]
        holds.refuse(frozen, *charging)
        kept = references.find(tx, caller.tenant, row.token_id, row.account_id)
        held = [references.open_with(keyring, dek, kept)["reference"]] if kept else []
        for column in (processor_references.c.owner_id, blind_index.c.token_id):
            tx.execute(
                delete_rows(column.table).where(column.table.c.tenant_id == caller.tenant, column == row.token_id)
            )
        decide(tx, ledger, caller, "token.delete", row.token_id, version=1, terms=_burial(row))
        leave_to_forget(tx, keyring, caller, row, held)
        audit.record(tx, keyring, caller, "token.delete", customer=row.customer_id, resource=row.token_id)
        told = {"id": row.token_id, "object": "token", "customer": row.customer_id, "status": DETACHED}
        write(tx, events.made(caller, "token.detached", row.token_id, told))
    return True


def _burial(row: Row[Any]) -> dict[str, str]:
    """What records that are too old to know the token need for its tombstone."""
    return {"customer": row.customer_id, "customer_dek": row.dek_id.hex(), "account": row.account_id}


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


def leave_to_forget(
    tx: Connection,
    keyring: Keyring,
    caller: Caller,
    token: OfToken,
    payment_methods: list[str],
    customer: str | None = None,
) -> None:
    """Leave an intent: the worker tells the processor to forget these of its objects for as long as it takes.

    Sealed under the tenant's own key: it must outlive the customer's, and goes as soon as the processor has answered.
    """
    attempt = intents.Attempt(operation="token.forget", key=None, fingerprint=b"")
    intent = intents.begin(
        tx,
        keyring,
        caller,
        attempt,
        resource_id=token.token_id,
        account_id=token.account_id,
    )
    if intent is not None:
        place = _forget_place(keyring, caller.tenant, intent.intent_id, 1)
        value = {"payment_methods": payment_methods, "customer": customer}
        sealed = seal_value(keyring.tenant_key(caller.tenant, "secrets"), value, place)
        intents.leave_to_worker(tx, intent, parameters=sealed)


def left_to_forget(keyring: Keyring, row: Row[Any]) -> dict[str, Any]:
    """What `leave_to_forget` left in this row of `intents`: `{payment_methods, customer}`. Raises Unreadable."""
    place = _forget_place(keyring, row.tenant_id, row.intent_id, row.parameters_version)
    return open_own(keyring, "secrets", row.parameters, place)


def _forget_place(keyring: Keyring, tenant: str, intent_id: str, version: int) -> Context:
    return place_of(keyring, tenant, "intents", "parameters", intent_id, version=version)


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


def fingerprint_digest(keyring: Keyring, tenant: str, customer: str, account: str, fingerprint: str) -> bytes:
    """How a card is recognized: the processor's own fingerprint, for this customer and account only.

    So equal cards of two people never meet in the index. Clients compare what they are shown of it, so its key never
    rotates.
    """
    value = f"{customer}\0{account}\0{fingerprint}"
    return digest(keyring.subkey(tenant, "processor_key", label("fingerprint")), form="raw", value=value)


def shown_fingerprint(keyring: Keyring, row: OfToken, fingerprint: str | None) -> str | None:
    """What clients get to tell a customer's cards apart: our digest, not the processor's fingerprint."""
    if fingerprint is None:
        return None
    return base32(fingerprint_digest(keyring, row.tenant_id, row.customer_id, row.account_id, fingerprint))


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
