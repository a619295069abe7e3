"""Rights requests, from the day they come in to their end, over the door with a privacy key."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from holds_scene import hold, lift
from house import PURPOSE, House, Tenant
from records_scene import later, row, rows, work
from rights_scene import ADA, ago, approved, ask, asked, decide, person, read, with_policy

from rows.engine import transaction
from vault.requests import decisions, execution, rights
from vault.requests.execution import AT_ONCE, Work
from vault.requests.watch import Watch, watch
from vault.tables import audit_entries, customers, rights_requests, rights_targets


def status_of(tenant: Tenant, request: str) -> str:
    return read(tenant, request)["status"]


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    found = answer.get_json()
    assert (answer.status_code, found["code"]) == (status, code), found
    return found


def test_an_erasure_from_request_to_proof(tenant: Tenant) -> None:
    """Received, approved, erased here at once, told by the worker, completed; the certificate names the request."""
    customer = person(tenant)
    request = asked(tenant, "erasure", customers=[customer], external_id="case-7")
    assert (request["status"], request["customers"], request["external_id"]) == ("received", [customer], "case-7")
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 200
    assert approved(tenant, request["id"])["status"] == "executing"
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 410
    assert work(tenant.house) == []
    found = read(tenant, request["id"])
    assert (found["status"], found["targets"][0]["status"]) == ("completed", "done")
    certificate = tenant.call("GET", f"/v1/rights-requests/{request['id']}/certificate").get_json()["certificate"]
    assert (certificate["request_id"], certificate["customer"]) == (request["id"], customer)
    assert tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["id"] == request["id"]


def test_the_clock_runs_from_when_the_person_asked(tenant: Tenant) -> None:
    """Under the GDPR from `submitted_at`, under the CCPA from receipt; a regulation the policy lacks is refused."""
    gdpr = asked(tenant, "access", customers=[person(tenant)], submitted_at="2026-01-31T12:00:00Z")
    assert (gdpr["regulation"], gdpr["due_at"], gdpr["overdue"]) == ("gdpr", "2026-03-02T22:59:59Z", True)
    ccpa = asked(tenant, "access", customers=[person(tenant)], regulation="ccpa", submitted_at="2026-01-31T12:00:00Z")
    assert ccpa["due_at"] > ccpa["received_at"]
    assert (gdpr["acknowledge_by"], ccpa["acknowledge_by"] > ccpa["received_at"]) == (None, True)
    for wrong in (
        {"regulation": "lgpd"},
        {"submitted_at": "0001-01-01T00:00:00Z"},
        {"submitted_at": "9999-12-31T00:00:00Z"},
    ):
        problem(ask(tenant, "access", customers=[person(tenant)], **wrong), 422, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value", "form"),
    [
        ("email", "ada@example.com", "raw"),
        ("email", "Ada@Example.com", "sha256"),
        ("email", "ada@example.com", "sha256"),
        ("phone", "+44 (20) 7946-0958", "raw"),
        ("reference", "R-77", "raw"),
    ],
)
def test_people_are_found_by_identities(tenant: Tenant, field: str, value: str, form: str) -> None:
    """By email, phone or reference, as it is or hashed as given or lower-cased; all who match, and nobody else."""
    mine = tenant.token(customer={"reference": "R-77", "billing_contact": ADA})["customer"]
    person(tenant, email="other@example.com", phone="+1 202 555 0100")
    sent = hashlib.sha256(value.encode()).hexdigest() if form == "sha256" else value
    request = asked(tenant, "access", identities=[{"type": field, "value": sent, "format": form}])
    assert request["customers"] == [mine]
    kept = json.dumps([list(map(str, each)) for each in rows(tenant.house, rights_requests, tenant_id=tenant.id)])
    assert value not in kept
    assert sent not in kept


def test_a_process_that_ends_before_it_orders_the_package(tenant: Tenant) -> None:
    """Approved, and then the server is gone: the worker orders the package, and the request comes to its end."""
    request = asked(tenant, "access", customers=[person(tenant)])["id"]
    parts = tenant.house.components
    caller = replace(tenant.caller, at=parts.clock())
    assert decisions.approve(parts.desk(caller), parts.policy, request).status == "approved"
    for _ in range(2):
        assert work(tenant.house) == []
    assert status_of(tenant, request) == "completed"


def test_a_package_is_built_at_once(tenant: Tenant) -> None:
    """The first round after the approval builds it: nobody waits for a lease that nobody holds."""
    request = asked(tenant, "access", customers=[person(tenant)])["id"]
    approved(tenant, request)
    for _ in range(2):
        assert tenant.house.work()[1] == []
    assert status_of(tenant, request) == "completed"


@pytest.mark.parametrize("kind", rights.TYPES)
def test_nobody_matches(tenant: Tenant, kind: str) -> None:
    """A request about nobody we know is taken in and, once approved, complete; it says that it matched nobody."""
    unknown = [{"type": "email", "value": "nobody@example.com"}]
    request = asked(tenant, kind, identities=unknown, **({"ground": "unlawful"} if kind == "restriction" else {}))
    assert (request["customers"], request["customer"], request["matched"]) == ([], None, 0)
    done = approved(tenant, request["id"])
    assert (done["status"], done["matched"]) == ("completed", 0)
    assert read(tenant, request["id"])["matched"] == 0
    listed = tenant.call("GET", "/v1/rights-requests", role="privacy").get_json()["data"]
    assert [(each["id"], each["matched"]) for each in listed] == [(request["id"], 0)]


def test_how_many_match(tenant: Tenant) -> None:
    """A request says how many customers it is about, however they were named."""
    found = [person(tenant) for _ in range(2)]
    by_identity = asked(tenant, "access", identities=[{"type": "email", "value": ADA["email"]}])
    assert (by_identity["matched"], set(by_identity["customers"])) == (2, set(found))
    assert asked(tenant, "erasure", customers=found[:1])["matched"] == 1


def test_one_request_to_many_customers(tenant: Tenant) -> None:
    """Each target stands for itself: a blocked one holds up no other, and the request waits for it."""
    free, held = person(tenant), person(tenant)
    order = hold(tenant, held)
    request = asked(tenant, "erasure", identities=[{"type": "email", "value": "ada@example.com"}])
    assert set(request["customers"]) == {free, held}
    found = approved(tenant, request["id"])
    assert found["status"] == "blocked"
    assert {each["customer"]: each["status"] for each in found["targets"]} == {free: "executing", held: "blocked"}
    assert tenant.call("GET", f"/v1/customers/{free}").status_code == 410
    assert work(tenant.house) == []
    problem(tenant.call("GET", f"/v1/rights-requests/{request['id']}/certificate"), 422, "invalid_request")
    path = f"/v1/rights-requests/{request['id']}/certificate?customer={free}"
    assert tenant.call("GET", path).get_json()["certificate"]["customer"] == free
    lift(tenant, order["id"])
    assert work(tenant.house) == []
    assert tenant.call("GET", f"/v1/customers/{held}").status_code == 410
    assert work(tenant.house) == []
    assert status_of(tenant, request["id"]) == "completed"


def test_an_unverified_person_gets_nothing(tenant: Tenant) -> None:
    """Without the controller's word on who asked, a request can't be approved, also not twice; with it, it can."""
    customer = person(tenant)
    answer = tenant.call("POST", "/v1/rights-requests", {"type": "erasure", "customers": [customer]}, role="privacy")
    request = answer.get_json()
    assert request["status"] == "verifying"
    for _ in range(2):
        problem(decide(tenant, request["id"], "approve"), 409, "not_verified")
    problem(tenant.call("DELETE", f"/v1/customers/{customer}"), 409, "not_verified")
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 200
    found = approved(tenant, request["id"], verification="document")
    assert (found["status"], found["verification"]) == ("executing", "document")


def test_asking_twice_is_one_request(tenant: Tenant) -> None:
    """A right that is open for one of these customers is 409 with the first; another right is another."""
    one, other = person(tenant), person(tenant)
    first = asked(tenant, "access", customers=[one])
    again = ask(tenant, "access", customers=[one, other])
    assert problem(again, 409, "duplicate_request")["request"] == first["id"]
    assert again.headers["Location"] == f"/v1/rights-requests/{first['id']}"
    assert asked(tenant, "erasure", customers=[one])["id"] != first["id"]
    tenant.call("DELETE", f"/v1/rights-requests/{first['id']}", role="privacy")
    assert asked(tenant, "access", customers=[one])["status"] == "received"


def test_the_same_key_is_the_same_request(tenant: Tenant) -> None:
    """A retry with its Idempotency-Key answers the first request; another body with it is refused."""
    customer = person(tenant)
    body = {"type": "access", "customers": [customer]}
    answers = [
        tenant.call("POST", "/v1/rights-requests", body, role="privacy", Idempotency_Key="k-rights") for _ in range(2)
    ]
    assert answers[0].get_json()["id"] == answers[1].get_json()["id"]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    other = tenant.call(
        "POST", "/v1/rights-requests", {**body, "type": "erasure"}, role="privacy", Idempotency_Key="k-rights"
    )
    problem(other, 422, "idempotency_key_reused")


def test_denied_with_a_reason_and_a_notice(tenant: Tenant) -> None:
    """Refused with a code and when the person was told; then it can't be approved, cancelled or denied again."""
    request = asked(tenant, "erasure", customers=[person(tenant)])["id"]
    never = {"reason": "legal_claims", "notified_at": "2098-01-01T00:00:00Z"}
    problem(decide(tenant, request, "deny", **never), 422, "invalid_request")
    told = read(tenant, request)["submitted_at"]
    found = decide(tenant, request, "deny", reason="legal_claims", notified_at=told).get_json()
    assert (found["status"], found["denial_reason"], found["notice_sent_at"]) == ("denied", "legal_claims", told)
    assert found["complaint"]["authority"] == tenant.house.components.policy.authority
    problem(decide(tenant, request, "approve"), 409, "request_closed")
    problem(decide(tenant, request, "deny", reason="excessive", notified_at=told), 409, "request_closed")
    problem(tenant.call("DELETE", f"/v1/rights-requests/{request}", role="privacy"), 409, "request_closed")


