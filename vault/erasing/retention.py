"""The end of what the law made us keep: an erased customer's transactions go when the policy's time for them is over.

A restricted customer's stay (GDPR Art. 18(2)), and so does what a legal hold is on, or whose end nobody knows yet. With
a charge go its refunds and what is left of the calls that made them; each customer's part is one transaction with one
audit entry.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, delete, exists, or_, select

from rows.conditions import given, spelled, together
from rows.engine import reading
from vault import audit
from vault.charge_states import OPEN
from vault.desk import Desk
from vault.policy import Policy
from vault.tables import CLOSED_DISPUTES, charges, customers, disputes, holds, intents, refunds

CUSTOMERS, CHARGES = 100, 500
"""How many customers one look finds, and how many charges of one of them go in one transaction."""


def kept_since(policy: Policy, at: datetime) -> datetime:
    """Transactions from before this moment are not kept any longer: never a day too early, whatever leap years do."""
    return at - timedelta(days=366 * policy.retention["transactions"].years)


def expired(records: Engine, policy: Policy, at: datetime) -> Sequence[Row[str, str, bool]]:
    """Some customers with transactions whose time is over: (tenant_id, customer_id, live)."""
    with reading(records) as connection:
        return connection.execute(_EXPIRED, {"before": kept_since(policy, at), "now": at}).all()


def purge(desk: Desk, policy: Policy, customer_id: str) -> int:
    """Delete one customer's transactions whose time is over, at most CHARGES of them; how many went."""
    named = {"of_tenant": desk.caller.tenant, "of_customer": customer_id, "before": kept_since(policy, desk.caller.at)}
    with audit.transaction(desk.records) as tx:
        if tx.execute(_FREE, named | {"now": desk.caller.at}).first() is None:  # held or restricted since it was found
            return 0
        doomed = [*tx.scalars(_THEIRS, named)]
        if doomed:
            _delete(tx, desk.caller.tenant, doomed)
            details: audit.Details = {"class": "transactions", "records": len(doomed)}
            audit.record(desk, tx, "retention.purge", customer=customer_id, details=details)
    return len(doomed)


def _delete(tx: Connection, tenant: str, charge_ids: Sequence[str]) -> None:
    named: dict[str, Any] = {"of_tenant": tenant, "of_charges": charge_ids}
    its_refunds = [*tx.scalars(_REFUNDS, named)]
    tx.execute(_INTENTS, {"of_tenant": tenant, "of_resources": [*charge_ids, *its_refunds]})
    tx.execute(delete(refunds).where(refunds.c.tenant_id == bindparam("of_tenant"), _in_charges(refunds)), named)
    tx.execute(delete(disputes).where(disputes.c.tenant_id == bindparam("of_tenant"), _in_charges(disputes)), named)
    tx.execute(delete(charges).where(charges.c.tenant_id == bindparam("of_tenant"), _in_charges(charges)), named)


def _in_charges(table: Any) -> Any:  # noqa: ANN401  # a condition
    return table.c.charge_id.in_(bindparam("of_charges", expanding=True))


_REFUNDS = select(refunds.c.refund_id).where(refunds.c.tenant_id == bindparam("of_tenant"), _in_charges(refunds))
_INTENTS = delete(intents).where(
    intents.c.tenant_id == bindparam("of_tenant"),
    intents.c.resource_id.in_(bindparam("of_resources", expanding=True)),
    intents.c.state == "done",
)
_HELD = exists().where(
    together(holds, customers, "customer_id"),
    holds.c.lifted_at.is_(None),
    or_(holds.c.until.is_(None), holds.c.until > bindparam("now", type_=holds.c.until.type)),
)
_MAY_GO = and_(spelled(customers.c.state, "erased"), customers.c.restricted.is_(False), ~_HELD)
_IN_DOUBT = or_(
    charges.c.state.in_(OPEN),
    exists().where(together(refunds, charges, "charge_id"), refunds.c.state.in_(("pending", "unknown"))),
    exists().where(together(disputes, charges, "charge_id"), disputes.c.state.not_in(CLOSED_DISPUTES)),
)
_OLD = and_(charges.c.created_at < bindparam("before", type_=charges.c.created_at.type), ~_IN_DOUBT)
_EXPIRED = (
    select(customers.c.tenant_id, customers.c.customer_id, customers.c.live)
    .where(_MAY_GO, exists().where(together(charges, customers, "customer_id"), _OLD))
    .limit(CUSTOMERS)
)
_FREE = select(customers.c.customer_id).where(given(customers, "customer_id"), _MAY_GO).with_for_update(of=customers)
_THEIRS = (
    select(charges.c.charge_id).where(given(charges, "customer_id"), _OLD).order_by(charges.c.created_at).limit(CHARGES)
)
