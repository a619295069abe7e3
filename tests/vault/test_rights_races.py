"""Rights requests at odd moments: withdrawn, restored, counted, certified and cancelled while others do the same."""

import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from holds_scene import bring_back, hold, lift
from house import House, Tenant
from records_scene import at_once, before_statements, interpose, meeting, row, rows, work
from rights_scene import approved, ask, asked, decide, person, read, with_policy
from sqlalchemy import func, select, update

from keys import keystore as keystores
from rows.engine import reading, transaction
from vault.erasing import completion
from vault.errors import NotUsable
from vault.lanes.people import purge_once
from vault.processing.answers import Refused
from vault.requests import decisions, execution, rights
from vault.requests.execution import AT_ONCE, Work
from vault.tables import charges, customers, erasures, refunds, rights_requests, rights_targets


def status(tenant: Tenant, request: str) -> str:
    return read(tenant, request)["status"]


def there(tenant: Tenant, customer: str) -> int:
    return tenant.call("GET", f"/v1/customers/{customer}").status_code


def stale(tenant: Tenant, request: str) -> tuple[Work, Any]:
    """What a worker that looked a moment ago holds: the request approved, its targets waiting."""
    parts = tenant.house.components
    with transaction(parts.records) as tx:
        tx.execute(rights_requests.update().where(rights_requests.c.request_id == request).values(state="approved"))
    caller = replace(tenant.caller, at=parts.clock())
    doing = Work(desk=parts.desk(caller), ledger=parts.ledger, policy=parts.policy)
    return doing, rights.read(parts.desk(caller), request)


def test_a_cancelled_erasure_of_a_held_customer_stays_cancelled(tenant: Tenant) -> None:
    """Cancelled between the look of a worker and its turn, while a hold stands: it stays so when the hold goes."""
    customer = person(tenant)
    request = asked(tenant, "erasure", customers=[customer])["id"]
    held = hold(tenant, customer)["id"]
    work_, seen = stale(tenant, request)
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}").get_json()["status"] == "cancelled"
    execution.execute(work_, seen)
    lift(tenant, held)
    work(tenant.house)
    work(tenant.house)
    assert (status(tenant, request), there(tenant, customer)) == ("cancelled", 200)


@pytest.mark.parametrize("kind", ["restriction", "rectification"])
def test_a_cancelled_right_is_not_carried_out(tenant: Tenant, kind: str) -> None:
    """Cancelled between the approval and its turn: nothing is restricted or corrected, and it stays cancelled."""
    customer = person(tenant)
    more = {"ground": "unlawful"} if kind == "restriction" else {}
    request = asked(tenant, kind, customers=[customer], **more)["id"]
    work_, seen = stale(tenant, request)
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}").get_json()["status"] == "cancelled"
    edit = (lambda old: replace(old, name="X")) if kind == "rectification" else None
    with suppress(NotUsable):  # who would have corrected is told
        execution.execute(work_, seen, edit)
    assert status(tenant, request) == "cancelled"
    found = row(tenant.house, customers, customer_id=customer)
    assert (found.restricted, found.contact_version) == (False, 1)


def test_a_withdrawn_erasure_is_not_brought_back_by_a_restore(own_house: House, tmp_path: Path) -> None:
    """Cancelled after the backup that still knows it: the ledger says so, and the worker does not erase."""
    tenant = own_house.tenant()
    customer = person(tenant)
    held = hold(tenant, customer)["id"]
    request = tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["request"]
    copy = backup(own_house.components.records, tmp_path / "r")
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}").get_json()["status"] == "cancelled"
    lift(tenant, held)
    restore(own_house.components.records, copy)
    bring_back(own_house)
    work(own_house)
    work(own_house)
    assert there(tenant, customer) == 200


def test_erasures_that_wait_behind_a_hold_count_for_the_rate(tenant: Tenant) -> None:
    """What is blocked counts: lifting many holds at once erases no more than one person may."""
    strict = with_policy(tenant, erasures_per_day=1)
    people = [person(strict, email=f"a{n}@example.com") for n in range(4)]
    holds = [hold(strict, each)["id"] for each in people]
    for each in people:
        strict.call("DELETE", f"/v1/customers/{each}")
    for each in holds:
        lift(strict, each)
    work(strict.house)
    gone = sum(there(strict, each) == 410 for each in people)
    assert gone <= 1, f"{gone} erased by one unnamed actor"


