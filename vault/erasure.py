"""Erasing a customer: on the ledger, in the keystore, in the records; then at the processors, with a certificate.

Each step leaves a row that says how far it came, and any process may take it up there (`carry_on`). A request does the
local part, which waits for no processor: the worker tells those, for as long as it takes, and certifies. Who asks for
the certificate before gets one that says who has not answered.

`decided` (on its way through the ledger) -> `shredded` (nothing opens any more) -> `certified` (some recipients have
not answered yet) -> `completed`. What processors must be told is sealed under the request's own key, which goes last.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, exists, select, update

from keys.database import reading, transaction
from keys.dek import Dek
from keys.errors import KeyDestroyed
from keys.identity import identified, identity_of
from keys.keystore import Watermark
from keys.prepared import Prepared
from vault import audit, certificates, holds, packages, recipients, rights
from vault.caller import Caller
from vault.columns import database_clock
from vault.errors import Erased, EraseIncomplete, NotFoundHere
from vault.ids import new_id
from vault.ledger import Ledger, decide, decided, settle
from vault.policy import Policy
from vault.processing import Processors
from vault.rights import RightsRequest
from vault.statements import Change, inserted, update_row, updated, write
from vault.tables import OPEN_STATES, charges, customers, erasures, guard, package_customers, refunds, rights_requests
from vault.tables import holds as hold_table

LEASE_SECONDS = 60
TOGETHER = 4
"""Recipients that are written in one statement: most customers have fewer, and each number is a statement to keep."""


def erase(records: Engine, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str) -> RightsRequest:
    """Erase a customer here, and leave the processors to the worker; asking again finds the same request.

    Raises NotFoundHere, Blocked.
    """
    with reading(records) as connection:
        row = _CUSTOMER.one_or_none(connection, _asked(caller, customer_id))
    if row is None:
        raise NotFoundHere("No such customer.")
    if row.state == "active":
        with suppress(Erased, KeyDestroyed):  # a twin of this request was faster, and it carries on
            request, decided_at = _decide(records, ledger, policy, caller, customer_id, row.dek_id)
            settle(ledger, records, decided_at)
            return request
    request_id = _request_of(records, caller, customer_id)
    if request_id is None:
        raise Erased("This customer was erased, and the request is not in these records.")
    return rights.read(records, caller, request_id)


def certificate(records: Engine, ledger: Ledger, policy: Policy, caller: Caller, request_id: str) -> dict[str, Any]:
    """The latest certificate, signed: the first one is made now, if the worker has not come to it yet.

    Raises NotFoundHere, NotUsable while the customer is not erased here.
    """
    rights.read(records, caller, request_id)
    erasure = _read(records, caller.tenant, request_id)
    if erasure.state == "shredded":
        listed = recipients.of_erasure(records, erasure)
        told = [*recipients.as_told(listed, {}, caller.at), *recipients.open_storings(records, erasure)]
        certified = _certificate(records, ledger, policy, caller, erasure, told)
        with audit.transaction(records) as tx:
            _certify(tx, ledger, caller, erasure, told, certified)
        settle(ledger, records)
    return rights.certificate(records, ledger, caller, request_id)


def carry_on(
    records: Engine, ledger: Ledger, processors: Processors, policy: Policy, caller: Caller, request_id: str
) -> None:
    """Take an erasure through every step that is open. Safe to repeat, by any process."""
    settle(ledger, records)
    erasure = _read(records, caller.tenant, request_id)
    if erasure.state not in {"shredded", "certified"}:
        return
    listed = recipients.of_erasure(records, erasure)
    answers = recipients.tell(ledger.keyring, processors, erasure, listed)
    told = [*recipients.as_told(listed, answers, caller.at), *recipients.open_storings(records, erasure)]
    news = erasure.state == "shredded" or any(answer != "pending" for answer in answers.values())
    if news or all(recipient.result != "pending" for recipient in told):
        certified = _certificate(records, ledger, policy, caller, erasure, told)
        with audit.transaction(records) as tx:
            recipients.write_answers(tx, caller, listed, answers)
            _certify(tx, ledger, caller, erasure, told, certified)
        settle(ledger, records)
    else:
        with transaction(records) as tx:
            recipients.write_answers(tx, caller, listed, answers)


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


def _decide(
    records: Engine, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str, dek_id: bytes
) -> tuple[RightsRequest, tuple[Watermark, Change]]:
    """One transaction: nothing open or held, no more charges, what processors are told under the request's own key."""
    keyring = ledger.keyring
    request_id, erasure_id = new_id("rr", caller.tenant), new_id("era", caller.tenant)
    own = keyring.dek(caller.tenant, dek_id)
    request_dek = keyring.new_dek(caller.tenant, "erasure", erasure_id)
    with audit.transaction(records) as tx:
        customer = _CUSTOMER_HELD.one(tx, _asked(caller, customer_id))
        if customer.state != "active":
            raise Erased("This customer was erased.")
        found = _refuse_while_open(tx, ledger, caller, customer_id)
        version = customer.version + 1
        entry_id, decided_entry = decided(
            ledger, caller, "erase.intent", customer_id, version=version, dek_id=customer.dek_id
        )
        told = recipients.all_of(tx, keyring, caller, customer_id, erasure_id, own, request_dek)
        deed = audit.entry(tx, keyring, caller, "customer.erase", customer=customer_id, resource=request_id)
        request = rights.new(policy, caller, request_id, "erasure", customer_id)
        begun = _new_erasure(caller, customer_id, request_id, erasure_id, request_dek, entry_id)
        write(
            tx,
            _forbidden(caller, customer_id, version),
            decided_entry,
            rights.made(caller, request),
            begun,
            deed,
            *told[:TOGETHER],
        )
        for start in range(TOGETHER, len(told), TOGETHER):
            write(tx, *told[start : start + TOGETHER])
        if found.package:
            packages.destroy_of_customer(tx, ledger, caller, customer_id)
    return request, (Watermark(found.seq, found.hash), decided_entry)


