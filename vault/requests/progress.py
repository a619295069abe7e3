"""How a rights request moves on: where it stands follows from where its targets are, under a lock."""

from datetime import datetime

from sqlalchemy import Connection, select

from rows.changes import update_row
from rows.conditions import given
from rows.prepared import Prepared
from vault.errors import NotUsable
from vault.requests.rights import CLOSED, UNDER_WAY, Target
from vault.tables import rights_requests, rights_targets


def move(tx: Connection, tenant: str, request_id: str, status: str, **changes: object) -> None:
    """Put a request where it stands now."""
    key = {"tenant_id": tenant, "request_id": request_id}
    update_row(tx, rights_requests, key, {"state": status, **changes})


def targets_of(connection: Connection, tenant: str, request_id: str) -> list[Target]:
    """Whom a request is about, each with where it stands."""
    rows = _TARGETS.all(connection, {"of_tenant": tenant, "of_request": request_id})
    return [Target(customer=row.customer_id, status=row.state) for row in rows]


def hold(tx: Connection, tenant: str, request_id: str) -> str:
    """Lock a request until `tx` ends, and say where it stands.

    Who changes targets, erasures or recipients locks their request before: so nobody settles it by what is old, and
    nobody waits in a circle. A customer is locked before its request.
    """
    return str(_STATE_HELD.scalar(tx, {"of_tenant": tenant, "of_request": request_id}))


def refuse_closed(tx: Connection, tenant: str, request_id: str) -> None:
    """Raise NotUsable for a request that was denied or withdrawn meanwhile, and hold any other."""
    if hold(tx, tenant, request_id) not in UNDER_WAY:
        raise NotUsable("request_closed", "This request was closed. Ask again.")


def move_target(tx: Connection, at: datetime, tenant: str, request_id: str, *targets: Target) -> None:
    """Put targets where they stand now, and the request where that takes it. What ended stays as it ended."""
    hold(tx, tenant, request_id)
    for target in targets:
        key = {"tenant_id": tenant, "request_id": request_id, "customer_id": target.customer}
        changes = {"state": target.status, "reasons": " ".join(target.reasons), "until": target.until}
        update_row(tx, rights_targets, key, changes)
    settle(tx, at, tenant, request_id)


def settle(tx: Connection, at: datetime, tenant: str, request_id: str) -> None:
    """Put a request that is under way where its targets are; without any, it is complete."""
    before = hold(tx, tenant, request_id)
    found = {row.state for row in _TARGETS.all(tx, {"of_tenant": tenant, "of_request": request_id})}
    done = "completed_with_retention" if "retained" in found else "completed"
    status = next((status for target, status in _BEHIND.items() if target in found), done)
    if before in CLOSED or before == status:
        return
    move(tx, tenant, request_id, status, **({"completed_at": at} if status == done else {}))


_BEHIND = {
    "blocked": "blocked",
    "waiting": "executing",
    "executing": "executing",
    "awaiting_processor": "awaiting_processor",
}
"""Where a request stands by the target that is furthest behind; the others are `done`, or `retained` in part."""

_STATE_HELD = Prepared(select(rights_requests.c.state).where(given(rights_requests, "request_id")).with_for_update())
_TARGETS = Prepared(
    select(rights_targets.c.customer_id, rights_targets.c.state).where(given(rights_targets, "request_id"))
)
