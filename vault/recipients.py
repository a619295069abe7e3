"""Who must be told of an erasure: one row for each thing that a processor has of the person, and its answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, select

from keys.context import Context
from keys.database import reading
from keys.dek import Dek
from keys.keyring import Keyring
from keys.prepared import Prepared
from vault import intents, references
from vault.caller import Caller
from vault.errors import NotUsable
from vault.processing import Connected, Processors, connect
from vault.processor import CustomerOpened, Failure, Forgotten, Held, NotFound
from vault.sealing import place_of, seal_value, unseal_value
from vault.statements import Change, inserted, update_row
from vault.tables import erasure_recipients, processor_references, tokens
from vault.tables import intents as intent_table
from vault.tables import processor_accounts as account_table

FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 3600
FINAL = frozenset({"erased", "already_gone"})
SUBSCRIPTIONS = "subscriptions"
"""What a recipient waits for where deleting the customer would cancel subscriptions that nobody spoke of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One thing that a processor has, or had: `result` is `pending`, `erased` or `already_gone`."""

    kind: str
    account_id: str
    what: str
    result: str
    answered_at: datetime | None


def all_of(
    tx: Connection, keyring: Keyring, caller: Caller, customer_id: str, erasure_id: str, own: Dek, request_dek: Dek
) -> list[Change]:
    """One new row for each thing that a processor has of this person, sealed anew under the request's key."""
    rows = []
    for held in _HELD.all(tx, {"of_tenant": caller.tenant, "of_customer": customer_id}):
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
    return [inserted(erasure_recipients, row) for row in rows]


def tell(
    keyring: Keyring, processors: Processors, caller: Caller, erasure: Row[Any], listed: Sequence[Row[Any]]
) -> dict[str, str]:
    """Tell every processor whose turn it is and that has not answered; what each says, by recipient.

    One of FINAL, `pending`, or what it waits for. Nothing is written yet.
    """
    due = [row for row in listed if row.result == "pending" and row.next_attempt_at <= caller.at]
    if not due:
        return {}
    sealed = any(row.reference is not None for row in due)
    dek = keyring.dek(erasure.tenant_id, erasure.dek_id) if sealed else None
    return {row.recipient_id: _tell(keyring, processors, erasure, row, dek) for row in due}


def as_told(listed: Sequence[Row[Any]], answers: Mapping[str, str], at: datetime) -> list[Recipient]:
    """The recipients as they stand after these answers."""
    return [
        Recipient(
            kind=row.kind,
            account_id=row.account_id,
            what=row.what,
            result=answered if (answered := answers.get(row.recipient_id)) in FINAL else row.result,
            answered_at=at if answered in FINAL else row.answered_at,
        )
        for row in listed
    ]


def write_answers(tx: Connection, caller: Caller, listed: Sequence[Row[Any]], answers: Mapping[str, str]) -> None:
    """Write down what recipients answered; who has not is asked again later, each time later."""
    for row in listed:
        if row.recipient_id in answers:
            key = {"tenant_id": row.tenant_id, "erasure_id": row.erasure_id, "recipient_id": row.recipient_id}
            update_row(tx, erasure_recipients, key, _answer(caller, row, answers[row.recipient_id]))


def _tell(keyring: Keyring, processors: Processors, erasure: Row[Any], row: Row[Any], dek: Dek | None) -> str:
    try:
        connected = connect(processors, keyring, erasure.tenant_id, row)
    except NotUsable:  # this deployment can't reach that account now; it stays on the list
        return "pending"
    reference = _reference(keyring, connected, erasure, row, dek)
    if not isinstance(reference, str):
        return "already_gone" if isinstance(reference, NotFound) else "pending"
    if row.what == "customer" and not erasure.cancel_subscriptions:
        held = connected.processor.held(connected.credentials, customer_reference=reference)
        if not isinstance(held, Held):
            return "pending"
        if held.subscriptions:
            return SUBSCRIPTIONS
    outcome = _forget(connected, row.what, reference, f"panless-{erasure.erasure_id}-{row.recipient_id}")
    if not isinstance(outcome, Forgotten):
        return "pending"
    return "already_gone" if outcome.already else "erased"


