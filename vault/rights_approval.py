"""Who may let a request go on: one actor, or two different ones for erasures above a rate.

An actor is the human that the client names, or else the client itself. Where two are needed, they must be named.
"""

from datetime import timedelta

from sqlalchemy import Connection, func, select

from vault.caller import Caller
from vault.errors import ActorNeeded
from vault.policy import Policy
from vault.statements import insert_if_absent
from vault.tables import erasures, rights_approvals

RATE_OVER = timedelta(days=1)


def approvals_needed(tx: Connection, policy: Policy, caller: Caller, kind: str, customers: int) -> int:
    """How many actors must approve a request about so many customers: the rate counts a tenant's last day."""
    if kind != "erasure":
        return 1
    recent = select(func.count()).where(
        erasures.c.tenant_id == caller.tenant, erasures.c.requested_at > caller.at - RATE_OVER
    )
    return 2 if (tx.scalar(recent) or 0) + customers > policy.erasures_per_day else 1


def approved_by(tx: Connection, caller: Caller, request_id: str, needed: int = 2) -> int:
    """Note that this actor approves, once; how many have. Raises ActorNeeded."""
    if needed > 1 and caller.actor is None:
        raise ActorNeeded("Two people must approve this: name the human in Panless-Actor.")
    row = {
        "tenant_id": caller.tenant,
        "request_id": request_id,
        "actor": caller.actor or caller.client,
        "client_id": caller.client,
        "approved_at": caller.at,
    }
    insert_if_absent(tx, rights_approvals, row)
    theirs = select(func.count()).where(
        rights_approvals.c.tenant_id == caller.tenant, rights_approvals.c.request_id == request_id
    )
    return tx.scalar(theirs) or 0
