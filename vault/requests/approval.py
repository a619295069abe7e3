"""Who may let a request go on: one actor, or two different ones for erasures above a rate.

Whom an issuer's token names (its subject) is a person; everybody else is as many people as there are clients, whatever
names a client gives them. Where two are needed, they must be named all the same, for the record.
"""

from datetime import timedelta

from sqlalchemy import BindParameter, ColumnElement, Connection, and_, exists, func, select

from rows.changes import insert_if_absent
from rows.engine import is_sqlite
from vault.caller import Caller
from vault.errors import ActorNeeded
from vault.policy import Policy
from vault.requests import rights
from vault.tables import erasures, rights_approvals, rights_requests, rights_targets

RATE_OVER = timedelta(days=1)


def approvals_needed(tx: Connection, policy: Policy, caller: Caller, kind: str, customers: int) -> int:
    """How many actors must approve a request about so many customers.

    The rate counts what a tenant erased in the last day, and what is approved and waits: behind a hold, for the worker.
    On PostgreSQL those who count wait for one another until they have written what counts.
    """
    if kind != "erasure":
        return 1
    if not is_sqlite(tx):
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"erasures {caller.tenant}"))))
    recent = select(func.count()).where(
        erasures.c.tenant_id == caller.tenant, erasures.c.requested_at > caller.at - RATE_OVER
    )
    ahead = select(func.count()).select_from(rights_targets).where(waiting(caller.tenant))
    counted = (tx.scalar(recent) or 0) + (tx.scalar(ahead) or 0)
    return 2 if counted + customers > policy.erasures_per_day else 1


def waiting(tenant: str | BindParameter[str]) -> ColumnElement[bool]:
    """The condition for targets of a tenant's erasures that are approved and not carried out yet."""
    request = and_(
        rights.OF_REQUEST,
        rights_requests.c.type == "erasure",
        rights_requests.c.state.in_(rights.UNDER_WAY),
    )
    return and_(
        rights_targets.c.tenant_id == tenant,
        rights_targets.c.state.in_(("waiting", "blocked")),
        exists().where(request).correlate(rights_targets),
    )


def approved_by(tx: Connection, caller: Caller, request_id: str, needed: int = 2) -> int:
    """Note that this actor approves, once; how many people have. Raises ActorNeeded."""
    if needed > 1 and caller.actor is None and caller.person is None:
        raise ActorNeeded("Two people must approve this: name the human in Panless-Actor.")
    row = {
        "tenant_id": caller.tenant,
        "request_id": request_id,
        "actor": caller.person or caller.actor or caller.client,
        "client_id": caller.client,
        "vouched": caller.person is not None,
        "approved_at": caller.at,
    }
    insert_if_absent(tx, rights_approvals, row)
    people = select(func.count(rights.PERSON.distinct())).where(
        rights_approvals.c.tenant_id == caller.tenant, rights_approvals.c.request_id == request_id
    )
    return tx.scalar(people) or 0