def test_approved_erasures_that_wait_for_the_worker_count_for_the_rate(tenant: Tenant) -> None:
    """What is approved and not done yet counts, too."""
    strict = with_policy(tenant, erasures_per_day=25)
    people = [strict.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(30)]
    one = asked(strict, "erasure", customers=people[:25])["id"]
    approved(strict, one)
    other = asked(strict, "erasure", customers=people[25:])
    assert other["approvals_needed"] == 2


def test_two_targets_certified_at_once_complete_the_request(tenant: Tenant) -> None:
    """Neither overlooks that the other is done: the request completes."""
    parts = tenant.house.components
    people = [tenant.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(2)]
    request = asked(tenant, "erasure", customers=people)["id"]
    approved(tenant, request)
    found = rows(tenant.house, erasures, request_id=request)
    caller = replace(tenant.caller, at=parts.clock())

    def certify(number: int) -> None:
        completion.carry_on(parts.desk(caller), parts.ledger, parts.processors, parts.policy, found[number].erasure_id)

    with before_statements(parts.records, "FROM rights_targets", meeting(2, seconds=2)):
        at_once(2, certify)
    assert {each.state for each in rows(tenant.house, rights_targets, request_id=request)} == {"done"}
    for _ in range(3):
        work(tenant.house)
    assert status(tenant, request) == "completed"


@pytest.mark.parametrize("kind", ["erasure", "access"])
def test_nobody_matches_and_the_server_ends(tenant: Tenant, kind: str) -> None:
    """A request about nobody whose process ended after the approval: the worker ends it."""
    identity = [{"type": "email", "value": "nobody@example.com"}]
    request = asked(tenant, kind, identities=identity)["id"]
    stale(tenant, request)
    for _ in range(3):
        work(tenant.house)
    assert status(tenant, request) == "completed"


def test_erasing_one_leaves_the_other_their_access(tenant: Tenant) -> None:
    """The package that went with the erased customer is made anew for the others."""
    one, other = person(tenant), person(tenant, email="b@example.com")
    request = asked(tenant, "access", customers=[one, other])["id"]
    approved(tenant, request)
    tenant.call("DELETE", f"/v1/customers/{one}")
    for _ in range(4):
        work(tenant.house)
    assert status(tenant, request) == "completed"
    assert tenant.call("GET", f"/v1/rights-requests/{request}/package").status_code == 200


def test_one_external_id_at_once(tenant: Tenant) -> None:
    """Requests of one controller's id at once: one is taken in, the others are told which."""
    people = [person(tenant, email=f"c{n}@example.com") for n in range(6)]
    found = at_once(6, lambda n: ask(tenant, "access", customers=[people[n]], external_id="case-9").status_code)
    assert sorted(set(found)) == [201, 409], found


def test_what_is_refused_is_not_approved(tenant: Tenant) -> None:
    """A refused call has decided nothing."""
    request = asked(tenant, "access", customers=[person(tenant)])["id"]
    assert decide(tenant, request, "approve", cancel_subscriptions=True).status_code == 422
    assert status(tenant, request) == "received"


def test_an_objection_of_who_is_erased(tenant: Tenant) -> None:
    """Taken in like every other right; there is nothing to restrict."""
    customer = person(tenant)
    tenant.erase(customer)
    assert ask(tenant, "objection", customers=[customer]).status_code == 201


def test_a_correction_that_comes_late_is_refused(tenant: Tenant) -> None:
    """To a request that is complete: 409, so that nobody believes it was made."""
    customer = person(tenant)
    request = asked(tenant, "rectification", customers=[customer])["id"]
    approved(tenant, request)
    answer = decide(tenant, request, "approve", correction={"name": "New"})
    changed = row(tenant.house, customers, customer_id=customer).contact_version == 2
    assert changed or answer.status_code == 409


def test_subscriptions_are_cancelled_while_the_worker_certifies(tenant: Tenant) -> None:
    """Who cancels subscriptions and who certifies do not wait for each other in a circle."""
    parts = tenant.house.components
    customer = person(tenant)
    request = asked(tenant, "erasure", customers=[customer])["id"]
    approved(tenant, request)
    [found] = rows(tenant.house, erasures, request_id=request)
    caller = replace(tenant.caller, at=parts.clock())
    has_erasure, certifying, failed = threading.Event(), [], []

    def linger() -> None:
        if threading.get_ident() in certifying:
            has_erasure.set()
            time.sleep(0.7)

    def act(number: int) -> None:
        try:
            if number:
                has_erasure.wait(5)
                decisions.approve(parts.desk(caller), parts.policy, request, cancels=True)
            else:
                certifying.append(threading.get_ident())
                completion.carry_on(parts.desk(caller), parts.ledger, parts.processors, parts.policy, found.erasure_id)
        except Exception as error:  # noqa: BLE001  # whatever it is, the test says so
            failed.append(str(error)[:80])

    with before_statements(parts.records, "rights_requests", linger):
        at_once(2, act)
    assert failed == []


