"""The rest of an erasure, once nothing opens here: the processors are told, what is gone is read back and certified.

Each step leaves a row that says how far it came, and any process may take it up there (`carry_on`). The worker tells
the processors, for as long as it takes, and certifies. Who asks for the certificate before gets one that says who has
not answered. `shredded` -> `certified` (some recipients have not answered yet) -> `redacting`, where the policy has
processors redact later: all else is done and the request is complete, but the erasure's own key stays -> `completed`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, select

from keys import keystore as keystores
from rows.changes import update_row, write
from rows.clock import database_clock
from rows.conditions import spelled, together
from rows.engine import reading, transaction
from vault import audit, leases
from vault.desk import Desk
from vault.erasing import certificates, recipients, redactions, telling
from vault.erasing.recipients import Answer, Recipient
from vault.errors import EraseIncomplete, Invalid, NotFoundHere, NotUsable
from vault.events import raising
from vault.ledger.book import Ledger, find
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.policy import Policy
from vault.processing.connecting import Processors
from vault.requests import progress, rights
from vault.requests.rights import Target
from vault.tables import customers, erasures, ledger_outbox, rights_requests

LEASE_SECONDS = 60
AWAITED = {"shredded": "pending", "certified": "pending", "redacting": "scheduled"}
"""Which recipients keep an erasure in its state."""


def certificate(
    desk: Desk, ledger: Ledger, policy: Policy, request_id: str, customer_id: str | None = None
) -> dict[str, Any]:
    """The latest certificate of a request, signed: the first one is made now, if the worker has not come to it yet.

    A request about several customers has one for each, and `customer_id` says which. Raises NotFoundHere, Invalid when
    it does not, NotUsable while the customer is not erased here.
    """
    request = rights.read(desk, request_id)
    if customer_id is None and len(request.targets) > 1:
        raise Invalid("customer", "This request is about several customers: name one of them.")
    about = customer_id or request.customer
    if about not in request.customers:
        raise NotFoundHere("This request is not about that customer.")
    erasure = _of_customer(desk.records, desk.caller.tenant, about)
    if erasure is None:
        raise _not_yet()
    if erasure.state == "shredded":
        listed = recipients.of_erasure(desk.records, erasure)
        told = [*recipients.as_told(listed, {}), *recipients.open_storings(desk.records, erasure)]
        certified = _certificate(desk, ledger, policy, erasure, told)
        with audit.transaction(desk.records) as tx:
            progress.hold(tx, erasure.tenant_id, erasure.request_id)
            _certify(desk, tx, ledger, erasure, told, certified)
        settle(ledger, desk.records)
    return _published(desk.records, ledger, erasure)


def carry_on(desk: Desk, ledger: Ledger, processors: Processors, policy: Policy, erasure_id: str) -> None:
    """Take an erasure through every step that is open. Safe to repeat, by any process."""
    settle(ledger, desk.records)
    erasure = read(desk.records, desk.caller.tenant, erasure_id)
    if erasure.state not in AWAITED:
        return
    listed = recipients.of_erasure(desk.records, erasure)
    ask = redactions.redact if erasure.state == "redacting" else telling.tell
    answers = ask(desk, processors, erasure, listed)
    storings = recipients.open_storings(desk.records, erasure)
    told = [*recipients.as_told(listed, answers), *storings]
    if _is_news(erasure, [*recipients.as_told(listed, {}), *storings], told):
        certified = _certificate(desk, ledger, policy, erasure, told)
        with audit.transaction(desk.records) as tx:
            progress.hold(tx, erasure.tenant_id, erasure.request_id)
            recipients.write_answers(tx, listed, answers)
            _certify(desk, tx, ledger, erasure, told, certified)
        settle(ledger, desk.records)
    else:
        _put_off(desk, erasure, listed, answers)


def _is_news(erasure: Row[Any], before: Sequence[Recipient], told: Sequence[Recipient]) -> bool:
    """Whether a certificate must say so: the first one, another answer or day, or nobody left who has not answered."""
    is_open = any(recipient.result == AWAITED[erasure.state] for recipient in told)
    return erasure.state == "shredded" or before != told or not is_open


def _put_off(desk: Desk, erasure: Row[Any], listed: Sequence[Row[Any]], answers: Mapping[str, Answer]) -> None:
    """Come again once the lease is over; for redactions when there is something to do, which may be in months."""
    with transaction(desk.records) as tx:
        progress.hold(tx, erasure.tenant_id, erasure.request_id)
        recipients.write_answers(tx, listed, answers)
        if erasure.state == "redacting":
            key = {"tenant_id": erasure.tenant_id, "erasure_id": erasure.erasure_id, "state": erasure.state}
            update_row(tx, erasures, key, {"lease_until": redactions.next_look(listed, answers, desk.caller.at)})


def take_up(records: Engine, row: Row[str, str, bool]) -> bool:
    """Take the lease of an erasure whose lease is over; whether this process got it."""
    return leases.take(records, erasures, row, "lease_until", LEASE_SECONDS, erasures.c.state != "completed")


def open_erasures(records: Engine) -> Sequence[Row[str, str, bool]]:
    """Every erasure that is not complete and that nobody works on: (tenant_id, erasure_id, live)."""
    of_customer = together(customers, erasures, "customer_id")
    statement = (
        select(erasures.c.tenant_id, erasures.c.erasure_id, customers.c.live)
        .join(customers, of_customer)
        .where(~spelled(erasures.c.state, "completed"), erasures.c.lease_until <= database_clock())
    )
    with reading(records) as connection:
        return connection.execute(statement).all()


def _certificate(
    desk: Desk, ledger: Ledger, policy: Policy, erasure: Row[Any], told: Sequence[Recipient]
) -> dict[str, Any]:
    """Read back, then say what was found. Raises EraseIncomplete."""
    found = certificates.read_back(desk.records, ledger.keystore, erasure, desk.caller.at)
    if not found.is_verified:
        raise EraseIncomplete(f"Erasure {erasure.erasure_id} left something behind; nothing is certified.")
    kept = certificates.retained(found.last_charge, policy)
    return certificates.certificate(
        erasure, policy, targets=found.targets, recipients=told, kept=kept, at=desk.caller.at
    )


def _certify(
    desk: Desk,
    tx: Connection,
    ledger: Ledger,
    erasure: Row[Any],
    told: Sequence[Recipient],
    certificate: dict[str, Any],
) -> None:
    """Decide the certificate; the request's own key goes with the last one. Another process may have been first."""
    pending = sum(recipient.result == "pending" for recipient in told)
    key = {"tenant_id": erasure.tenant_id, "erasure_id": erasure.erasure_id, "state": erasure.state}
    stands = _stands(erasure, told, desk.caller.at)
    if not update_row(tx, erasures, key, stands):
        return
    dek_id, *former = _keys(ledger, erasure) if stands["state"] == "completed" else (None,)
    decide(
        tx,
        ledger,
        desk.caller,
        "erase.done",
        erasure.customer_id,
        version=erasure.customer_version,
        dek_id=dek_id,
        former=former,
        certificate=certificate,
    )
    if erasure.state != "redacting":  # the request is complete since then
        status = "awaiting_processor" if pending else "retained" if certificate["retained"] else "done"
        target = Target(customer=erasure.customer_id, status=status)
        progress.move_target(tx, desk.caller.at, erasure.tenant_id, erasure.request_id, target)
    told_of = {"id": erasure.customer_id, "object": "customer", "status": "erased", "request": erasure.request_id}
    write(tx, raising.made(desk.caller, "customer.erased", erasure.customer_id, {**told_of, "pending": pending}))
    audit.record(
        desk,
        tx,
        "customer.erased",
        customer=erasure.customer_id,
        resource=erasure.request_id,
        details={"pending": pending, "scheduled": sum(recipient.result == "scheduled" for recipient in told)},
    )