def _reference(
    keyring: Keyring, connected: Connected, erasure: Row[Any], row: Row[Any], dek: Dek | None
) -> str | NotFound | Failure:
    """The processor's name for it. After a restore that lost it, the customer is found there by our tag."""
    if row.reference is not None and dek is not None:
        place = _place(keyring, erasure.tenant_id, erasure.erasure_id, row.recipient_id, row.reference_version)
        reference: str = unseal_value(dek, row.reference, place)["reference"]
        return reference
    tag = intents.tag(keyring, erasure.tenant_id, erasure.customer_id)
    found = connected.processor.search_customer(connected.credentials, tag=tag)
    return found.customer_reference if isinstance(found, CustomerOpened) else found


def _forget(connected: Connected, what: str, reference: str, key: str) -> object:
    processor, credentials = connected.processor, connected.credentials
    if what == "customer":
        return processor.forget_customer(credentials, customer_reference=reference, key=key)
    return processor.forget(credentials, reference=reference, key=key)


def _answer(caller: Caller, row: Row[Any], result: str) -> dict[str, object]:
    if result not in FINAL:
        pause = min(FIRST_RETRY_SECONDS * 2 ** min(row.attempts, 20), LONGEST_RETRY_SECONDS)
        waits_for = result if result != "pending" else None
        again = caller.at + timedelta(seconds=pause)
        return {"attempts": row.attempts + 1, "next_attempt_at": again, "waits_for": waits_for}
    done = {"result": result, "answered_at": caller.at, "reference": None, "waits_for": None}
    return {"attempts": row.attempts + 1, **done}


def of_erasure(records: Engine, erasure: Row[Any]) -> Sequence[Row[Any]]:
    """The rows of an erasure's recipients with their processor accounts, payment methods first."""
    with reading(records) as connection:
        named = {"of_tenant": erasure.tenant_id, "of_erasure": erasure.erasure_id}
        return connection.execute(_LISTED, named).all()


def open_storings(records: Engine, erasure: Row[Any]) -> list[Recipient]:
    """What of this customer's cards the worker still has to find or have forgotten at a processor: pending as well."""
    named = {"of_tenant": erasure.tenant_id, "of_customer": erasure.customer_id}
    with reading(records) as connection:
        rows = connection.execute(_OPEN_STORINGS, named).all()
    return [
        Recipient(kind=row.kind, account_id=row.account_id, what="payment_method", result="pending", answered_at=None)
        for row in rows
    ]


_HELD = Prepared(
    select(processor_references).where(
        processor_references.c.tenant_id == bindparam("of_tenant"),
        processor_references.c.customer_id == bindparam("of_customer"),
    )
)
_LISTED = (
    select(erasure_recipients, account_table.c.kind, account_table.c.credentials, account_table.c.credentials_version)
    .join(
        account_table,
        and_(
            account_table.c.tenant_id == erasure_recipients.c.tenant_id,
            account_table.c.account_id == erasure_recipients.c.account_id,
        ),
    )
    .where(
        erasure_recipients.c.tenant_id == bindparam("of_tenant"),
        erasure_recipients.c.erasure_id == bindparam("of_erasure"),
    )
    .order_by(erasure_recipients.c.what.desc(), erasure_recipients.c.recipient_id)
)
_OPEN_STORINGS = (
    select(account_table.c.kind, intent_table.c.account_id)
    .join(
        account_table,
        and_(
            account_table.c.tenant_id == intent_table.c.tenant_id,
            account_table.c.account_id == intent_table.c.account_id,
        ),
    )
    .where(
        intent_table.c.tenant_id == bindparam("of_tenant"),
        intent_table.c.resource_id.in_(
            select(tokens.c.token_id).where(
                tokens.c.tenant_id == bindparam("of_tenant"), tokens.c.customer_id == bindparam("of_customer")
            )
        ),
        intent_table.c.operation.in_(("token.create", "token.forget")),
        intent_table.c.state == "pending",
    )
)


def _place(keyring: Keyring, tenant: str, erasure_id: str, recipient_id: str, version: int) -> Context:
    row = f"{erasure_id} {recipient_id}"
    return place_of(keyring, tenant, "erasure_recipients", "reference", row, version=version)
