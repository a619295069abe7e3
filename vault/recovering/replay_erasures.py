"""What a replayed erasure needs where the records never knew it: its request, its steps, and whom the worker tells.

The processors' own names for the person are lost with the records that held them, so a customer is found there by our
tag: at the accounts that these records still name for the customer, or, where they are too old to know it, at all of
the tenant's. Once it is deleted there it is not found any more, so that nothing can be redacted later
(`replay_redactions`).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select, update

from rows.changes import each, insert_if_absent, update_row, write
from rows.conditions import given
from vault.ledger.effects import Entry
from vault.recovering import replay_answers, replay_redactions
from vault.requests import progress
from vault.requests.rights import Target
from vault.tables import (
    customers,
    erasure_recipients,
    erasures,
    package_chunks,
    package_customers,
    packages,
    processor_accounts,
    processor_references,
    rights_requests,
    rights_targets,
)


def begin(tx: Connection, entry: Entry) -> None:
    """The customer, a tombstone where these records are too old to know it, with the request and the erasure."""
    body, terms = entry.body, entry.body["terms"]
    tenant = {"tenant_id": body["tenant"]}
    known = not insert_if_absent(tx, customers, tenant | _tombstone(entry))
    insert_if_absent(tx, rights_requests, tenant | _request(entry))
    target = {"request_id": terms["request"], "customer_id": body["subject_id"]}
    fresh = {"state": "executing", "reasons": "", "next_look_at": entry.at}
    insert_if_absent(tx, rights_targets, tenant | target | fresh)
    progress.move_target(
        tx, entry.at, body["tenant"], terms["request"], Target(customer=body["subject_id"], status="executing")
    )
    insert_if_absent(tx, erasures, tenant | _erasure(entry))
    write(tx, *each({"of_tenant": body["tenant"], "of_customer": body["subject_id"]}, *_PACKAGES))
    for account_id in _accounts(tx, entry, known=known):
        insert_if_absent(tx, erasure_recipients, tenant | _recipient(entry, account_id))


def end(tx: Connection, entry: Entry) -> None:
    """Once nobody is left to be told, by the certificate, the worker has nothing to do but what is scheduled."""
    this = {"tenant_id": entry.body["tenant"], "customer_id": entry.body["subject_id"]}
    found = tx.execute(_ERASURE, {"of_tenant": this["tenant_id"], "of_customer": this["customer_id"]}).one_or_none()
    if found is None:
        return
    certificate = entry.body["certificate"]
    replay_redactions.learn(tx, entry, found.erasure_id)
    replay_answers.learn(tx, entry, found.erasure_id)
    results = {each["result"] for each in certificate["recipients"]}
    if "pending" in results:
        return
    at = datetime.fromisoformat(certificate["completed_at"])
    state = "redacting" if "scheduled" in results else "completed"
    update_row(tx, erasures, this, {"state": state, "completed_at": at})
    status = "retained" if certificate["retained"] else "done"
    target = Target(customer=this["customer_id"], status=status)
    progress.move_target(tx, at, this["tenant_id"], found.request_id, target)


def _tombstone(entry: Entry) -> dict[str, Any]:
    body = entry.body
    return {
        "customer_id": body["subject_id"],
        "live": body["live"],
        "state": "erasing",
        "dek_id": bytes.fromhex(body["dek_id"]),
        "version": body["version"],
        "created_at": entry.at,
    }


def _request(entry: Entry) -> dict[str, Any]:
    terms = entry.body["terms"]
    return {
        "request_id": terms["request"],
        "type": "erasure",
        "regulation": terms["regulation"],
        "state": "executing",
        "client_id": "",
        "submitted_at": entry.at.fromisoformat(terms["submitted_at"]),
        "received_at": entry.at,
        "due_at": entry.at.fromisoformat(terms["due_at"]),
        "live": entry.body["live"],
        "protocol": "panless",
    }


def _erasure(entry: Entry) -> dict[str, Any]:
    terms = entry.body["terms"]
    return {
        "erasure_id": terms["erasure"],
        "request_id": terms["request"],
        "customer_id": entry.body["subject_id"],
        "state": "decided",
        "lease_until": entry.at,
        "dek_id": bytes.fromhex(terms["request_dek"]),
        "intent_entry_id": entry.body["entry_id"],
        "requested_at": entry.at,
    }


def _recipient(entry: Entry, account_id: str) -> dict[str, Any]:
    """The customer at one account, whose reference is lost."""
    return {
        "erasure_id": entry.body["terms"]["erasure"],
        "recipient_id": f"{entry.body['subject_id']}.{account_id}",
        "account_id": account_id,
        "what": "customer",
        "result": "pending",
        "next_attempt_at": entry.at,
    }


def _accounts(tx: Connection, entry: Entry, *, known: bool) -> list[str]:
    named = {
        "of_tenant": entry.body["tenant"],
        "of_customer": entry.body["subject_id"],
        "of_live": entry.body["live"],
        "unknown": not known,
    }
    return [*tx.scalars(_ACCOUNTS, named)]


_THEIRS = select(package_customers.c.package_id).where(given(package_customers, "customer_id"))
# The decision ended them in its own transaction, which these records have lost.
_PACKAGES = (
    delete(package_chunks).where(
        package_chunks.c.tenant_id == bindparam("of_tenant"), package_chunks.c.package_id.in_(_THEIRS)
    ),
    update(packages)
    .where(
        packages.c.tenant_id == bindparam("of_tenant"),
        packages.c.package_id.in_(_THEIRS),
        packages.c.state.in_(("building", "ready")),
    )
    .values(state="erased"),
)
_ERASURE = select(erasures.c.erasure_id, erasures.c.request_id).where(given(erasures, "customer_id"))
_NAMED = select(processor_references.c.account_id).where(given(processor_references, "customer_id"))
_ACCOUNTS = select(processor_accounts.c.account_id).where(
    and_(
        given(processor_accounts, "live"),
        processor_accounts.c.deleted_at.is_(None),
        or_(bindparam("unknown", type_=processor_accounts.c.live.type), processor_accounts.c.account_id.in_(_NAMED)),
    )
)