def _refuse_while_open(tx: Connection, ledger: Ledger, caller: Caller, customer_id: str) -> Any:  # noqa: ANN401  # a row of `_OPEN`
    """Look after the customer is held, in a statement of its own: who held it before us may just have charged."""
    expected = ledger.witness.vouched
    found = _OPEN.one(tx, {"of_tenant": caller.tenant, "of_customer": customer_id})
    ledger.witness.check(identified(tx, found.identity), expected)
    open_ones = [reason for reason in ("open_charge", "pending_refund") if getattr(found, reason)]
    holds.refuse(holds.in_force(tx, caller, customer_id) if found.hold else (), *open_ones)
    return found


def _forbidden(caller: Caller, customer_id: str, version: int) -> Change:
    key = {"tenant_id": caller.tenant, "customer_id": customer_id}
    return updated(customers, key, {"state": "erasing", "version": version})


def _new_erasure(caller: Caller, customer_id: str, request_id: str, erasure_id: str, dek: Dek, entry_id: str) -> Change:
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
    return inserted(erasures, row, clocks={"lease_until": LEASE_SECONDS})


def _certificate(
    records: Engine,
    ledger: Ledger,
    policy: Policy,
    caller: Caller,
    erasure: Row[Any],
    told: Sequence[recipients.Recipient],
) -> dict[str, Any]:
    """Read back, then say what was found. Raises EraseIncomplete."""
    found = certificates.read_back(records, ledger.keystore, erasure, erasure.customer_dek_id, caller.at)
    if not found.is_verified:
        raise EraseIncomplete(f"Erasure {erasure.erasure_id} left something behind; nothing is certified.")
    kept = certificates.retained(found.last_charge, policy)
    return certificates.certificate(erasure, policy, targets=found.targets, recipients=told, kept=kept, at=caller.at)


