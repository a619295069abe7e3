"""Erasing a customer here: on the ledger, in the keystore, in the records. The processors are `completion`'s.

Each step leaves a row that says how far it came, and any process may take it up there. `decided` (on its way through
the ledger) -> `shredded` (nothing opens any more). What processors must be told is sealed under the request's own key.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from keys.dek import Dek
from keys.errors import KeyDestroyed
from keys.identity import identified
from keys.keyring import ToErase
from keys.keystore import Watermark
from rows.changes import Change, inserted, updated, write
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.erasing import recipients
from vault.erasing.looking import CUSTOMER_HELD, OPEN, TOGETHER_AT_MOST, asked, named
from vault.errors import Erased, NotFoundHere
from vault.exports import packages
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.deciding import decided
from vault.ledger.settling import settle
from vault.people import holds
from vault.policy import Policy
from vault.requests import progress, rights
from vault.requests.approval import approvals_needed
from vault.requests.rights import RightsRequest, Target
from vault.tables import customers, erasures

LEASE_SECONDS = 60
TOGETHER = 4
"""Recipients that are written in one statement: most customers have fewer, and each number is a statement to keep."""


class ApprovalNeeded(Exception):  # no error: what rolls back a decision that is not this caller's alone
    """Somebody must approve it first: the request named, or one that is to be made (None)."""

    def __init__(self, request_id: str | None) -> None:
        """Take the id of the request that waits for approval."""
        super().__init__()
        self.request_id = request_id


def execute(
    desk: Desk, ledger: Ledger, policy: Policy, customer_id: str, approved: str | None = None
) -> RightsRequest | None:
    """Erase a customer here, for the request `approved`, or for one that is made with it and returned.

    None where another request was first: it carries on. Raises NotFoundHere, Blocked, ApprovalNeeded, and NotUsable
    for a request that was closed meanwhile.
    """
    with suppress(Erased, KeyDestroyed):  # already, or by a twin of this request
        request, just = _decide(desk, ledger, policy, customer_id, approved)
        settle(ledger, desk.records, just)
        return request
    return None


def _decide(
    desk: Desk, ledger: Ledger, policy: Policy, customer_id: str, approved: str | None
) -> tuple[RightsRequest, tuple[Watermark, Change]]:
    """Decide in one transaction, and in this order, since what is refused is to leave nothing behind, no key either.

    1. the customer's row is held: nothing of theirs begins any more;
    2. what is open or held is read, with the mark of the ledger, which the witness must know;
    3. the request is found, or one is made; it is refused while anything is open;
    4. the keys that are to be destroyed are named, and the request gets one of its own;
    5. all of it is written, with the entry that goes to the ledger.
    """
    erasure_id = new_id("era", desk.caller.tenant)
    desk.keyring.warm(desk.caller.tenant)
    with audit.transaction(desk.records) as tx:
        customer = _hold(tx, desk.caller, customer_id)
        rows = _open(tx, ledger, policy, desk.caller, customer_id)
        found = rows[0]
        known = approved or _allowed(tx, found, policy, desk.caller)
        request = _request(tx, policy, desk.caller, known, customer_id)
        _refuse_while_open(tx, desk.caller, customer_id, found)
        keys = desk.keyring.deks_to_erase(desk.caller.tenant, customer.dek_id, customer_id, erasure_id)
        entry_id, entry = _entry(ledger, desk.caller, (customer_id, customer), request, erasure_id, keys)
        told = recipients.all_of(desk, policy, [row for row in rows if row.owner_id], erasure_id, keys.own, keys.new)
        write(
            tx,
            *([] if known else [rights.made(desk.caller, request), *_targets(desk.caller, request)]),
            _forbidden(desk.caller, customer_id, customer.version + 1),
            entry,
            _new_erasure(desk.caller, customer_id, request.id, erasure_id, keys.new, entry_id),
            audit.entry(desk, tx, "customer.erase", customer=customer_id, resource=request.id),
            *told[:TOGETHER],
        )
        if known:
            target = Target(customer=customer_id, status="executing")
            progress.move_target(tx, desk.caller.at, desk.caller.tenant, known, target)
        for start in range(TOGETHER, len(told), TOGETHER):
            write(tx, *told[start : start + TOGETHER])
        if found.package:
            packages.destroy_of_customer(desk, tx, ledger, customer_id)
    return request, (Watermark(found.seq, found.hash), entry)


def _hold(tx: Connection, caller: Caller, customer_id: str) -> Any:  # noqa: ANN401  # a row of `CUSTOMER_HELD`
    customer = CUSTOMER_HELD.one_or_none(tx, asked(caller, customer_id))
    if customer is None:
        raise NotFoundHere("No such customer.")
    if customer.state != "active":
        raise Erased("This customer was erased.")
    return customer


def _open(tx: Connection, ledger: Ledger, policy: Policy, caller: Caller, customer_id: str) -> Sequence[Any]:
    """What is open, in the first row; whom processors are told of, in each that has an owner."""
    expected = ledger.witness.vouched
    rows = OPEN.all(tx, named(policy, caller, customer_id))
    ledger.witness.check(identified(tx, rows[0].identity), expected)
    return rows


def _entry(
    ledger: Ledger,
    caller: Caller,
    held: tuple[str, Any],
    request: RightsRequest,
    erasure_id: str,
    keys: ToErase,
) -> tuple[str, Change]:
    """The ledger's entry about a customer, as an id and a row of `CUSTOMER_HELD`."""
    customer_id, customer = held
    return decided(
        ledger,
        caller,
        "erase.intent",
        customer_id,
        version=customer.version + 1,
        dek_id=customer.dek_id,
        former=keys.former,
        terms=_terms(request, erasure_id, keys.new),
    )


