"""Tokens taken out of use for good, and what of them a processor is still to forget."""

from typing import Any

from sqlalchemy import Connection, Row, and_, select, update
from sqlalchemy import delete as delete_rows

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import write
from rows.engine import reading
from vault import audit
from vault.cards.tokens import OfToken, Token, read, row_of_token
from vault.charge_states import OPEN
from vault.desk import Desk
from vault.events import raising
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.people import holds
from vault.people.customer_rows import shared_row_of
from vault.processing import intents, references
from vault.sealing import open_own, place_of, seal_value
from vault.tables import blind_index, charges, processor_references, tokens

DETACHED = "detached"
DESTROYED = frozenset({"card", "metadata"})
"""The record classes that a deleted token takes with it."""


def delete(desk: Desk, ledger: Ledger, token_id: str) -> Token:
    """Take a token out of use for good, on the ledger, and leave its processor to be told by the worker.

    Deleting again changes nothing and tells nobody. Raises NotFoundHere, Erased, Blocked.
    """
    with reading(desk.records) as connection:
        row = row_of_token(connection, desk.caller, token_id)
    if row.state != DETACHED and _decide_deletion(desk, ledger, row):
        settle(ledger, desk.records)
    return read(desk, token_id)


def _decide_deletion(desk: Desk, ledger: Ledger, row: Row[Any]) -> bool:
    this = and_(tokens.c.tenant_id == desk.caller.tenant, tokens.c.token_id == row.token_id)
    dek = desk.keyring.dek(desk.caller.tenant, row.dek_id)
    with audit.transaction(desk.records) as tx:
        shared_row_of(tx, desk.caller, row.customer_id)
        if tx.execute(update(tokens).where(this, tokens.c.state != DETACHED).values(state=DETACHED)).rowcount != 1:
            return False
        its_charges = and_(charges.c.tenant_id == desk.caller.tenant, charges.c.token_id == row.token_id)
        open_charge = select(charges.c.charge_id).where(its_charges, charges.c.state.in_(OPEN)).limit(1)
        charging = ["open_charge"] if tx.execute(open_charge).first() else []
        frozen = [
            one for one in holds.in_force(tx, desk.caller, row.customer_id) if not DESTROYED.isdisjoint(one.classes)
        ]
        holds.refuse(frozen, *charging)
        kept = references.find(tx, desk.caller.tenant, row.token_id, row.account_id)
        held = [references.open_with(desk.keyring, dek, kept)["reference"]] if kept else []
        unlink(tx, row)
        decide(tx, ledger, desk.caller, "token.delete", row.token_id, version=1, terms=_burial(row))
        leave_to_forget(desk, tx, row, held)
        audit.record(desk, tx, "token.delete", customer=row.customer_id, resource=row.token_id)
        told = {"id": row.token_id, "object": "token", "customer": row.customer_id, "status": DETACHED}
        write(tx, raising.made(desk.caller, "token.detached", row.token_id, told))
    return True


def _burial(row: Row[Any]) -> dict[str, str]:
    """What records that are too old to know the token need for its tombstone."""
    return {"customer": row.customer_id, "customer_dek": row.dek_id.hex(), "account": row.account_id}


def unlink(tx: Connection, token: OfToken) -> None:
    """Delete what the processor calls a token, and what its card is found by."""
    for column in (processor_references.c.owner_id, blind_index.c.token_id):
        theirs = column.table.c.tenant_id == token.tenant_id, column == token.token_id
        tx.execute(delete_rows(column.table).where(*theirs))


def leave_to_forget(
    desk: Desk, tx: Connection, token: OfToken, payment_methods: list[str], customer: str | None = None
) -> None:
    """Leave an intent: the worker tells the processor to forget these of its objects for as long as it takes.

    Sealed under the tenant's own key: it must outlive the customer's, and goes as soon as the processor has answered.
    """
    attempt = intents.Attempt(operation="token.forget", key=None, fingerprint=b"")
    intent = intents.begin(desk, tx, attempt, resource_id=token.token_id, account_id=token.account_id)
    if intent is not None:
        place = _forget_place(desk.keyring, desk.caller.tenant, intent.intent_id, 1)
        value = {"payment_methods": payment_methods, "customer": customer}
        sealed = seal_value(desk.keyring.tenant_key(desk.caller.tenant, "secrets"), value, place)
        intents.leave_to_worker(tx, intent, parameters=sealed)


def left_to_forget(keyring: Keyring, row: Row[Any]) -> dict[str, Any]:
    """What `leave_to_forget` left in this row of `intents`: `{payment_methods, customer}`. Raises Unreadable."""
    place = _forget_place(keyring, row.tenant_id, row.intent_id, row.parameters_version)
    return open_own(keyring, "secrets", row.parameters, place)


def _forget_place(keyring: Keyring, tenant: str, intent_id: str, version: int) -> Context:
    return place_of(keyring, tenant, "intents", "parameters", intent_id, version=version)
