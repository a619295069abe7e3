"""A foreign tenant's ids, wherever an id is taken: the bytes of an id that never was."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from api_scene import (
    LINKED,
    OF_OTHERS,
    PLACE,
    PREFIXES,
    bodies,
    disputed,
    fixed,
    headers_of,
    never_was,
    nothing,
    operations,
    problem,
    rows,
    stock_of,
)
from house import PURPOSE, House, Tenant, token_order


@dataclass(frozen=True)
class Foreign:
    """Ids of another tenant by the names that paths give them, and those of a customer it erased."""

    ids: dict[str, str]
    erased: dict[str, str]


@pytest.fixture
def foreign(house: House) -> Foreign:
    other = house.tenant()
    token = other.token(customer={"reference": "F-1", "billing_contact": {"email": "f@example.com"}})
    charge = other.charge(token["id"], obligation="F-INV-1").get_json()["id"]
    gone = other.token(customer={"reference": "F-2"})
    gone_charge = other.charge(gone["id"]).get_json()["id"]
    refunds = [
        other.call("POST", f"/v1/charges/{each}/refunds", {"amount": 1}, Idempotency_Key=each).get_json()["id"]
        for each in (charge, gone_charge)
    ]
    holds = [
        other.call("POST", f"/v1/customers/{each['customer']}/holds", {"reason": "audit"}).get_json()["id"]
        for each in (token, gone)
    ]
    other.call("DELETE", f"/v1/holds/{holds[1]}")
    request = other.call("DELETE", f"/v1/customers/{gone['customer']}").get_json()["id"]
    ids = {"token_id": token["id"], "customer_id": token["customer"], "charge_id": charge, "hold_id": holds[0]}
    ids["refund_id"] = refunds[0]
    erased = {"token_id": gone["id"], "customer_id": gone["customer"], "charge_id": gone_charge, "hold_id": holds[1]}
    erased["refund_id"] = refunds[1]
    ids["dispute_id"], erased["dispute_id"] = disputed(other, charge), disputed(other, gone_charge)
    event = other.call("GET", "/v1/events").get_json()["data"][0]["id"]
    endpoint = other.call("POST", "/v1/webhook-endpoints", {"url": "https://shop.example/"}).get_json()["id"]
    both = {"account_id": other.account, "request_id": request, "event_id": event, "endpoint_id": endpoint}
    both |= PLACE
    return Foreign(ids={**ids, **both}, erased={**erased, **both})


QUERIES = {("DELETE", "/v1/customers/{customer_id}/restriction"): "?notified_at=2026-01-01T00:00:00Z"}


def _calls(house: House) -> Iterator[tuple[str, str, dict[str, str], object]]:
    """Every operation with an id in its path, with the headers and the body that would make it succeed.

    A link is no tenant's: whoever has it may follow it.
    """
    good = bodies(never_was("tok"))
    for method, path, operation in operations(house.app):
        if "{" in path and (method, path) not in LINKED and not path.startswith(OF_OTHERS):
            headers = _underscored(headers_of(operation, "k-1"))
            yield method, path + QUERIES.get((method, path), ""), headers, good.get((method, path))


def test_foreign_ids_in_paths(tenant: Tenant, foreign: Foreign) -> None:
    """On every path and method: 404, the bytes of an id that never was; erased there or not; nothing is written."""
    never = nothing()
    before = rows(tenant.house)
    for method, path, headers, body in _calls(tenant.house):
        expected = tenant.call(method, path.format(**never), body, **headers)
        problem(expected, 404, "not_found")
        for ids in (foreign.ids, foreign.erased):
            answer = tenant.call(method, path.format(**ids), body, **headers)
            assert fixed(answer) == fixed(expected), (method, path)
    assert rows(tenant.house) == before


NAMING = {
    "customer": ("customer_id",),
    "customers": ("customer_id",),
    "token": ("token_id",),
    "charge": ("charge_id",),
    "event": ("event_id",),
    "processor_account": ("account_id",),
    "resource": ("token_id", "charge_id", "refund_id", "customer_id", "request_id", "dispute_id"),
}
"""Fields of queries and bodies that name something of a tenant, by the names that paths have for it."""

NAMING_NOTHING = {
    "query": "limit cursor status type since overdue obligation format notified_at",
    "body": "type card processor_reference usage metadata amount currency capture_method initiator reason obligation "
    "statement_descriptor reference billing_contact email phone name address ground classes until identities "
    "regulation submitted_at verification external_id correction cancel_subscriptions notified_at kind label "
    "credentials default api_key webhook_secret url events status since",
}


def _fields(house: House, operation: dict[str, Any]) -> dict[str, set[str]]:
    """What an operation takes in its query and at the top of its body, by the document."""
    schemas = house.app.test_client().get("/openapi.json").get_json()["components"]["schemas"]
    taken = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body: set[str] = set()
    for one in (taken, *taken.get("oneOf", ()), *taken.get("anyOf", ()), *taken.get("allOf", ())):
        body |= schemas.get(one.get("$ref", "").rpartition("/")[2], one).get("properties", {}).keys()
    return {"query": {each["name"] for each in operation["parameters"] if each["in"] == "query"}, "body": body}


def _naming(house: House, where: str) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Every operation with every field, of its query or its body, that names something of a tenant."""
    for method, path, operation in operations(house.app):
        if not path.startswith(OF_OTHERS):
            for field in sorted(_fields(house, operation)[where] & NAMING.keys()):
                yield method, path, operation, field


