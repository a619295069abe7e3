"""Erasing a customer: on the ledger, in the keystore, in the records, at the processors; then the certificate.

Each step leaves a row that says how far it came, and any process may take it up there (`carry_on`). The local part
never waits for a processor: one that does not answer is told again by the worker, for as long as it takes.

`decided` (on its way through the ledger) -> `shredded` (nothing opens any more) -> `certified` (some recipients have
not answered yet) -> `completed`. What processors must be told is sealed under the request's own key, which goes last.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, insert, select, update

from keys.database import reading, transaction
from keys.dek import Dek
from keys.errors import KeyDestroyed
from vault import audit, certificates, recipients, rights
from vault.caller import Caller
from vault.columns import database_clock
from vault.errors import Blocked, Erased, EraseIncomplete, NotFoundHere
from vault.ids import new_id
from vault.ledger import Ledger, decide, settle
from vault.policy import Policy
from vault.processing import Processors
from vault.rights import RightsRequest
from vault.tables import OPEN_STATES, charges, customers, erasures, refunds, rights_requests

LEASE_SECONDS = 60


def erase(
    records: Engine,
    ledger: Ledger,
    processors: Processors,
    policy: Policy,
    caller: Caller,
    customer_id: str,
) -> RightsRequest:
    """Erase a customer now, as far as it goes; asking again finds the same request. Raises NotFoundHere, Blocked."""
    request_id = _request_of(records, caller, customer_id)
    if request_id is None:
        try:
            request_id = _decide(records, ledger, policy, caller, customer_id)
        except (Erased, KeyDestroyed):  # a twin of this request was faster, and it carries on
            request_id = _request_of(records, caller, customer_id)
            if request_id is None:
                raise
        else:
            carry_on(records, ledger, processors, policy, caller, request_id)
    return rights.read(records, caller, request_id)


def carry_on(
    records: Engine, ledger: Ledger, processors: Processors, policy: Policy, caller: Caller, request_id: str
) -> None:
    """Take an erasure through every step that is open. Safe to repeat, by any process."""
    erasure = _read(records, caller.tenant, request_id)
    if erasure.state == "decided":
        settle(ledger, records)
        erasure = _read(records, caller.tenant, request_id)
    if erasure.state in {"shredded", "certified"}:
        answered = recipients.tell(records, ledger.keyring, processors, caller, erasure)
        told = [*recipients.of_erasure(records, erasure), *recipients.open_storings(records, erasure)]
        complete = all(row.result != "pending" for row in told)
        if answered or complete or erasure.state == "shredded":
            _certify(records, ledger, policy, caller, erasure, told, complete=complete)
            settle(ledger, records)


def _request_of(records: Engine, caller: Caller, customer_id: str) -> str | None:
    with reading(records) as connection:
        return rights.request_of_customer(connection, caller, customer_id)


def take_up(records: Engine, tenant: str, request_id: str) -> bool:
    """Take the lease of an erasure whose lease is over; whether this process got it."""
    free = and_(_this(tenant, request_id), erasures.c.state != "completed", erasures.c.lease_until <= database_clock())
    with transaction(records) as tx:
        return tx.execute(update(erasures).where(free).values(lease_until=database_clock(LEASE_SECONDS))).rowcount == 1


def open_requests(records: Engine) -> Sequence[Row[str, str, bool]]:
    """Every erasure that is not complete and that nobody works on: (tenant_id, request_id, live)."""
    of_customer = and_(customers.c.tenant_id == erasures.c.tenant_id, customers.c.customer_id == erasures.c.customer_id)
    statement = (
        select(erasures.c.tenant_id, erasures.c.request_id, customers.c.live)
        .join(customers, of_customer)
        .where(erasures.c.state != "completed", erasures.c.lease_until <= database_clock())
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def _decide(records: Engine, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str) -> str:
    """One transaction: nothing open, no more charges, what processors must be told under the request's own key."""
    keyring = ledger.keyring
    request_id, erasure_id = new_id("rr", caller.tenant), new_id("era", caller.tenant)
    with reading(records) as connection:
        row = connection.execute(_customer(caller, customer_id)).one_or_none()
    if row is None:
        raise NotFoundHere("No such customer.")
    own = keyring.dek(caller.tenant, row.dek_id)
    request_dek = keyring.new_dek(caller.tenant, "erasure", erasure_id)
    with audit.transaction(records) as tx:
        customer = tx.execute(_customer(caller, customer_id).with_for_update()).one()
        if customer.state != "active":
            raise Erased("This customer was erased.")
        _refuse_while_open(tx, caller, customer_id)
        _forbid_use(tx, caller, customer)
        entry_id = decide(
            tx,
            ledger,
            caller,
            "erase.intent",
            customer_id,
            version=customer.version + 1,
            dek_id=customer.dek_id,
        )
        _insert_request(tx, policy, caller, request_id)
        _insert_erasure(tx, caller, customer_id, request_id, erasure_id, request_dek, entry_id)
        recipients.insert_all(tx, keyring, caller, customer_id, erasure_id, own, request_dek)
        audit.record(tx, keyring, caller, "customer.erase", customer=customer_id, resource=request_id)
    return request_id