def _certify(
    tx: Connection,
    ledger: Ledger,
    caller: Caller,
    erasure: Row[Any],
    told: Sequence[recipients.Recipient],
    certificate: dict[str, Any],
) -> None:
    """Decide the certificate; the request's own key goes with the last one. Another process may have been first."""
    pending = sum(recipient.result == "pending" for recipient in told)
    key = {"tenant_id": erasure.tenant_id, "request_id": erasure.request_id, "state": erasure.state}
    finished = (
        {"state": "certified", "completed_at": None} if pending else {"state": "completed", "completed_at": caller.at}
    )
    if not update_row(tx, erasures, key, finished):
        return
    decide(
        tx,
        ledger,
        caller,
        "erase.done",
        erasure.customer_id,
        version=erasure.customer_version,
        dek_id=None if pending else erasure.dek_id,
        certificate=certificate,
    )
    _finish_request(tx, caller, erasure, complete=not pending, kept=bool(certificate["retained"]))
    audit.record(
        tx,
        ledger.keyring,
        caller,
        "customer.erased",
        customer=erasure.customer_id,
        resource=erasure.request_id,
        details={"pending": pending},
    )


def _finish_request(tx: Connection, caller: Caller, erasure: Row[Any], *, complete: bool, kept: bool) -> None:
    done = "completed_with_retention" if kept else "completed"
    changes = {"state": done, "completed_at": caller.at} if complete else {"state": "awaiting_processor"}
    update_row(tx, rights_requests, {"tenant_id": erasure.tenant_id, "request_id": erasure.request_id}, changes)


def _read(records: Engine, tenant: str, request_id: str) -> Row[Any]:
    with reading(records) as connection:
        return connection.execute(_ONE, {"of_tenant": tenant, "of_request": request_id}).one()


_ONE = (
    select(
        erasures,
        rights_requests.c.regulation,
        customers.c.dek_id.label("customer_dek_id"),
        customers.c.version.label("customer_version"),
    )
    .join(
        rights_requests,
        and_(
            rights_requests.c.tenant_id == erasures.c.tenant_id,
            rights_requests.c.request_id == erasures.c.request_id,
        ),
    )
    .join(
        customers,
        and_(customers.c.tenant_id == erasures.c.tenant_id, customers.c.customer_id == erasures.c.customer_id),
    )
    .where(erasures.c.tenant_id == bindparam("of_tenant"), erasures.c.request_id == bindparam("of_request"))
)
_THE_CUSTOMER = select(customers.c.state, customers.c.version, customers.c.dek_id).where(
    customers.c.tenant_id == bindparam("of_tenant"),
    customers.c.live == bindparam("of_mode"),
    customers.c.customer_id == bindparam("of_customer"),
)
_CUSTOMER = Prepared(_THE_CUSTOMER)
_CUSTOMER_HELD = Prepared(_THE_CUSTOMER.with_for_update())
_THEIRS = and_(charges.c.tenant_id == bindparam("of_tenant"), charges.c.customer_id == bindparam("of_customer"))
_OPEN = Prepared(
    select(
        exists().where(_THEIRS, charges.c.state.in_(OPEN_STATES)).label("open_charge"),
        exists()
        .where(
            _THEIRS,
            refunds.c.tenant_id == charges.c.tenant_id,
            refunds.c.charge_id == charges.c.charge_id,
            refunds.c.state.in_(("pending", "unknown")),
        )
        .label("pending_refund"),
        exists()
        .where(
            hold_table.c.tenant_id == bindparam("of_tenant"),
            hold_table.c.customer_id == bindparam("of_customer"),
            hold_table.c.lifted_at.is_(None),
        )
        .label("hold"),
        exists()
        .where(
            package_customers.c.tenant_id == bindparam("of_tenant"),
            package_customers.c.customer_id == bindparam("of_customer"),
        )
        .label("package"),
        guard.c.seq,
        guard.c.hash,
        identity_of(guard).label("identity"),
    )
)


def _asked(caller: Caller, customer_id: str) -> dict[str, Any]:
    return {"of_tenant": caller.tenant, "of_mode": caller.live, "of_customer": customer_id}


def _this(tenant: str, request_id: str) -> ColumnElement[bool]:
    return and_(erasures.c.tenant_id == tenant, erasures.c.request_id == request_id)
