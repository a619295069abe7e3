"""What a person is told beside their data (GDPR art. 15(1)): why it is processed, who has it, how long it is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select

from rows.conditions import given, together
from vault.caller import Caller
from vault.policy import Policy, Retention
from vault.tables import (
    erasures,
    package_customers,
    packages,
    processor_accounts,
    processor_references,
    rights_requests,
    tokens,
)

UNTIL_ERASED = "until an erasure"
AS_PROOF = "as proof, without a limit of time; after an erasure ids, codes and times only"

CATEGORIES: Sequence[Mapping[str, str]] = (
    {
        "category": "billing contact and customer reference",
        "source": "you, or the controller when it created you here",
        "kept": UNTIL_ERASED,
    },
    {
        "category": "search digests of reference, email and phone",
        "source": "made here, of the billing contact",
        "kept": UNTIL_ERASED,
    },
    {
        "category": "card metadata, no card number",
        "source": "the processor, of the card that you gave",
        "kept": UNTIL_ERASED,
    },
    {
        "category": "charges and refunds",
        "source": "the controller, and the processor's answers",
        "kept": "details until an erasure; amount, date, state and what was paid as retention says for transactions",
    },
    {
        "category": "notes on cards and charges (metadata)",
        "source": "the controller",
        "kept": UNTIL_ERASED,
    },
    {
        "category": "rights requests, restriction",
        "source": "you, through the controller",
        "kept": AS_PROOF,
    },
    {
        "category": "who looked at this record and changed it",
        "source": "made here",
        "kept": AS_PROOF,
    },
)
"""Art. 15(1)(b), (d) and (g): which kinds of data Panless holds, where each comes from, and how long it is kept."""

RIGHTS = (
    "rectification (art. 16), erasure (art. 17), restriction (art. 18), objection (art. 21), "
    "portability (art. 20), and a complaint with the supervisory authority (art. 77)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notices:
    """What the controller must tell with every answer to an access request; recipients by their kind of processor."""

    policy_version: str
    controller: Mapping[str, str]
    data_protection_officer: str
    authority: str
    purposes: Sequence[str]
    retention: Mapping[str, Retention]
    recipients: Mapping[str, str]
    transfers: Mapping[str, str]


def notices_of(policy: Policy) -> Notices:
    """The notices out of the policy."""
    return Notices(
        policy_version=policy.version,
        controller=policy.controller,
        data_protection_officer=policy.data_protection_officer,
        authority=policy.authority,
        purposes=sorted(policy.purposes),
        retention=policy.retention,
        recipients=policy.recipients,
        transfers=policy.transfers,
    )


def processing(connection: Connection, notices: Notices, caller: Caller, customer_id: str) -> dict[str, Any]:
    """The notices, with the recipients that this customer's data went to, each by its legal name."""
    named = {"of_tenant": caller.tenant, "of_customer": customer_id}
    recipients = [_recipient(notices, *row) for row in connection.execute(_RECIPIENTS, named)]
    told = {name: value for name, value in asdict(notices).items() if name != "transfers"}
    return {**told, "categories": CATEGORIES, "recipients": recipients, "rights": RIGHTS}


def requests(connection: Connection, caller: Caller, customer_id: str) -> list[dict[str, Any]]:
    """The rights requests that this customer is or was a target of, oldest first."""
    named = {"of_tenant": caller.tenant, "of_customer": customer_id}
    return [each._asdict() for each in connection.execute(_REQUESTS, named)]


def _recipient(notices: Notices, kind: str, account: str, account_id: str) -> dict[str, str | None]:
    """A kind that the deployment had once and the policy no longer names goes by that kind: it did get the data."""
    return {
        "name": notices.recipients.get(kind, kind),
        "processor": kind,
        "account": account,
        "account_id": account_id,
        "third_country": notices.transfers.get(kind),
    }


_REQUESTED = or_(
    rights_requests.c.request_id.in_(select(erasures.c.request_id).where(given(erasures, "customer_id"))),
    rights_requests.c.request_id.in_(
        select(packages.c.request_id)
        .join(package_customers, together(package_customers, packages, "package_id"))
        .where(given(package_customers, "customer_id"))
    ),
)
_REQUESTS = (
    select(
        rights_requests.c.request_id.label("id"),
        rights_requests.c.type,
        rights_requests.c.regulation,
        rights_requests.c.state.label("status"),
        rights_requests.c.submitted_at,
        rights_requests.c.due_at,
        rights_requests.c.completed_at,
    )
    .where(rights_requests.c.tenant_id == bindparam("of_tenant"), _REQUESTED)
    .order_by(rights_requests.c.received_at, rights_requests.c.request_id)
)
_RECIPIENTS = (
    select(processor_accounts.c.kind, processor_accounts.c.label, processor_accounts.c.account_id)
    .where(
        processor_accounts.c.tenant_id == bindparam("of_tenant"),
        or_(
            processor_accounts.c.account_id.in_(select(tokens.c.account_id).where(given(tokens, "customer_id"))),
            processor_accounts.c.account_id.in_(
                select(processor_references.c.account_id).where(given(processor_references, "customer_id"))
            ),
        ),
    )
    .order_by(processor_accounts.c.account_id)
)
