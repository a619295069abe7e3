"""Charges that these records have lost, written again from what the processor has of them.

A failover or a restore can lose the commits of charges that were carried out. Their payments carry our words: the id,
and which obligation they pay. So a row says again what was paid, and the obligation is known to be taken, before the
client comes back for it. What only the client knew (texts, who initiated it) comes with its next call: a replay.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, and_, exists, select, update
from sqlalchemy.exc import IntegrityError

from keys.dek import Dek
from rows.changes import Change, inserted, write
from rows.engine import reading
from vault import audit
from vault.desk import Desk
from vault.money.charge import charges
from vault.processing import intents, references
from vault.processing.answers import ActionRequired, Approved, Authorized, Failure, Marks, NotFound, Payment
from vault.processing.connecting import Connected
from vault.tables import charges as charge_table
from vault.tables import customers, processor_references, tokens

STATES = {Approved: "succeeded", Authorized: "authorized", ActionRequired: "requires_action"}
"""Of payments that took money, or may: what came to nothing needs no row."""


def write_again(desk: Desk, account_id: str, payment: Payment, *, left: str | None = None) -> bool:
    """Write the charge of a payment that is ours and that these records lack; whether that was done.

    `left` is who has paid it and is lost here too (`lost_payer`): named in the audit log, with the charge.
    """
    state = STATES.get(type(payment.outcome))
    if (
        state is None
        or not intents.is_ours(desk.keyring, desk.caller.tenant, payment.marks, "chg")
        or _is_known(desk, payment)
    ):
        return False
    try:
        with audit.transaction(desk.records) as tx:
            row = _row(desk, tx, account_id, payment, state)
            made = write(tx, inserted(charge_table, row, if_absent=True))[0]
            if made:
                audit.record(desk, tx, "charge.recover", customer=row["customer_id"], resource=row["charge_id"])
            if made and left is not None:
                audit.record(desk, tx, "customer.left", resource=left)
    except IntegrityError:  # customer or token went in this moment
        return False
    return made


def lost_payer(desk: Desk, connected: Connected, account_id: str, payment: Payment) -> str | Failure | None:
    """Our id of the payment's customer whom these records lost; None of one whom they know or who is not ours."""
    if payment.customer is None:
        return None
    with reading(desk.records) as connection:
        if _owner(desk, connection, account_id, payment.customer, customers.c.customer_id) is not None:
            return None
    found = connected.processor.read_marks(connected.credentials, customer_reference=payment.customer)
    if not isinstance(found, Marks):
        return None if isinstance(found, NotFound) else found
    if not intents.is_ours(desk.keyring, desk.caller.tenant, found, "cus"):
        return None
    this = and_(customers.c.tenant_id == desk.caller.tenant, customers.c.customer_id == found.id)
    with reading(desk.records) as connection:
        return None if connection.scalar(select(exists().where(this))) else found.id


def complete(
    desk: Desk, charge_id: str, dek: Dek, known: Mapping[str, Any], texts: Mapping[str, Any], intent: Change
) -> None:
    """Give such a charge what only its client knew, once: `known` are columns, `texts` its obligation and details.

    `intent` is the client's key, which names the charge from now on. Where another call has completed it, nothing is
    written, and the caller reads what that one left.
    """
    with reading(desk.records) as connection:
        row = charges.row_of_charge(connection, desk.caller, charge_id)
    may_be_theirs = row.customer_id in {None, known["customer_id"]}  # it may have been paid by another's card
    whose = known if may_be_theirs else {}
    version = row.retained_version + 1
    retained = {**charges.open_retained(desk.keyring, row), "obligation": texts["obligation"]}
    changes = {
        **whose,
        "recovered": False,
        "retained": charges.seal_retained(desk.keyring, desk.caller.tenant, charge_id, version, retained),
        "retained_version": version,
    }
    if whose:
        named = {"tenant_id": row.tenant_id, "charge_id": charge_id, "customer_id": known["customer_id"]}
        changes["details"] = charges.seal_details(desk.keyring, dek, named, row.details_version + 1, texts["details"])
        changes["details_version"] = row.details_version + 1
    this = and_(charge_table.c.tenant_id == desk.caller.tenant, charge_table.c.charge_id == charge_id)
    with audit.transaction(desk.records) as tx:
        if tx.execute(update(charge_table).where(this, charge_table.c.recovered).values(changes)).rowcount == 1:
            write(tx, intent)
            audit.record(desk, tx, "charge.adopt", customer=known["customer_id"], resource=charge_id)


def _is_known(desk: Desk, payment: Payment) -> bool:
    charge_id = payment.marks.id if payment.marks else ""
    this = and_(charge_table.c.tenant_id == desk.caller.tenant, charge_table.c.charge_id == charge_id)
    with reading(desk.records) as connection:
        return connection.scalar(select(charge_table.c.charge_id).where(this)) is not None


def _row(desk: Desk, tx: Connection, account_id: str, payment: Payment, state: str) -> dict[str, Any]:
    charge_id = payment.marks.id if payment.marks else ""
    obligation = payment.marks.obligation if payment.marks else None
    token, customer = _whose(desk, tx, account_id, payment)
    retained = {"obligation": None, "reference": payment.reference}
    return {
        "tenant_id": desk.caller.tenant,
        "charge_id": charge_id,
        "customer_id": customer,
        "token_id": token,
        "account_id": account_id,
        "live": desk.caller.live,
        "state": "captured" if payment.manual and state == "succeeded" else state,
        "amount": payment.amount,
        "currency": payment.currency,
        "amount_captured": payment.captured,
        "amount_refunded": 0,  # the refunds themselves are looked for, and counted as they are found
        "capture_method": "manual" if payment.manual else "automatic",
        "obligation_digest": bytes.fromhex(obligation) if obligation else None,
        "reference_digest": references.digest(desk.keyring, desk.caller.tenant, account_id, payment.reference),
        "recovered": True,
        "retained": charges.seal_retained(desk.keyring, desk.caller.tenant, charge_id, 1, retained),
        "retained_version": 1,
        "details": None,
        "details_version": 0,
        "created_at": payment.at,
        "updated_at": desk.caller.at,
    }


def _whose(desk: Desk, tx: Connection, account_id: str, payment: Payment) -> tuple[str | None, str | None]:
    """Our token and customer, by what the processor calls them, where these records know them and they are there."""
    token = _owner(desk, tx, account_id, payment.method, tokens.c.token_id)
    customer = _owner(desk, tx, account_id, payment.customer, customers.c.customer_id)
    return (token, customer) if customer is not None else (None, None)


def _owner(
    desk: Desk,
    tx: Connection,
    account_id: str,
    named: str | None,
    column: Any,  # noqa: ANN401  # a column
) -> str | None:
    if named is None:
        return None
    digest = references.digest(desk.keyring, desk.caller.tenant, account_id, named)
    its = and_(
        processor_references.c.tenant_id == desk.caller.tenant,
        processor_references.c.account_id == account_id,
        processor_references.c.reference_digest == digest,
    )
    of_it = and_(column.table.c.tenant_id == desk.caller.tenant, column == processor_references.c.owner_id)
    found: str | None = tx.scalar(select(column).join(processor_references, of_it).where(its))
    return found