@pytest.mark.parametrize("where", NAMING_NOTHING)
def test_every_field_is_known_to_name_something_or_nothing(house: House, where: str) -> None:
    """A field that the two tables above don't know fails the test: whoever adds one says what it names."""
    taken = set().union(
        *(_fields(house, each)[where] for _, path, each in operations(house.app) if not path.startswith(OF_OTHERS))
    )
    assert taken - NAMING.keys() == set(NAMING_NOTHING[where].split())


def test_every_kind_of_id_is_tried(house: House, foreign: Foreign) -> None:
    """What paths name, this file has of another tenant; links are nobody's, and others' ids have tests of their own."""
    named = {name for _, path, _ in operations(house.app) for name in re.findall(r"{(\w+)}", path)}
    assert named - {"link", "processor_account", "subject_request_id"} == foreign.ids.keys() == foreign.erased.keys()


def test_foreign_ids_in_bodies(house: House, foreign: Foreign) -> None:
    """On every operation that takes one: 4xx, the bytes of an id that never was; nothing is written."""
    stock, keys, tried = stock_of(house.tenant()), count(), set()
    good = bodies(stock.ids["token_id"])
    before = rows(house)
    for method, path, operation, field in _naming(house, "body"):
        plain = {name: value for name, value in good[method, path].items() if name not in {field, "identities"}}
        for name in NAMING[field]:
            answers = [
                stock.tenant.call(
                    method,
                    stock.url(path),
                    {**plain, field: [named] if field == "customers" else named},
                    **_underscored(headers_of(operation, f"k-{next(keys)}")),
                )
                for named in (never_was(PREFIXES[name]), foreign.ids[name], foreign.erased[name])
            ]
            problem(answers[0], range(400, 500))
            assert fixed(answers[0]) == fixed(answers[1]) == fixed(answers[2]), (method, path, field)
        tried.add(field)
    assert tried == {"customer", "customers", "token", "event", "processor_account"}
    assert rows(house) == before


def test_foreign_ids_in_queries(house: House, foreign: Foreign) -> None:
    """As a filter, on every operation that takes one, they find what ids that never were find: nothing, or 404."""
    stock, tried = stock_of(house.tenant()), set()
    for method, path, operation, field in _naming(house, "query"):
        headers = _underscored(headers_of(operation, "k-1"))
        for name in NAMING[field]:
            url = f"{stock.url(path)}?{field}="
            expected = stock.tenant.call(method, f"{url}{never_was(PREFIXES[name])}", **headers)
            assert expected.status_code == 404 or expected.get_json() == {"data": [], "next_cursor": None}
            for ids in (foreign.ids, foreign.erased):
                assert fixed(stock.tenant.call(method, url + ids[name], **headers)) == fixed(expected), (path, field)
        tried.add(field)
    assert tried == {"customer", "token", "charge", "resource"}


def test_what_a_tenant_calls_things_names_nothing_of_another(tenant: Tenant, foreign: Foreign) -> None:
    """An obligation, a reference or an address of another tenant finds nothing."""
    assert foreign.ids
    empty = {"data": [], "next_cursor": None}
    assert tenant.call("GET", "/v1/charges?obligation=F-INV-1").get_json() == empty
    for query in ({"email": "f@example.com"}, {"reference": "F-1"}):
        assert tenant.call("POST", "/v1/customers/search", query, **PURPOSE).get_json() == empty


def _underscored(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): value for name, value in headers.items()}


def test_two_tenants_share_names_and_cards_and_meet_nowhere(house: House) -> None:
    """One reference, obligation, idempotency key and card at two tenants: two customers, tokens, charges."""
    one, two = house.tenant(), house.tenant()
    made = []
    for tenant in (one, two):
        answer = tenant.call("POST", "/v1/tokens", token_order(customer={"reference": "S-1"}), Idempotency_Key="same")
        assert answer.status_code == 201
        token = answer.get_json()
        made.append((token, tenant.charge(token["id"], obligation="INV-1", key="same").get_json()))
    (token, charge), (other_token, other_charge) = made
    assert token["customer"] != other_token["customer"]
    assert token["fingerprint"] != other_token["fingerprint"]
    assert charge["id"] != other_charge["id"]
    assert len(one.charges_at_processor()) == len(two.charges_at_processor()) == 1


def test_cursor_of_another_tenant_shows_nothing_of_it(tenant: Tenant, house: House) -> None:
    """A cursor only says where to go on: in somebody else's hands it shows their own rows, never the first's."""
    other = house.tenant()
    token = other.token()["id"]
    for _ in range(3):
        other.charge(token)
    cursor = other.call("GET", "/v1/charges?limit=1").get_json()["next_cursor"]
    assert tenant.call("GET", f"/v1/charges?cursor={cursor}").get_json()["data"] == []