def test_extended_once_and_in_time(tenant: Tenant) -> None:
    """Two further months, once, when the person was told inside the first; the old end stays on the record."""
    request = asked(tenant, "access", customers=[person(tenant)])
    told = request["submitted_at"]
    found = decide(tenant, request["id"], "extend", reason="complexity", notified_at=told).get_json()
    assert found["due_at"] == request["due_at"] < found["extended_due_at"]
    problem(decide(tenant, request["id"], "extend", reason="complexity", notified_at=told), 409, "already_extended")
    late = asked(tenant, "portability", customers=[person(tenant)], submitted_at=ago(days=60))["id"]
    problem(decide(tenant, late, "extend", reason="complexity", notified_at=ago(days=1)), 422, "invalid_request")
    assert "extended_due_at" in decide(tenant, late, "extend", reason="complexity", notified_at=ago(days=50)).get_json()


def test_withdrawn_before_anything_was_done(tenant: Tenant) -> None:
    """Cancelled while it waits; again changes nothing; once it is carried out it is too late."""
    customer = person(tenant)
    waiting, done = (
        asked(tenant, "erasure", customers=[customer])["id"],
        asked(tenant, "access", customers=[customer])["id"],
    )
    for _ in range(2):
        answer = tenant.call("DELETE", f"/v1/rights-requests/{waiting}", role="privacy")
        assert (answer.status_code, answer.get_json()["status"]) == (200, "cancelled")
    problem(decide(tenant, waiting, "approve"), 409, "request_closed")
    approved(tenant, done)
    problem(tenant.call("DELETE", f"/v1/rights-requests/{done}", role="privacy"), 409, "request_closed")
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 200


