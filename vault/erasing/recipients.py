"""Who must be told of an erasure: one row for each thing that a processor has of the person, and its answer.

`telling` tells them; `redactions` comes back later, where the policy says so, for what the processor must keep.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, select

from keys.context import Context
from keys.dek import Dek
from keys.keyring import Keyring
from rows.changes import Change, inserted, update_row
from rows.conditions import given, together
from rows.engine import reading
from vault import leases
from vault.caller import Caller
from vault.desk import Desk
from vault.policy import Policy
from vault.processing import references
from vault.sealing import open_near, place_of, seal_value
from vault.tables import erasure_recipients, tokens
from vault.tables import intents as intent_table
from vault.tables import processor_accounts as account_table

FIRST_RETRY_SECONDS = 5
LONGEST_RETRY_SECONDS = 3600

Answer = Mapping[str, Any]
"""What changes in a recipient's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One thing that a processor has, or had: `result` is `pending`, `erased`, `already_gone` or `not_found`.

    Of a redaction it is `scheduled`, not before `scheduled_for`, and then `redacted`, `not_available` where the
    processor offers none, or `lost` where a restore lost the processor's name for the person.
    """

    kind: str
    account_id: str
    what: str
    result: str
    answered_at: datetime | None = None
    scheduled_for: datetime | None = None
    waits_for: str | None = None
    looked_for: str | None = None


def all_of(
    desk: Desk, policy: Policy, references_held: Sequence[Any], erasure_id: str, own: Dek, request_dek: Dek
) -> list[Change]:
    """One new row for each thing that a processor has of this person, sealed anew under the request's key.

    `references_held` are rows of `processor_references`, each with the `kind` of its account.
    """
    changes = []
    for held in references_held:
        value = {"reference": references.open_with(desk.keyring, own, held)["reference"]}
        for told in _told(policy, desk.caller, held):
            place = _place(desk.keyring, desk.caller.tenant, erasure_id, told["recipient_id"], 1)
            sealed = {"reference": seal_value(request_dek, value, place)}
            whose = {"tenant_id": desk.caller.tenant, "erasure_id": erasure_id, "account_id": held.account_id}
            changes.append(inserted(erasure_recipients, whose | told | sealed))
    return changes


def _told(policy: Policy, caller: Caller, held: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # one of `references_held`
    """That what an account holds goes, and for a customer redaction later where the policy says so."""
    is_customer = held.owner_id == held.customer_id
    yield {
        "recipient_id": f"{held.owner_id}.{held.account_id}",
        "what": "customer" if is_customer else "payment_method",
        "result": "pending",
        "next_attempt_at": caller.at,
    }
    if is_customer and held.kind in policy.redaction:
        yield {
            "recipient_id": redaction_of(held.account_id),
            "what": "redaction",
            "result": "scheduled",
            "next_attempt_at": caller.at + timedelta(days=policy.redaction[held.kind]),
        }


def redaction_of(account_id: str) -> str:
    """How the redaction of the person at one account is called among an erasure's recipients."""
    return f"redaction.{account_id}"


def as_told(listed: Sequence[Row[Any]], answers: Mapping[str, Answer]) -> list[Recipient]:
    """The recipients as they stand after these answers."""
    return [_recipient(row) for row in after(listed, answers)]


def after(listed: Sequence[Row[Any]], answers: Mapping[str, Answer]) -> list[dict[str, Any]]:
    """Their rows as they will be once these answers are written."""
    return [{**row._asdict(), **answers.get(row.recipient_id, {})} for row in listed]


def _recipient(row: Mapping[str, Any]) -> Recipient:
    return Recipient(
        kind=row["kind"],
        account_id=row["account_id"],
        what=row["what"],
        result=row["result"],
        answered_at=row["answered_at"],
        scheduled_for=row["next_attempt_at"] if row["result"] == "scheduled" else None,
        waits_for=row["waits_for"],
        looked_for=row["looked_for"],
    )


