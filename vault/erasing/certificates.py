"""Erasure certificates: what was destroyed and read back, what recipients answered, what is kept and until when.

A certificate claims nothing that was not looked at: each target is verified by reading the databases after the shred.
It holds ids and codes only. The ledger's signed `erase.done` entry carries it; a later one supersedes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, Table, exists, func, or_, select

from keys import keystore as keystores
from rows.conditions import given, together
from rows.engine import reading
from vault.erasing.recipients import Recipient
from vault.policy import Policy
from vault.tables import (
    blind_index,
    charges,
    customers,
    intents,
    package_chunks,
    package_customers,
    processor_references,
    tokens,
)

_DESTROYED_VALUES: dict[str, tuple[Table, tuple[str, ...]]] = {
    "billing_contact": (customers, ("contact",)),
    "cards": (tokens, ("card", "metadata", "outcome")),
    "charge_details": (charges, ("details",)),
    "intent_parameters": (intents, ("parameters",)),
}
_DELETED_ROWS = {"index": blind_index, "processor_references": processor_references}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What a look at both databases after the shred found."""

    targets: Sequence[dict[str, str]]
    last_charge: datetime | None

    @property
    def is_verified(self) -> bool:
        """Whether nothing that had to go is still there."""
        return all(target["result"] == "verified" for target in self.targets)


def read_back(records: Engine, keystore: Engine, erasure: Row[Any], at: datetime) -> ReadBack:
    """Look whether all that had to go is gone: one row a target, its result `verified` or `still_there`."""
    with reading(keystore) as connection:
        key_lives = keystores.has_live_dek(connection, erasure.tenant_id, erasure.customer_id)
    named = {"of_tenant": erasure.tenant_id, "of_customer": erasure.customer_id}
    with reading(records) as connection:
        left = connection.execute(_LEFT, named).one()._asdict()
    last_charge = left.pop("last_charge")
    targets = [_target("customer_key", "destroyed", at, key_lives)]
    targets += [_target(name, "deleted", at, found) for name, found in left.items()]
    return ReadBack(targets=targets, last_charge=last_charge)


def retained(last_charge: datetime | None, policy: Policy) -> list[dict[str, str]]:
    """What the law makes us keep of this customer, on which basis and until when."""
    if last_charge is None:
        return []
    rule = policy.retention["transactions"]
    until = last_charge + timedelta(days=366 * rule.years)  # never a day too early
    return [{"class": "transactions", "basis": rule.basis, "until": until.date().isoformat()}]


def certificate(
    erasure: Row[Any],
    policy: Policy,
    *,
    targets: Sequence[dict[str, str]],
    recipients: Sequence[Recipient],
    kept: Sequence[dict[str, str]],
    at: datetime,
) -> dict[str, Any]:
    """The certificate as it stands now; while recipients are pending, but not scheduled, it is not completed."""
    pending = any(row.result == "pending" for row in recipients)
    return {
        "id": erasure.erasure_id,
        "request_id": erasure.request_id,
        "customer": erasure.customer_id,
        "regulation": erasure.regulation,
        "requested_at": _text(erasure.requested_at),
        "completed_at": None if pending else _text(erasure.completed_at or at),
        "targets": list(targets),
        "recipients": [_recipient(row) for row in recipients],
        "retained": list(kept),
        "unrecoverable_after": _text(erasure.shredded_at + timedelta(days=policy.keystore_backup_days)),
        "policy_version": policy.version,
        "supersedes": erasure.done_entry_id,
    }


def _recipient(row: Recipient) -> dict[str, str | None]:
    return {
        "name": row.kind,
        "processor_account": row.account_id,
        "what": row.what,
        "result": row.result,
        "answered_at": _text(row.answered_at) if row.answered_at else None,
        "scheduled_for": _text(row.scheduled_for) if row.scheduled_for else None,
        "waits_for": row.waits_for,
        "looked_for": row.looked_for,
    }


def _target(name: str, action: str, at: datetime, still_there: bool) -> dict[str, str]:  # noqa: FBT001  # a finding
    result = "still_there" if still_there else "verified"
    return {"name": name, "action": action, "verified_at": _text(at), "result": result}


def _values_left(table: Table, columns: tuple[str, ...]) -> ColumnElement[bool]:
    any_left = or_(*(table.c[column].is_not(None) for column in columns))
    return exists().where(given(table, "customer_id"), any_left)


_LEFT = select(
    *(_values_left(*place).label(name) for name, place in _DESTROYED_VALUES.items()),
    *(exists().where(given(table, "customer_id")).label(name) for name, table in _DELETED_ROWS.items()),
    exists()
    .where(given(package_customers, "customer_id"), together(package_chunks, package_customers, "package_id"))
    .label("packages"),
    select(func.max(charges.c.created_at)).where(given(charges, "customer_id")).scalar_subquery().label("last_charge"),
)


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