def test_what_is_overdue(tenant: Tenant) -> None:
    """An open request past its end is overdue, in the list too; an extension moves that; a closed one never is."""
    late = asked(tenant, "access", customers=[person(tenant)], submitted_at=ago(days=70))["id"]
    asked(tenant, "access", customers=[person(tenant)])
    assert read(tenant, late)["overdue"]
    listed = tenant.call("GET", "/v1/rights-requests?overdue=true", role="privacy").get_json()["data"]
    assert [each["id"] for each in listed] == [late]
    decide(tenant, late, "extend", reason="number_of_requests", notified_at=ago(days=60))
    assert not read(tenant, late)["overdue"]
    much_later = later(tenant.house, days=200)
    assert len(with_house(tenant, much_later).call("GET", "/v1/rights-requests?overdue=true").get_json()["data"]) == 2


def with_house(tenant: Tenant, house: House) -> Tenant:
    return Tenant(house=house, id=tenant.id, keys=tenant.keys, caller=tenant.caller, account=tenant.account)


def test_listed_by_status_type_and_customer(tenant: Tenant) -> None:
    """Newest first, in pages, by each filter and by all of them; a foreign tenant sees none."""
    one, other = person(tenant), person(tenant)
    made = [asked(tenant, kind, customers=[who])["id"] for kind in ("access", "erasure") for who in (one, other)]
    approved(tenant, made[0])
    work(tenant.house)

    def found(query: str) -> list[str]:
        answer = tenant.call("GET", f"/v1/rights-requests?{query}", role="privacy")
        return [each["id"] for each in answer.get_json()["data"]]

    assert found("") == made[::-1]
    assert found(f"customer={one}") == [made[2], made[0]]
    assert found("type=erasure") == [made[3], made[2]]
    assert found("status=completed") == [made[0]]
    assert found(f"type=access&customer={other}&status=received") == [made[1]]
    page = tenant.call("GET", "/v1/rights-requests?limit=3", role="privacy").get_json()
    assert found(f"limit=3&cursor={page['next_cursor']}") == made[:1]
    assert tenant.house.tenant().call("GET", "/v1/rights-requests").get_json()["data"] == []


