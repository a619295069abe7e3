"""Personal data is read for a purpose, and every look is on the record before it answers."""

import hashlib
import json
import re
from typing import Any

import pytest
from api_scene import CONTACT, problem, rows
from house import PURPOSE, Tenant
from sqlalchemy import select

from rows.engine import reading
from vault.audit import leaf_mac
from vault.tables import audit_entries

WHO = {"Access-Purpose": 'fraud; ref="CASE-7:a.b_c"', "Panless-Actor": "agent.47"}


def _entries(tenant: Tenant) -> list[dict[str, Any]]:
    """The tenant's audit entries, each with a good MAC and columns that agree with it."""
    parts = tenant.house.components
    with reading(parts.records) as connection:
        mine = select(audit_entries).where(audit_entries.c.tenant_id == tenant.id)
        found = connection.execute(mine.order_by(audit_entries.c.at, audit_entries.c.counter)).all()
    for row in found:
        assert leaf_mac(parts.keyring, tenant.id, row.leaf.encode()) == row.mac
        leaf = json.loads(row.leaf)
        assert (leaf["action"], leaf["customer"], leaf["tenant"]) == (row.action, row.customer_id, row.tenant_id)
    return [json.loads(row.leaf) for row in found]


@pytest.fixture
def customer(tenant: Tenant) -> str:
    return tenant.call("POST", "/v1/customers", {"reference": "Kunde-1", "billing_contact": CONTACT}).get_json()["id"]


def _looks(customer: str) -> list[tuple[str, str, object]]:
    return [
        ("GET", f"/v1/customers/{customer}/billing-contact", None),
        ("POST", "/v1/customers/search", {"email": "ada@example.com"}),
    ]


def test_no_purpose_no_look(tenant: Tenant, customer: str) -> None:
    """Without a purpose, or with one that the policy does not know: 400, the codes are named, nothing is recorded."""
    before = rows(tenant.house)
    for method, path, body in _looks(customer):
        answer = problem(tenant.call(method, path, body), 400, "access_purpose_required")
        assert "rights-request" in answer["detail"]
        unknown = {"Access-Purpose": 'curiosity; ref="T-1"'}
        problem(tenant.call(method, path, body, **unknown), 400, "access_purpose_unknown")
    assert rows(tenant.house) == before


@pytest.mark.parametrize("code", ["billing", "support", "fraud", "rights-request", "legal"])
def test_every_purpose_of_the_policy(tenant: Tenant, customer: str, code: str) -> None:
    """Each code opens the contact, and stands in the entry; the blank before ref may be missing."""
    for value in (f'{code}; ref="T-1"', f'{code};ref="T-1"'):
        path = f"/v1/customers/{customer}/billing-contact"
        assert tenant.call("GET", path, **{"Access-Purpose": value}).status_code == 200
        assert _entries(tenant)[-1]["purpose"] == code


def test_every_look_has_its_entry(tenant: Tenant, customer: str) -> None:
    """Each read and search: one entry with purpose, reference, actor, request id and who was shown."""
    for method, path, body in _looks(customer):
        before = len(_entries(tenant))
        answer = tenant.call(method, path, body, role="privacy", **WHO)
        assert answer.status_code == 200
        [entry] = _entries(tenant)[before:]
        assert entry["request_id"] == answer.headers["Request-Id"]
        assert (entry["purpose"], entry["reference"], entry["actor"]) == ("fraud", "CASE-7:a.b_c", "agent.47")
        assert entry["client"].startswith("cli_")
        if method == "GET":
            assert (entry["action"], entry["customer"]) == ("contact.read", customer)
        else:
            assert (entry["action"], entry["details"]) == ("customer.search", {"field": "email", "found": [customer]})


def test_a_search_without_a_result_is_a_look_too(tenant: Tenant) -> None:
    """That somebody asked is recorded, what they asked for is not."""
    answer = tenant.call("POST", "/v1/customers/search", {"email": "nobody@example.com"}, **PURPOSE)
    assert answer.get_json() == {"data": [], "next_cursor": None}
    entry = _entries(tenant)[-1]
    assert entry["details"] == {"field": "email", "found": []}
    assert "nobody" not in json.dumps(entry)


_RANDOM = re.compile(r"[a-z]+_[a-z0-9]{28}|[0-9a-f]{32}|\d{4}-\d\d-\d\dT[0-9:.+]+")
"""Ids, lanes and moments: four digits of somebody's stand in one of them by chance in one run of a hundred."""


def test_entries_hold_nothing_personal(tenant: Tenant, customer: str) -> None:
    """Not a word of the contact, the reference, a note or the last four stands in any entry."""
    token = tenant.token(customer=customer, metadata={"note": "Zahlungserinnerung"})
    tenant.charge(token["id"], obligation="RE-4711")
    tenant.call("PATCH", f"/v1/customers/{customer}/billing-contact", {"name": "Grace Hopper"})
    for method, path, body in _looks(customer):
        tenant.call(method, path, body, **WHO)
    everything = _RANDOM.sub("", json.dumps(_entries(tenant)))
    for word in (
        "Ada",
        "Lovelace",
        "xample.com",
        "1234-567",
        "Main St",
        "Kunde",
        "Grace",
        "Zahlung",
        "4711",
        "4242",
        "visa",
    ):
        assert word not in everything


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "Ada@Example.com"),
        ("email", "ada@EXAMPLE.COM"),
        ("email", "  ada@example.com "),
        ("phone", "+49 30 1234567".replace(" 30", " (0)30")),
        ("phone", "+4903 01 23-45/67"),
        ("reference", "Kunde-1"),
        ("reference", " Kunde-1 "),
    ],
)
def test_search(tenant: Tenant, customer: str, field: str, value: str) -> None:
    """By email whatever its case, by phone whatever its signs, by reference; no contact comes back."""
    [found] = tenant.call("POST", "/v1/customers/search", {field: value}, **PURPOSE).get_json()["data"]
    assert found["id"] == customer
    assert found.keys() == {"id", "object", "status", "restricted", "tokens", "charges", "created_at"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ada@example.co"),
        ("email", "%"),
        ("email", "ada@example.com' OR '1'='1"),
        ("phone", "+49301234"),
        ("reference", "Kunde"),
        ("reference", "kunde-1"),
        ("reference", "ada@example.com"),
    ],
)
def test_search_finds_exactly(tenant: Tenant, customer: str, field: str, value: str) -> None:
    """No part, no pattern, no other field; a reference keeps its case."""
    assert customer
    assert tenant.call("POST", "/v1/customers/search", {field: value}, **PURPOSE).get_json()["data"] == []