def _refuse_while_open(tx: Connection, caller: Caller, customer_id: str) -> None:
    theirs = and_(charges.c.tenant_id == caller.tenant, charges.c.customer_id == customer_id)
    refund_of = and_(refunds.c.tenant_id == charges.c.tenant_id, refunds.c.charge_id == charges.c.charge_id)
    pending = refunds.c.state.in_(("pending", "unknown"))
    looks = {
        "open_charge": select(charges.c.charge_id).where(theirs, charges.c.state.in_(OPEN_STATES)),
        "pending_refund": select(refunds.c.refund_id).join(charges, refund_of).where(theirs, pending),
    }
    reasons = [reason for reason, look in looks.items() if tx.execute(look.limit(1)).first() is not None]
    if reasons:
        raise Blocked(reasons)


def _forbid_use(tx: Connection, caller: Caller, customer: Row[Any]) -> None:
    this = and_(customers.c.tenant_id == caller.tenant, customers.c.customer_id == customer.customer_id)
    tx.execute(update(customers).where(this).values(state="erasing", version=customers.c.version + 1))


def _insert_request(tx: Connection, policy: Policy, caller: Caller, request_id: str) -> None:
    row = {
        "tenant_id": caller.tenant,
        "request_id": request_id,
        "type": "erasure",
        "regulation": "gdpr",
        "state": "executing",
        "client_id": caller.client,
        "submitted_at": caller.at,
        "received_at": caller.at,
        "due_at": caller.at + timedelta(days=policy.response_days),
    }
    tx.execute(insert(rights_requests), row)


def _insert_erasure(
    tx: Connection, caller: Caller, customer_id: str, request_id: str, erasure_id: str, dek: Dek, entry_id: str
) -> None:
    row = {
        "tenant_id": caller.tenant,
        "erasure_id": erasure_id,
        "request_id": request_id,
        "customer_id": customer_id,
        "state": "decided",
        "dek_id": dek.id,
        "intent_entry_id": entry_id,
        "requested_at": caller.at,
    }
    tx.execute(insert(erasures).values(lease_until=database_clock(LEASE_SECONDS)), row)


def _certify(
    records: Engine,
    ledger: Ledger,
    policy: Policy,
    caller: Caller,
    erasure: Row[Any],
    told: Sequence[Row[Any]],
    *,
    complete: bool,
) -> None:
    """Read back, then decide the certificate; the request's own key goes with the last one."""
    targets = certificates.read_back(records, ledger.keystore, erasure, erasure.customer_dek_id, caller.at)
    if not certificates.is_verified(targets):
        raise EraseIncomplete(f"Erasure {erasure.erasure_id} left something behind; nothing is certified.")
    kept = certificates.retained(records, erasure, policy)
    body = certificates.certificate(erasure, policy, targets=targets, recipients=told, kept=kept, at=caller.at)
    state = "completed" if complete else "certified"
    with audit.transaction(records) as tx:
        this = and_(_this(erasure.tenant_id, erasure.request_id), erasures.c.state == erasure.state)
        changes = {"state": state, "completed_at": caller.at if complete else None}
        if tx.execute(update(erasures).where(this).values(**changes)).rowcount != 1:
            return  # another process certified it first
        decide(
            tx,
            ledger,
            caller,
            "erase.done",
            erasure.customer_id,
            version=erasure.customer_version,
            dek_id=erasure.dek_id if complete else None,
            certificate=body,
        )
        _finish_request(tx, caller, erasure, complete=complete, kept=bool(kept))
        details = {"pending": sum(row.result == "pending" for row in told)}
        audit.record(
            tx,
            ledger.keyring,
            caller,
            "customer.erased",
            customer=erasure.customer_id,
            resource=erasure.request_id,
            details=details,
        )


def _finish_request(tx: Connection, caller: Caller, erasure: Row[Any], *, complete: bool, kept: bool) -> None:
    done = "completed_with_retention" if kept else "completed"
    changes = {"state": done, "completed_at": caller.at} if complete else {"state": "awaiting_processor"}
    this = and_(rights_requests.c.tenant_id == erasure.tenant_id, rights_requests.c.request_id == erasure.request_id)
    tx.execute(update(rights_requests).where(this).values(**changes))


def _read(records: Engine, tenant: str, request_id: str) -> Row[Any]:
    of_request = and_(
        rights_requests.c.tenant_id == erasures.c.tenant_id, rights_requests.c.request_id == erasures.c.request_id
    )
    of_customer = and_(customers.c.tenant_id == erasures.c.tenant_id, customers.c.customer_id == erasures.c.customer_id)
    columns = (
        rights_requests.c.regulation,
        customers.c.dek_id.label("customer_dek_id"),
        customers.c.version.label("customer_version"),
    )
    statement = select(erasures, *columns).join(rights_requests, of_request).join(customers, of_customer)
    with reading(records) as connection:
        return connection.execute(statement.where(_this(tenant, request_id))).one()


def _customer(caller: Caller, customer_id: str) -> Select[Any]:
    return select(customers).where(
        customers.c.tenant_id == caller.tenant,
        customers.c.live == caller.live,
        customers.c.customer_id == customer_id,
    )


def _this(tenant: str, request_id: str) -> ColumnElement[bool]:
    return and_(erasures.c.tenant_id == tenant, erasures.c.request_id == request_id)