def test_two_people_approve_above_the_rate(tenant: Tenant) -> None:
    """Above so many erasures a day: two people behind two keys; one twice, or nobody named, is not enough."""
    strict = with_policy(tenant, erasures_per_day=1)
    assert strict.call("DELETE", f"/v1/customers/{person(strict)}").status_code == 202
    request = asked(strict, "erasure", customers=[person(strict)])
    assert request["approvals_needed"] == 2
    problem(decide(strict, request["id"], "approve"), 400, "actor_required")
    for _ in range(2):
        found = decide(strict, request["id"], "approve", actor="ann").get_json()
        assert (found["status"], found["approvals"]) == ("received", 1)
    found = decide(strict, request["id"], "approve", actor="bob", role="all").get_json()
    assert (found["status"], found["approvals"]) == ("executing", 2)


def test_a_header_makes_no_second_person(tenant: Tenant) -> None:
    """One API key is one person, whomever it names; nor are two keys two people that are called the same."""
    strict = with_policy(tenant, erasures_per_day=0)
    customer = person(strict)
    request = asked(strict, "erasure", customers=[customer])["id"]
    for name in ("anna", "bert", "carl"):
        found = decide(strict, request, "approve", actor=name).get_json()
        assert (found["status"], found["approvals"]) == ("received", 1)
    again = decide(strict, request, "approve", actor="anna", role="all").get_json()
    assert (again["status"], read(strict, request)["approvals"]) == ("received", 1)
    assert strict.call("GET", f"/v1/customers/{customer}").status_code == 200
    assert decide(strict, request, "approve", actor="dora", role="all").get_json()["status"] == "executing"


def test_two_people_delete_above_the_rate(tenant: Tenant) -> None:
    """DELETE on a customer above the rate asks, and the second person who sends it approves."""
    strict = with_policy(tenant, erasures_per_day=0)
    path = f"/v1/customers/{person(strict)}"
    problem(strict.call("DELETE", path), 400, "actor_required")
    first = [strict.call("DELETE", path, Panless_Actor=name) for name in ("ann", "ann", "bob")]
    assert {(each.status_code, each.get_json()["status"]) for each in first} == {(202, "received")}
    assert strict.call("GET", path).status_code == 200
    second = strict.call("DELETE", path, role="privacy", Panless_Actor="cleo")
    assert (second.status_code, second.get_json()["id"]) == (202, first[0].get_json()["id"])
    assert strict.call("GET", path).status_code == 410


def test_a_blocked_deletion_is_done_by_itself(tenant: Tenant) -> None:
    """DELETE of a held customer is 409 and kept: the worker erases once the last hold is gone; it can be withdrawn."""
    customer = person(tenant)
    orders = [hold(tenant, customer) for _ in range(2)]
    answers = [tenant.call("DELETE", f"/v1/customers/{customer}") for _ in range(2)]
    requests = {problem(answer, 409, "blocked")["request"] for answer in answers}
    [request] = requests
    found = read(tenant, request)
    assert (found["status"], found["targets"][0]["reasons"]) == ("blocked", ["hold"])
    lift(tenant, orders[0]["id"])
    work(tenant.house)
    assert status_of(tenant, request) == "blocked"
    lift(tenant, orders[1]["id"])
    work(tenant.house)
    work(tenant.house)
    assert status_of(tenant, request) == "completed"
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 410