def answered(caller: Caller, row: Row[Any], result: str, looked_for: str | None = None) -> Answer:
    """The last answer: its reference is needed no more. `looked_for` says by what it was not found."""
    done = {"result": result, "answered_at": caller.at, "reference": None, "waits_for": None, "looked_for": looked_for}
    return {"attempts": row.attempts + 1, **done}


def pause(attempts: int) -> timedelta:
    """How long to wait after so many tries that did not bring an answer, each time longer."""
    return timedelta(seconds=leases.pause(attempts, first=FIRST_RETRY_SECONDS, longest=LONGEST_RETRY_SECONDS))


def write_answers(tx: Connection, listed: Sequence[Row[Any]], answers: Mapping[str, Answer]) -> None:
    """Write down what recipients answered, but not over a reference that another process replaced meanwhile."""
    names = ("tenant_id", "erasure_id", "recipient_id", "reference_version")
    for row in listed:
        if row.recipient_id in answers:
            key = {name: getattr(row, name) for name in names}
            update_row(tx, erasure_recipients, key, answers[row.recipient_id])


def open_reference(keyring: Keyring, dek: Dek, row: Row[Any]) -> dict[str, str]:
    """What is sealed in a recipient's row: the processor's name for it, and the job of a redaction under way."""
    place = _place(keyring, row.tenant_id, row.erasure_id, row.recipient_id, row.reference_version)
    return open_near(keyring, dek, row.reference, place)


def replaced_reference(keyring: Keyring, dek: Dek, row: Row[Any], value: Mapping[str, str]) -> Answer:
    """Another value in place of the one that is sealed there."""
    version = row.reference_version + 1
    place = _place(keyring, row.tenant_id, row.erasure_id, row.recipient_id, version)
    return {"reference": seal_value(dek, value, place), "reference_version": version}


def of_erasure(records: Engine, erasure: Row[Any]) -> Sequence[Row[Any]]:
    """The rows of an erasure's recipients with their processor accounts, payment methods first, redactions last."""
    with reading(records) as connection:
        named = {"of_tenant": erasure.tenant_id, "of_erasure": erasure.erasure_id}
        return connection.execute(_LISTED, named).all()


def open_storings(records: Engine, erasure: Row[Any]) -> list[Recipient]:
    """What of this customer's cards the worker still has to find or have forgotten at a processor: pending as well."""
    named = {"of_tenant": erasure.tenant_id, "of_customer": erasure.customer_id}
    with reading(records) as connection:
        rows = connection.execute(_OPEN_STORINGS, named).all()
    return [
        Recipient(kind=row.kind, account_id=row.account_id, what="payment_method", result="pending") for row in rows
    ]


_LISTED = (
    select(
        erasure_recipients,
        account_table.c.kind,
        account_table.c.credentials,
        account_table.c.credentials_version,
        account_table.c.proven_at,
    )
    .join(account_table, together(account_table, erasure_recipients, "account_id"))
    .where(given(erasure_recipients, "erasure_id"))
    .order_by(
        erasure_recipients.c.what == "redaction", erasure_recipients.c.what.desc(), erasure_recipients.c.recipient_id
    )
)
_OPEN_STORINGS = (
    select(account_table.c.kind, intent_table.c.account_id)
    .join(account_table, together(account_table, intent_table, "account_id"))
    .where(
        intent_table.c.tenant_id == bindparam("of_tenant"),
        intent_table.c.resource_id.in_(select(tokens.c.token_id).where(given(tokens, "customer_id"))),
        intent_table.c.operation.in_(("token.create", "token.forget")),
        intent_table.c.state.in_(("pending", "manual")),
    )
)


def _place(keyring: Keyring, tenant: str, erasure_id: str, recipient_id: str, version: int) -> Context:
    return place_of(keyring, tenant, "erasure_recipients", "reference", erasure_id, recipient_id, version=version)