def test_looking_again_at_what_is_blocked_leaves_no_keys(tenant: Tenant) -> None:
    """What is refused or blocked makes no key in the keystore, however often it is looked at."""
    customer = person(tenant)
    hold(tenant, customer)
    tenant.call("DELETE", f"/v1/customers/{customer}")

    def deks() -> int:
        with reading(tenant.house.components.keystore) as connection:
            return connection.scalar(select(func.count()).select_from(keystores.DEKS)) or 0

    before = deks()
    for _ in range(5):
        work(tenant.house)
    assert deks() == before


def test_a_refund_in_doubt_is_not_purged(tenant: Tenant) -> None:
    """A transaction whose refund nobody knows the end of stays until it is known."""
    house = tenant.house
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()["id"]
    assert tenant.erase(token["customer"]).status_code == 200
    years = house.components.policy.retention["transactions"].years
    with transaction(house.components.records) as tx:
        then = datetime.now(UTC) - timedelta(days=366 * years + 1)
        tx.execute(update(charges).where(charges.c.charge_id == charge).values(created_at=then))
    house.sandbox.fault(path="/v1/refunds", do="lose_answer")
    answer = tenant.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 100}, Idempotency_Key=charge)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    purge_once(house.components.workshop, lambda *_: None)
    assert len(rows(house, refunds, charge_id=charge)) == 1
    house.sandbox.clear()
    assert work(house) == []


def test_a_card_that_is_refused_does_not_keep_the_correction_from_others(tenant: Tenant) -> None:
    """The other cards have the correction, and the worker asks no more."""
    customer = person(tenant)
    tenant.token("5555555555554444", customer=customer)
    seen: list[str] = []

    def correct(call: Any) -> Any:
        reference = call.keywords["reference"]
        if reference not in seen:
            seen.append(reference)
        return Refused(code="resource_missing", param=None) if reference == seen[0] else call()

    other = interpose(tenant, correct=correct)
    assert other.call("PATCH", f"/v1/customers/{customer}/billing-contact", {"name": "New"}).status_code == 200
    for _ in range(4):
        work(other.house)
    assert len(seen) == 2


def test_deletions_at_once_keep_the_rate(tenant: Tenant) -> None:
    """Of deletions at the same time no more go through than one person may do."""
    strict = with_policy(tenant, erasures_per_day=1)
    people = [strict.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(3)]
    counted = before_statements(strict.house.components.records, "INSERT INTO", meeting(3, seconds=3))
    with counted:
        at_once(3, lambda n: strict.call("DELETE", f"/v1/customers/{people[n]}").status_code)
    gone = sum(there(strict, each) == 410 for each in people)
    assert gone <= 1, f"{gone} erased by one unnamed actor"


def test_a_long_email_is_found(tenant: Tenant) -> None:
    """An email that can be stored can be looked for."""
    long = "a" * 60 + "@" + ".".join(["b" * 50] * 3) + ".example.com"
    assert len(long) > 200
    person(tenant, email=long)
    assert ask(tenant, "access", identities=[{"type": "email", "value": long}]).status_code == 201


def test_after_a_restore_the_erasure_is_found_not_the_withdrawn_request(own_house: House, tmp_path: Path) -> None:
    """The request that erased the customer, not one that the backup has and that was withdrawn."""
    tenant = own_house.tenant()
    customer = person(tenant)
    first = asked(tenant, "erasure", customers=[customer])["id"]
    copy = backup(own_house.components.records, tmp_path / "r")
    assert tenant.call("DELETE", f"/v1/rights-requests/{first}").get_json()["status"] == "cancelled"
    second = tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["id"]
    assert second != first
    work(own_house)
    restore(own_house.components.records, copy)
    bring_back(own_house)
    for _ in range(3):
        work(own_house)
    answer = tenant.call("DELETE", f"/v1/customers/{customer}")
    assert (answer.status_code, answer.get_json()["id"]) == (200, second)


def test_access_of_many_is_the_workers(tenant: Tenant) -> None:
    """Whoever approves a request about many customers does not wait for their package to be ordered."""
    many = [tenant.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(AT_ONCE + 1)]
    request = asked(tenant, "access", customers=many)["id"]
    assert approved(tenant, request)["status"] == "approved"
    for _ in range(20):
        assert work(tenant.house) == []
    assert status(tenant, request) == "completed"
