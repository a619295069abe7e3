"""Who must be told of an erasure: one row for each thing that a processor has of the person, and its answer."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, insert, literal, null, select, update

from keys.context import Context
from keys.database import reading, transaction
from keys.dek import Dek
from keys.keyring import Keyring
from vault import references
from vault.caller import Caller
from vault.errors import NotUsable
from vault.processing import Connected, Processors, connect
from vault.processor import Forgotten
from vault.sealing import place_of, seal_value, unseal_value
from vault.tables import erasure_recipients, intents, processor_references, tokens
from vault.tables import processor_accounts as account_table

FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 3600


def insert_all(
    tx: Connection, keyring: Keyring, caller: Caller, customer_id: str, erasure_id: str, own: Dek, request_dek: Dek
) -> None:
    """One row for each thing that a processor has of this person, sealed anew under the request's key."""
    theirs = and_(processor_references.c.tenant_id == caller.tenant, processor_references.c.customer_id == customer_id)
    rows = []
    for held in tx.execute(select(processor_references).where(theirs)):
        recipient = f"{held.owner_id}.{held.account_id}"
        value = {"reference": references.open_with(keyring, own, held)["reference"]}
        rows.append(
            {
                "tenant_id": caller.tenant,
                "erasure_id": erasure_id,
                "recipient_id": recipient,
                "account_id": held.account_id,
                "what": "customer" if held.owner_id == customer_id else "payment_method",
                "reference": seal_value(request_dek, value, _place(keyring, caller.tenant, erasure_id, recipient, 1)),
                "result": "pending",
                "next_attempt_at": caller.at,
            }
        )
    if rows:
        tx.execute(insert(erasure_recipients), rows)


def tell(records: Engine, keyring: Keyring, processors: Processors, caller: Caller, erasure: Row[Any]) -> bool:
    """Tell every processor that has not answered; whether any answered now."""
    pending = [row for row in of_erasure(records, erasure) if row.result == "pending"]
    if not pending:
        return False
    dek = keyring.dek(erasure.tenant_id, erasure.dek_id)
    results = {row.recipient_id: _tell(keyring, processors, erasure, row, dek) for row in pending}
    with transaction(records) as tx:
        for row in pending:
            _write_answer(tx, caller, erasure, row, results[row.recipient_id])
    return any(result != "pending" for result in results.values())


def _tell(keyring: Keyring, processors: Processors, erasure: Row[Any], row: Row[Any], dek: Dek) -> str:
    place = _place(keyring, erasure.tenant_id, erasure.erasure_id, row.recipient_id, row.reference_version)
    reference = unseal_value(dek, row.reference, place)["reference"]
    try:
        connected = connect(processors, keyring, erasure.tenant_id, row)
    except NotUsable:  # this deployment can't reach that account now; it stays on the list
        return "pending"
    outcome = _forget(connected, row.what, reference, f"panless-{erasure.erasure_id}-{row.recipient_id}")
    if not isinstance(outcome, Forgotten):
        return "pending"
    return "already_gone" if outcome.already else "erased"


def _forget(connected: Connected, what: str, reference: str, key: str) -> object:
    processor, credentials = connected.processor, connected.credentials
    if what == "customer":
        return processor.forget_customer(credentials, customer_reference=reference, key=key)
    return processor.forget(credentials, reference=reference, key=key)


def _write_answer(tx: Connection, caller: Caller, erasure: Row[Any], row: Row[Any], result: str) -> None:
    this = and_(
        erasure_recipients.c.tenant_id == erasure.tenant_id,
        erasure_recipients.c.erasure_id == erasure.erasure_id,
        erasure_recipients.c.recipient_id == row.recipient_id,
    )
    if result == "pending":
        pause = min(FIRST_RETRY_SECONDS * 2**row.attempts, LONGEST_RETRY_SECONDS)
        changes = {"attempts": row.attempts + 1, "next_attempt_at": caller.at + timedelta(seconds=pause)}
    else:
        changes = {"attempts": row.attempts + 1, "result": result, "answered_at": caller.at, "reference": None}
    tx.execute(update(erasure_recipients).where(this).values(**changes))


def of_erasure(records: Engine, erasure: Row[Any]) -> Sequence[Row[Any]]:
    """The recipients with their processor accounts."""
    of_account = and_(
        account_table.c.tenant_id == erasure_recipients.c.tenant_id,
        account_table.c.account_id == erasure_recipients.c.account_id,
    )
    account = (account_table.c.kind, account_table.c.credentials, account_table.c.credentials_version)
    statement = (
        select(erasure_recipients, *account)
        .join(account_table, of_account)
        .where(
            erasure_recipients.c.tenant_id == erasure.tenant_id,
            erasure_recipients.c.erasure_id == erasure.erasure_id,
        )
        .order_by(erasure_recipients.c.what.desc(), erasure_recipients.c.recipient_id)  # payment methods first
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def open_storings(records: Engine, erasure: Row[Any]) -> Sequence[Row[Any]]:
    """What of this customer's cards the worker still has to find or have forgotten at a processor: pending as well."""
    theirs = select(tokens.c.token_id).where(
        tokens.c.tenant_id == erasure.tenant_id, tokens.c.customer_id == erasure.customer_id
    )
    of_account = and_(
        account_table.c.tenant_id == intents.c.tenant_id, account_table.c.account_id == intents.c.account_id
    )
    statement = (
        select(
            account_table.c.kind,
            intents.c.account_id,
            literal("payment_method").label("what"),
            literal("pending").label("result"),
            null().label("answered_at"),
        )
        .join(account_table, of_account)
        .where(
            intents.c.tenant_id == erasure.tenant_id,
            intents.c.resource_id.in_(theirs),
            intents.c.operation.in_(("token.create", "token.forget")),
            intents.c.state == "pending",
        )
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def _place(keyring: Keyring, tenant: str, erasure_id: str, recipient_id: str, version: int) -> Context:
    row = f"{erasure_id} {recipient_id}"
    return place_of(keyring, tenant, "erasure_recipients", "reference", row, version=version)
