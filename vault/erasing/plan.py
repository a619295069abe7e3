"""What erasing a customer would do, before anything is done: what goes, what stays, what is in the way, who is told.

The processors are asked what else lives there and would end with the customer. Nothing is changed by looking.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, Table, and_, bindparam, func, select

from keys.keyring import Keyring
from rows.conditions import given, together
from rows.engine import reading
from vault import charge_states
from vault.caller import Caller
from vault.desk import Desk
from vault.erasing import certificates
from vault.errors import NotUsable
from vault.people import holds
from vault.people.customer_rows import row_of
from vault.policy import Policy
from vault.processing import references
from vault.processing.answers import Held
from vault.processing.connecting import Processors, connect
from vault.tables import (
    CLOSED_DISPUTES,
    blind_index,
    charges,
    disputes,
    intents,
    package_customers,
    processor_accounts,
    processor_references,
    refunds,
    tokens,
)

OPEN = ("open_charge", "pending_refund", "open_dispute")
"""What an erasure waits for, besides holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What an erasure must wait for, and until when, where that is known."""

    reason: str
    until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One processor account that will be told; `subscriptions` is None where it does not answer now.

    `redaction_at` is when it would be asked, for an erasure now, to redact what it keeps; None where it never is.
    """

    processor: str
    name: str
    processor_account: str
    payment_methods: int
    subscriptions: int | None
    redaction_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The dry run of an erasure."""

    customer: str
    blocked_by: Sequence[Obstacle]
    destroyed: Sequence[dict[str, Any]]
    retained: Sequence[dict[str, str]]
    recipients: Sequence[Told]

    @property
    def blocked(self) -> bool:
        """Whether it would have to wait."""
        return bool(self.blocked_by)


def plan(desk: Desk, processors: Processors, policy: Policy, customer_id: str) -> Plan:
    """The plan for one customer. Raises NotFoundHere, Erased."""
    named = {"of_tenant": desk.caller.tenant, "of_customer": customer_id}
    with reading(desk.records) as connection:
        customer = row_of(connection, desk.caller, customer_id)
        found = connection.execute(_FOUND, named).one()._asdict()
        accounts = connection.execute(_ACCOUNTS, named).all()
        blocked_by = _obstacles(connection, desk.caller, customer_id, found)
    last_charge = found.pop("last_charge")
    counted = [{"name": name, "records": found[name]} for name in _GOES]
    return Plan(
        customer=customer_id,
        blocked_by=blocked_by,
        destroyed=[{"name": "customer_key", "records": 1}, {"name": "billing_contact", "records": 1}, *counted],
        retained=certificates.retained(last_charge, policy),
        recipients=[_told(desk, processors, policy, customer, row) for row in accounts],
    )


def _obstacles(connection: Connection, caller: Caller, customer_id: str, found: dict[str, Any]) -> list[Obstacle]:
    held = [Obstacle(reason="hold", until=each.until) for each in holds.blocking(connection, caller, customer_id)]
    opened = [Obstacle(reason=name, until=None) for name in OPEN if found.pop(name)]
    return [*opened, *held]


def _told(desk: Desk, processors: Processors, policy: Policy, customer: Row[Any], row: Row[Any]) -> Told:
    days = policy.redaction.get(row.kind) if row.reference is not None else None
    return Told(
        processor=row.kind,
        name=policy.recipients.get(row.kind, row.kind),
        processor_account=row.account_id,
        payment_methods=row.payment_methods,
        subscriptions=_subscriptions(desk.keyring, processors, customer, row),
        redaction_at=desk.caller.at + timedelta(days=days) if days else None,
    )


def _subscriptions(keyring: Keyring, processors: Processors, customer: Row[Any], row: Row[Any]) -> int | None:
    """How many end with the processor's customer; None where it can't say now."""
    if row.reference is None:
        return 0
    dek = keyring.dek(row.tenant_id, customer.dek_id)
    value = references.open_record(keyring, dek, row, owner=customer.customer_id, account=row.account_id)
    try:
        connected = connect(processors, keyring, row.tenant_id, row)
    except NotUsable:
        return None
    held = connected.processor.held(connected.credentials, customer_reference=value["reference"])
    return held.subscriptions if isinstance(held, Held) else None


def _count(table: Table, *which: Any) -> Any:  # noqa: ANN401  # conditions, and an expression
    return select(func.count()).select_from(table).where(given(table, "customer_id"), *which).scalar_subquery()


_GOES = ("cards", "charge_details", "intent_parameters", "index", "processor_references", "packages")
_FOUND = select(
    _count(tokens, tokens.c.card.is_not(None)).label("cards"),
    _count(charges, charges.c.details.is_not(None)).label("charge_details"),
    _count(intents, intents.c.parameters.is_not(None)).label("intent_parameters"),
    _count(blind_index).label("index"),
    _count(processor_references).label("processor_references"),
    _count(package_customers).label("packages"),
    _count(charges, charges.c.state.in_(charge_states.OPEN)).label("open_charge"),
    select(func.count())
    .select_from(refunds.join(charges, together(refunds, charges, "charge_id")))
    .where(given(charges, "customer_id"), refunds.c.state.in_(("pending", "unknown")))
    .scalar_subquery()
    .label("pending_refund"),
    select(func.count())
    .select_from(disputes.join(charges, together(disputes, charges, "charge_id")))
    .where(given(charges, "customer_id"), disputes.c.state.not_in(CLOSED_DISPUTES))
    .scalar_subquery()
    .label("open_dispute"),
    select(func.max(charges.c.created_at)).where(given(charges, "customer_id")).scalar_subquery().label("last_charge"),
)
_OWN = processor_references.alias("own")
_ACCOUNTS = (
    select(
        processor_accounts.c.tenant_id,
        processor_accounts.c.account_id,
        processor_accounts.c.kind,
        processor_accounts.c.credentials,
        processor_accounts.c.credentials_version,
        bindparam("of_customer").label("customer_id"),
        _OWN.c.reference,
        _OWN.c.reference_version,
        select(func.count())
        .select_from(processor_references)
        .where(
            given(processor_references, "customer_id"),
            processor_references.c.account_id == processor_accounts.c.account_id,
            processor_references.c.owner_id != bindparam("of_customer"),
        )
        .scalar_subquery()
        .label("payment_methods"),
    )
    .outerjoin(
        _OWN,
        and_(together(_OWN, processor_accounts, "account_id"), _OWN.c.owner_id == bindparam("of_customer")),
    )
    .where(
        processor_accounts.c.tenant_id == bindparam("of_tenant"),
        processor_accounts.c.account_id.in_(
            select(processor_references.c.account_id).where(given(processor_references, "customer_id"))
        ),
    )
    .order_by(processor_accounts.c.account_id)
)