def _keys(ledger: Ledger, erasure: Row[Any]) -> list[bytes]:
    """The erasure's own key, and after it those that it replaced."""
    with reading(ledger.keystore) as connection:
        ever = keystores.deks_of(connection, erasure.tenant_id, erasure.erasure_id)
    return [erasure.dek_id, *(each for each in ever if each != erasure.dek_id)]


def _stands(erasure: Row[Any], told: Sequence[Recipient], at: datetime) -> dict[str, Any]:
    """Where it stands once that is certified; what is scheduled keeps nobody from being complete."""
    if any(recipient.result == "pending" for recipient in told):
        return {"state": "certified", "completed_at": None}
    completed = {"completed_at": erasure.completed_at or at}
    days = [recipient.scheduled_for for recipient in told if recipient.scheduled_for]
    if days:
        return {"state": "redacting", "lease_until": min(days), **completed}
    return {"state": "completed", **completed}


def _published(records: Engine, ledger: Ledger, erasure: Row[Any]) -> dict[str, Any]:
    """The ledger's entry that certifies it, taken there if it is on its way. Raises NotUsable before there is one."""
    entry = select(ledger_outbox.c.seq).join(
        erasures,
        and_(ledger_outbox.c.tenant_id == erasures.c.tenant_id, ledger_outbox.c.entry_id == erasures.c.done_entry_id),
    )
    for _ in range(2):
        with reading(records) as connection:
            seq = connection.execute(entry.where(_this(erasure.tenant_id, erasure.erasure_id))).scalar_one_or_none()
        if seq is not None:
            return find(ledger, seq)
        settle(ledger, records)
    raise _not_yet()


def _not_yet() -> NotUsable:
    return NotUsable("not_certified_yet", "This erasure is not certified yet. Ask again later.")


def read(records: Engine, tenant: str, erasure_id: str) -> Row[Any]:
    """The row of an erasure, with what is asked of its request and its customer."""
    this = _WHOLE.where(erasures.c.erasure_id == bindparam("of_erasure"))
    with reading(records) as connection:
        return connection.execute(this, {"of_tenant": tenant, "of_erasure": erasure_id}).one()


def _of_customer(records: Engine, tenant: str, customer_id: str | None) -> Row[Any] | None:
    """The one erasure of a customer, whichever request it was for."""
    this = _WHOLE.where(erasures.c.customer_id == bindparam("of_customer"))
    with reading(records) as connection:
        return connection.execute(this, {"of_tenant": tenant, "of_customer": customer_id}).one_or_none()


_WHOLE = (
    select(
        erasures,
        rights_requests.c.regulation,
        rights_requests.c.cancel_subscriptions,
        customers.c.version.label("customer_version"),
    )
    .join(rights_requests, together(rights_requests, erasures, "request_id"))
    .join(customers, together(customers, erasures, "customer_id"))
    .where(erasures.c.tenant_id == bindparam("of_tenant"))
)


def _this(tenant: str, erasure_id: str) -> ColumnElement[bool]:
    return and_(erasures.c.tenant_id == tenant, erasures.c.erasure_id == erasure_id)