def _refuse_while_open(tx: Connection, caller: Caller, customer_id: str, found: Any) -> None:  # noqa: ANN401  # a row of `OPEN`
    open_ones = [reason for reason in ("open_charge", "pending_refund", "open_dispute") if getattr(found, reason)]
    holds.refuse(holds.blocking(tx, caller, customer_id) if found.hold else (), *open_ones)


def _allowed(tx: Connection, found: Any, policy: Policy, caller: Caller) -> str | None:  # noqa: ANN401  # as above
    """The customer's own request, if it is under way; None for a new one. Raises ApprovalNeeded."""
    if found.request_id is None:
        near = found.near_rate or policy.erasures_per_day <= TOGETHER_AT_MOST
        if near and approvals_needed(tx, policy, caller, "erasure", 1) > 1:
            raise ApprovalNeeded(None)
    elif found.status in rights.UNDECIDED:
        raise ApprovalNeeded(found.request_id)
    request_id: str | None = found.request_id
    return request_id


def _request(tx: Connection, policy: Policy, caller: Caller, known: str | None, customer_id: str) -> RightsRequest:
    if known:
        progress.refuse_closed(tx, caller.tenant, known)
        return rights.whole(tx, caller, known)
    regulation = rights.default_regulation(policy)
    return RightsRequest(
        id=new_id("rr", caller.tenant),
        type="erasure",
        status="executing",
        regulation=regulation,
        submitted_at=caller.at,
        received_at=caller.at,
        due_at=rights.due_at(policy, caller, regulation, caller.at),
        targets=[Target(customer=customer_id, status="executing")],
        verification="controller",
    )


def _targets(caller: Caller, request: RightsRequest) -> list[Change]:
    return [rights.made_target(caller, request.id, target) for target in request.targets]


def _terms(request: RightsRequest, erasure_id: str, dek: Dek) -> dict[str, Any]:
    """What records that never knew this decision need to carry it out to its end after a restore."""
    return {
        "request": request.id,
        "request_dek": dek.id.hex(),
        "erasure": erasure_id,
        "regulation": request.regulation,
        "submitted_at": request.submitted_at.isoformat(),
        "due_at": request.final_due_at.isoformat(),
    }


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