@pytest.mark.parametrize(
    "body", [{}, {"email": "a@b.de", "phone": "1"}, {"name": "Ada"}, {"email": ""}, {"email": None}]
)
def test_search_for_one_thing(tenant: Tenant, body: dict[str, object]) -> None:
    """Exactly one of email, phone and reference."""
    problem(tenant.call("POST", "/v1/customers/search", body, **PURPOSE), 422, "invalid_request")


def test_put_and_patch(tenant: Tenant, customer: str) -> None:
    """PUT puts all of it in place of the old, PATCH some; null takes away; the answers show no contact."""
    path = f"/v1/customers/{customer}/billing-contact"

    def stands() -> dict[str, Any]:
        return tenant.call("GET", path, **PURPOSE).get_json()

    patched = tenant.call("PATCH", path, {"name": "Grace Hopper", "phone": None}, role="checkout")
    assert patched.get_json() == {"object": "billing_contact_change", "customer": customer, "version": 2}
    expected = {**CONTACT, "name": "Grace Hopper", "phone": None, "object": "billing_contact"}
    assert stands() == expected
    put = tenant.call("PUT", path, {"email": "grace@example.com"}, role="checkout")
    assert put.get_json() == {"object": "billing_contact_change", "customer": customer, "version": 3}
    assert stands() == {
        "name": None,
        "email": "grace@example.com",
        "phone": None,
        "address": {},
        "object": "billing_contact",
    }
    for answer in (patched, put):
        assert "Grace" not in answer.get_data(as_text=True)
        assert "xample" not in answer.get_data(as_text=True)
    actions = [entry["action"] for entry in _entries(tenant)]
    assert actions.count("contact.correct") == 2


def test_search_follows_corrections(tenant: Tenant, customer: str) -> None:
    """After a correction the new email finds the customer and the old one does not; the reference still does."""
    path = f"/v1/customers/{customer}/billing-contact"
    tenant.call("PATCH", path, {"email": "grace@example.com"})
    finds = {
        value: [
            one["id"]
            for one in tenant.call("POST", "/v1/customers/search", {field: value}, **PURPOSE).get_json()["data"]
        ]
        for field, value in (
            ("email", "grace@example.com"),
            ("email", "ada@example.com"),
            ("reference", "Kunde-1"),
            ("phone", "+490301234567"),
        )
    }
    assert finds == {
        "grace@example.com": [customer],
        "ada@example.com": [],
        "Kunde-1": [customer],
        "+490301234567": [customer],
    }
    tenant.call("PUT", path, {})
    assert tenant.call("POST", "/v1/customers/search", {"phone": "+490301234567"}, **PURPOSE).get_json()["data"] == []


def test_two_customers_with_one_email(tenant: Tenant, customer: str) -> None:
    """A shared address finds both, and both stand in the entry."""
    other = tenant.call("POST", "/v1/customers", {"billing_contact": {"email": "ADA@example.com"}}).get_json()["id"]
    found = tenant.call("POST", "/v1/customers/search", {"email": "ada@example.com"}, **PURPOSE).get_json()["data"]
    assert {one["id"] for one in found} == {customer, other}
    assert set(_entries(tenant)[-1]["details"]["found"]) == {customer, other}


def test_writers_learn_nothing(tenant: Tenant, customer: str) -> None:
    """A client that may write contacts may not read them back, by no answer and no error of its calls."""
    path = f"/v1/customers/{customer}/billing-contact"
    problem(tenant.call("GET", path, role="checkout", **PURPOSE), 403, "insufficient_scope")
    problem(tenant.call("POST", "/v1/customers/search", {"email": "a@b.de"}, role="checkout", **PURPOSE), 403)
    answers = [
        tenant.call("PATCH", path, {"email": "broken"}, role="checkout"),
        tenant.call("POST", "/v1/customers", {"reference": "Kunde-1", "billing_contact": CONTACT}, role="checkout"),
        tenant.call("POST", "/v1/customers", {"billing_contact": CONTACT}, role="checkout"),
    ]
    for answer in answers:
        for word in ("Ada", "xample", "1234", "Berlin"):
            assert word not in answer.get_data(as_text=True)


def test_contact_read_is_not_cached(tenant: Tenant, customer: str) -> None:
    """No cache on the way keeps a contact, and two reads are two entries."""
    path = f"/v1/customers/{customer}/billing-contact"
    answers = [tenant.call("GET", path, **PURPOSE) for _ in range(2)]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    assert sum(entry["action"] == "contact.read" for entry in _entries(tenant)) == 2
    assert len({hashlib.sha256(answer.get_data()).digest() for answer in answers}) == 1
