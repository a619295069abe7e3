"""What an erasure must know before it is decided, asked of the records in one look."""

from typing import Any

from sqlalchemy import bindparam, exists, literal, select, true

from keys.identity import identity_of
from rows.conditions import given, together
from rows.prepared import Prepared
from vault import charge_states
from vault.caller import Caller
from vault.policy import Policy
from vault.requests import rights
from vault.requests.approval import RATE_OVER, waiting
from vault.tables import (
    CLOSED_DISPUTES,
    charges,
    customers,
    disputes,
    erasures,
    guard,
    package_customers,
    processor_accounts,
    processor_references,
    refunds,
    rights_requests,
    rights_targets,
)
from vault.tables import holds as hold_table

TOGETHER_AT_MOST = 200
"""Erasures that may be decided at the same time: so many before the policy's rate they are counted one by one."""


def asked(caller: Caller, customer_id: str) -> dict[str, Any]:
    """Which customer is meant, for `CUSTOMER_HELD`."""
    return {"of_tenant": caller.tenant, "of_live": caller.live, "of_customer": customer_id}


def named(policy: Policy, caller: Caller, customer_id: str) -> dict[str, Any]:
    """What `OPEN` asks, after the customer is held: who held it before us may just have charged."""
    before = max(policy.erasures_per_day - 1 - TOGETHER_AT_MOST, 0)
    rate = {"since": caller.at - RATE_OVER, "before": before}
    return {"of_tenant": caller.tenant, "of_customer": customer_id, **rate}


CUSTOMER_HELD = Prepared(
    select(customers.c.state, customers.c.version, customers.c.dek_id)
    .where(given(customers, "live", "customer_id"))
    .with_for_update()
)
_THEIRS = given(charges, "customer_id")
_RECENT = (
    select(literal(1))
    .where(erasures.c.tenant_id == bindparam("of_tenant"), erasures.c.requested_at > bindparam("since"))
    .union_all(select(literal(1)).where(waiting(bindparam("of_tenant"))))
    .offset(bindparam("before"))
    .limit(1)
)
_REQUEST = (
    select(rights_requests.c.request_id, rights_requests.c.state)
    .join(rights_targets, rights.OF_REQUEST)
    .where(
        given(rights_targets, "customer_id"),
        rights_requests.c.type == "erasure",
        rights_requests.c.state.in_(rights.OPEN),
    )
    .order_by(rights_requests.c.received_at, rights_requests.c.request_id)
    .limit(1)
    .subquery()
)
_HELD = (
    select(
        processor_references.c.tenant_id,
        processor_references.c.owner_id,
        processor_references.c.account_id,
        processor_references.c.customer_id,
        processor_references.c.reference,
        processor_references.c.reference_version,
        processor_accounts.c.kind,
    )
    .join(processor_accounts, together(processor_accounts, processor_references, "account_id"))
    .where(given(processor_references, "customer_id"))
    .subquery()
)
OPEN = Prepared(
    select(
        exists().where(_THEIRS, charges.c.state.in_(charge_states.OPEN)).label("open_charge"),
        exists()
        .where(_THEIRS, together(refunds, charges, "charge_id"), refunds.c.state.in_(("pending", "unknown")))
        .label("pending_refund"),
        exists()
        .where(_THEIRS, together(disputes, charges, "charge_id"), disputes.c.state.not_in(CLOSED_DISPUTES))
        .label("open_dispute"),
        exists().where(given(hold_table, "customer_id"), hold_table.c.lifted_at.is_(None)).label("hold"),
        exists().where(given(package_customers, "customer_id")).label("package"),
        exists(_RECENT).label("near_rate"),
        _REQUEST.c.request_id,
        _REQUEST.c.state.label("status"),
        guard.c.seq,
        guard.c.hash,
        identity_of(guard).label("identity"),
        *_HELD.c,
    ).select_from(guard.outerjoin(_REQUEST, true()).outerjoin(_HELD, true()))
)
"""What stands in the way, in one row for each thing that a processor has of the customer, or in one without any."""