def test_a_blocked_deletion_is_withdrawn(tenant: Tenant) -> None:
    """Cancelled while it is blocked, it does not come back when the hold goes."""
    customer = person(tenant)
    order = hold(tenant, customer)
    request = tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["request"]
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}").get_json()["status"] == "cancelled"
    lift(tenant, order["id"])
    work(tenant.house)
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 200


def test_access_and_portability_are_handed_out_by_a_link(tenant: Tenant) -> None:
    """Approved, built by the worker, complete; the link works once and a new one takes its place."""
    customer = person(tenant)
    for kind in ("access", "portability"):
        request = asked(tenant, kind, customers=[customer])["id"]
        problem(tenant.call("GET", f"/v1/rights-requests/{request}/package"), 404, "not_found")
        approved(tenant, request)
        problem(tenant.call("GET", f"/v1/rights-requests/{request}/package"), 409, "package_not_ready")
        work(tenant.house)
        work(tenant.house)
        assert status_of(tenant, request) == "completed"
        links = [tenant.call("GET", f"/v1/rights-requests/{request}/package").get_json()["url"] for _ in range(2)]
        client = tenant.house.app.test_client()
        assert [client.get(link).status_code for link in (links[0], links[1], links[1])] == [404, 200, 410]


def test_a_correction_is_made_and_kept_nowhere_else(tenant: Tenant) -> None:
    """The new value stands in the contact alone: not in the request, the audit log or the ledger."""
    customer = person(tenant)
    request = asked(tenant, "rectification", customers=[customer])["id"]
    assert approved(tenant, request, correction={"name": "Ada Kanarienvogel"})["status"] == "completed"
    contact = tenant.call("GET", f"/v1/customers/{customer}/billing-contact", **PURPOSE).get_json()
    assert (contact["name"], contact["email"]) == ("Ada Kanarienvogel", ADA["email"])
    house = tenant.house
    written = [str(each) for table in (rights_requests, rights_targets, audit_entries) for each in rows(house, table)]
    written += [file.read_text() for file in (house.home / "ledger").iterdir()]
    assert "Kanarienvogel" not in "".join(written)


def test_a_correction_is_for_one_rectification(tenant: Tenant) -> None:
    """With another right, or about several customers, it is refused and nothing changes."""
    one, other = person(tenant), person(tenant)
    for kind, about in (("access", [one]), ("rectification", [one, other])):
        request = asked(tenant, kind, customers=about)["id"]
        problem(decide(tenant, request, "approve", correction={"name": "X"}), 422, "invalid_request")
        assert status_of(tenant, request) == "received"


def test_restriction_on_approval(tenant: Tenant) -> None:
    """In force once approved, with its ground; a restriction without a ground, or a ground without it, is refused."""
    customer = person(tenant)
    request = asked(tenant, "restriction", customers=[customer], ground="unlawful")["id"]
    assert not row(tenant.house, customers, customer_id=customer).restricted
    assert approved(tenant, request)["status"] == "completed"
    assert row(tenant.house, customers, customer_id=customer).restriction_ground == "unlawful"
    problem(ask(tenant, "restriction", customers=[customer]), 422, "invalid_request")
    problem(ask(tenant, "access", customers=[customer], ground="unlawful"), 422, "invalid_request")


@pytest.mark.parametrize("end", ["upheld", "denied"])
def test_an_objection_restricts_while_it_is_looked_at(tenant: Tenant, end: str) -> None:
    """From the moment it comes in; upheld or not, the restriction ends only with its own notice."""
    customer = person(tenant)
    request = asked(tenant, "objection", customers=[customer])
    token = tenant.call("GET", f"/v1/tokens?customer={customer}").get_json()["data"][0]["id"]
    assert tenant.charge(token).status_code == 423
    if end == "upheld":
        assert approved(tenant, request["id"])["status"] == "completed"
    else:
        told = request["submitted_at"]
        decide(tenant, request["id"], "deny", reason="public_interest", notified_at=told)
    assert tenant.charge(token).status_code == 423
    told = ago(seconds=0)
    assert tenant.call("DELETE", f"/v1/customers/{customer}/restriction?notified_at={told}").status_code == 200
    assert tenant.charge(token).status_code == 201


def test_of_who_is_erased_there_is_nothing_to_do(tenant: Tenant) -> None:
    """Every right of an erased customer: taken in, approved, complete, with nothing handed out."""
    customer = person(tenant)
    assert tenant.erase(customer).status_code == 200
    for kind in ("access", "portability", "rectification", "erasure"):
        request = asked(tenant, kind, customers=[customer])["id"]
        body = {"correction": {"name": "X"}} if kind == "rectification" else {}
        assert approved(tenant, request, **body)["status"] == "completed", kind


