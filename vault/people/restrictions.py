"""Restriction of processing (GDPR Art. 18): a customer's data is kept and shown, and not used.

While it stands, charging, tokenizing and reading the contact for billing are refused. It holds from the moment it is
decided; lifting it takes effect once the ledger and both databases have it, so that a lost transaction never lifts one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from rows.changes import update_row
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Invalid, NotUsable
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.people.customer_rows import any_row_of, lone_row_of, refuse_erased
from vault.tables import customers

GROUNDS = ("accuracy_contested", "unlawful", "needed_for_claims", "objection")
"""Art. 18(1)(a) to (d). Codes, because the ledger and the audit log hold no free text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """Whether a customer is restricted, since when and why."""

    customer: str
    restricted: bool
    ground: str | None
    since: datetime | None


def restrict(desk: Desk, ledger: Ledger, customer_id: str, ground: str) -> Restriction:
    """Restrict a customer; a second time changes the ground. Raises NotFoundHere, Erased, Invalid."""
    if ground not in GROUNDS:
        raise Invalid("ground", f"One of: {', '.join(GROUNDS)}.")
    with audit.transaction(desk.records) as tx:
        since = restrict_in(desk, tx, ledger, customer_id, ground)
    settle(ledger, desk.records)
    return Restriction(customer=customer_id, restricted=True, ground=ground, since=since)


def restrict_in(desk: Desk, tx: Connection, ledger: Ledger, customer_id: str, ground: str) -> datetime:
    """Restrict a customer in `tx`, for a caller who settles the ledger afterwards; since when it is restricted."""
    row = lone_row_of(tx, desk.caller, customer_id)
    since: datetime = row.restricted_at or desk.caller.at
    entry = _decide(tx, ledger, desk.caller, row, "restrict.set", {"ground": ground})
    now = {"restricted": True, "restriction_ground": ground, "restricted_at": since}
    _write(tx, row, entry, now)
    audit.record(desk, tx, "customer.restrict", customer=customer_id, details={"ground": ground})
    return since


def lift(desk: Desk, ledger: Ledger, customer_id: str, notified_at: datetime) -> Restriction:
    """Lift a restriction whose end the person was told of before (Art. 18(3)).

    Raises NotFoundHere, Erased, Invalid for a notice in the future or from before the restriction, NotUsable without
    a restriction.
    """
    with audit.transaction(desk.records) as tx:
        row = any_row_of(tx, desk.caller, customer_id)  # an erased customer's transactions stay restricted, too
        if not row.restricted:
            refuse_erased(row)
            raise NotUsable("not_restricted", "This customer is not restricted.")
        if not row.restricted_at.replace(microsecond=0) <= notified_at <= desk.caller.at:  # notices have whole seconds
            raise Invalid("notified_at", "The person is told while the restriction stands, before it is lifted.")
        entry = _decide(tx, ledger, desk.caller, row, "restrict.lift", {"notified_at": notified_at.isoformat()})
        _write(tx, row, entry, {})
        told = {"notified_at": notified_at.isoformat()}
        audit.record(desk, tx, "customer.unrestrict", customer=customer_id, details=told)
    settle(ledger, desk.records)
    return Restriction(customer=customer_id, restricted=False, ground=None, since=None)


def _decide(
    tx: Connection, ledger: Ledger, caller: Caller, row: Row[Any], kind: str, terms: dict[str, str]
) -> dict[str, Any]:
    """The columns that say which entry was the last about this customer."""
    version = row.version + 1
    entry_id = decide(tx, ledger, caller, kind, row.customer_id, version=version, terms=terms)
    return {"version": version, "last_entry_id": entry_id}


def _write(tx: Connection, row: Row[Any], entry: dict[str, Any], now: dict[str, Any]) -> None:
    update_row(tx, customers, {"tenant_id": row.tenant_id, "customer_id": row.customer_id}, {**entry, **now})
