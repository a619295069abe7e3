"""Rights requests: what a data subject asked for, with its clock, and what came of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, bindparam, select

from keys.database import reading
from keys.prepared import Prepared
from vault import deadlines
from vault import ledger as ledgers
from vault.caller import Caller
from vault.errors import NotFoundHere, NotUsable
from vault.ledger import Ledger
from vault.policy import Policy
from vault.statements import Change, inserted
from vault.tables import customers, erasures, ledger_outbox, rights_requests

COMPLETED = frozenset({"completed", "completed_with_retention"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RightsRequest:
    """A rights request and its one target."""

    id: str
    type: str
    customer: str
    status: str
    regulation: str
    submitted_at: datetime
    due_at: datetime
    completed_at: datetime | None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do, at the processors either."""
        return self.status in COMPLETED


def new(policy: Policy, caller: Caller, request_id: str, kind: str, customer_id: str) -> RightsRequest:
    """A request that is carried out as it comes in; when it must be answered is the policy's."""
    return RightsRequest(
        id=request_id,
        type=kind,
        customer=customer_id,
        status="executing",
        regulation="gdpr",
        submitted_at=caller.at,
        due_at=deadlines.due(policy, "gdpr", submitted_at=caller.at, received_at=caller.at),
        completed_at=None,
    )


def made(caller: Caller, request: RightsRequest) -> Change:
    """Its row."""
    row = {
        "tenant_id": caller.tenant,
        "request_id": request.id,
        "type": request.type,
        "regulation": request.regulation,
        "state": request.status,
        "client_id": caller.client,
        "submitted_at": request.submitted_at,
        "received_at": caller.at,
        "due_at": request.due_at,
    }
    return inserted(rights_requests, row)


def read(records: Engine, caller: Caller, request_id: str) -> RightsRequest:
    """One request. Raises NotFoundHere."""
    with reading(records) as connection:
        return _request(_row(connection, caller, request_id))


def certificate(records: Engine, ledger: Ledger, caller: Caller, request_id: str) -> dict[str, Any]:
    """The latest certificate of an erasure: the ledger's signed entry. Raises NotFoundHere, NotUsable before it is."""
    with reading(records) as connection:
        row = _row(connection, caller, request_id)
        statement = select(ledger_outbox.c.seq).where(
            ledger_outbox.c.tenant_id == caller.tenant, ledger_outbox.c.entry_id == row.done_entry_id
        )
        seq = connection.execute(statement).scalar_one_or_none()
    if seq is None:
        raise NotUsable("not_certified_yet", "This erasure is not certified yet. Ask again later.")
    return ledgers.find(ledger, seq)


def request_of_customer(connection: Connection, caller: Caller, customer_id: str) -> str | None:
    """The id of the erasure request that a customer is or was the target of."""
    asked = {"of_tenant": caller.tenant, "of_mode": caller.live, "of_customer": customer_id}
    found: str | None = _OF_CUSTOMER.scalar(connection, asked)
    return found


def _row(connection: Connection, caller: Caller, request_id: str) -> Row[Any]:
    asked = {"of_tenant": caller.tenant, "of_mode": caller.live, "of_request": request_id}
    row: Row[Any] | None = _ONE.one_or_none(connection, asked)
    if row is None:
        raise NotFoundHere("No such rights request.")
    return row


_MINE = and_(erasures.c.tenant_id == bindparam("of_tenant"), customers.c.live == bindparam("of_mode"))
_ERASED = and_(customers.c.tenant_id == erasures.c.tenant_id, customers.c.customer_id == erasures.c.customer_id)
_OF_CUSTOMER = Prepared(
    select(erasures.c.request_id)
    .join(customers, _ERASED)
    .where(_MINE, erasures.c.customer_id == bindparam("of_customer"))
)
_ONE = Prepared(
    select(rights_requests, erasures.c.customer_id, erasures.c.done_entry_id)
    .join(
        erasures,
        and_(
            erasures.c.tenant_id == rights_requests.c.tenant_id,
            erasures.c.request_id == rights_requests.c.request_id,
        ),
    )
    .join(customers, _ERASED)
    .where(_MINE, rights_requests.c.request_id == bindparam("of_request"))
)


def _request(row: Row[Any]) -> RightsRequest:
    return RightsRequest(
        id=row.request_id,
        type=row.type,
        customer=row.customer_id,
        status=row.state,
        regulation=row.regulation,
        submitted_at=row.submitted_at,
        due_at=row.due_at,
        completed_at=row.completed_at,
    )