def test_every_step_is_on_the_record(tenant: Tenant) -> None:
    """Request, approval, extension, denial, withdrawal: an audit entry each, for each customer, without content."""
    customer = person(tenant)
    first = asked(tenant, "access", customers=[customer])
    decide(tenant, first["id"], "extend", reason="complexity", notified_at=first["submitted_at"])
    approved(tenant, first["id"])
    second = asked(tenant, "erasure", customers=[customer])
    decide(tenant, second["id"], "deny", reason="legal_claims", notified_at=second["submitted_at"])
    third = asked(tenant, "erasure", customers=[customer])
    tenant.call("DELETE", f"/v1/rights-requests/{third['id']}")
    actions = {each.action for each in rows(tenant.house, audit_entries, customer_id=customer)}
    assert actions >= {"rights.request", "rights.approve", "rights.extend", "rights.deny", "rights.cancel"}


@pytest.mark.parametrize("kind", ["erasure", "access"])
def test_what_was_approved_is_carried_out_after_a_crash(tenant: Tenant, kind: str) -> None:
    """A server that ended between the approval and what it was for: the worker goes on."""
    request = asked(tenant, kind, customers=[person(tenant)])["id"]
    this = rights_requests.c.request_id == request
    with transaction(tenant.house.components.records) as tx:
        tx.execute(rights_requests.update().where(this).values(state="approved"))
    for _ in range(3):
        assert work(tenant.house) == []
    assert status_of(tenant, request) == "completed"


def test_of_many_targets_the_worker_does_the_rest(tenant: Tenant) -> None:
    """Whoever approves waits for the first ones only."""
    many = [tenant.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(AT_ONCE + 2)]
    request = asked(tenant, "erasure", customers=many)["id"]
    waiting = [each for each in approved(tenant, request)["targets"] if each["status"] == "waiting"]
    assert len(waiting) == 2
    for _ in range(2):
        assert work(tenant.house) == []
    assert status_of(tenant, request) == "completed"


def test_cancelled_before_its_turn(tenant: Tenant) -> None:
    """A request that is cancelled between the worker's look and the erasure: nothing is erased, nothing is reported."""
    customer, parts = person(tenant), tenant.house.components
    request = asked(tenant, "erasure", customers=[customer])["id"]
    this = rights_requests.c.request_id == request
    with transaction(parts.records) as tx:
        tx.execute(rights_requests.update().where(this).values(state="approved"))
    caller = replace(tenant.caller, at=parts.clock())
    seen = rights.read(parts.desk(caller), request)
    assert tenant.call("DELETE", f"/v1/rights-requests/{request}").get_json()["status"] == "cancelled"
    execution.execute(Work(desk=parts.desk(caller), ledger=parts.ledger, policy=parts.policy), seen)
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 200
    assert status_of(tenant, request) == "cancelled"


def test_what_operators_watch(own_house: House) -> None:
    """Open, blocked, pressing from the policy's day of warning on, overdue past the end; closed ones are none of it."""
    tenant, parts = own_house.tenant(), own_house.components
    for days in (1, 29, 70):
        asked(tenant, "access", customers=[person(tenant)], submitted_at=ago(days=days))
    held = person(tenant)
    hold(tenant, held)
    tenant.call("DELETE", f"/v1/customers/{held}")
    assert approved(tenant, asked(tenant, "rectification", customers=[person(tenant)])["id"])["status"] == "completed"
    found = watch(parts.records, parts.policy, parts.clock())
    assert found == Watch(open=4, blocked=1, pressing=1, overdue=1)


def test_pressing_by_the_calendar(own_house: House) -> None:
    """What operators watch counts days as deadlines do: from midnight where the controller is, not by 24 hours."""
    tenant, parts = own_house.tenant(), own_house.components
    asked(tenant, "access", customers=[person(tenant)])
    (request,) = rows(own_house, rights_requests)
    zone = ZoneInfo(parts.policy.time_zone)
    warned = request.submitted_at.astimezone(zone).date() + timedelta(days=28)
    midnight = datetime.combine(warned, time(), zone)
    assert watch(parts.records, parts.policy, midnight - timedelta(seconds=1)).pressing == 0
    assert watch(parts.records, parts.policy, midnight).pressing == 1
