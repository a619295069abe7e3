"""A foreign tenant's ids, wherever an id is taken: the bytes of an id that never was."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from api_scene import (
    LINKED,
    OF_OTHERS,
    PLACE,
    bodies,
    disputed,
    fixed,
    headers_of,
    never_was,
    nothing,
    operations,
    problem,
    rows,
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
            headers = {name.replace("-", "_"): value for name, value in headers_of(operation, "k-1").items()}
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


def test_foreign_ids_in_bodies(tenant: Tenant, foreign: Foreign) -> None:
    """A customer, a processor account or a token of another tenant in a body is one that never was."""
    before = rows(tenant.house)
    for ids in (foreign.ids, foreign.erased):
        pairs = [
            (tenant.tokenize(customer=ids["customer_id"]), tenant.tokenize(customer=never_was("cus"))),
            (tenant.tokenize(processor_account=ids["account_id"]), tenant.tokenize(processor_account=never_was("pa"))),
            (tenant.charge(ids["token_id"]), tenant.charge(never_was("tok"))),
        ]
        for answer, expected in pairs:
            problem(answer, 404, "not_found")
            assert fixed(answer) == fixed(expected)
    assert rows(tenant.house) == before


def test_foreign_ids_in_queries(tenant: Tenant, foreign: Foreign) -> None:
    """As a filter they find nothing, like ids that never were; listing the tokens of a foreign customer is 404."""
    empty = {"data": [], "next_cursor": None}
    for filters in (
        {"customer": foreign.ids["customer_id"]},
        {"token": foreign.ids["token_id"]},
        {"customer": foreign.erased["customer_id"]},
        {"obligation": "F-INV-1"},
    ):
        answer = tenant.call("GET", "/v1/charges?" + "&".join(f"{name}={value}" for name, value in filters.items()))
        assert answer.get_json() == empty
    for customer in (foreign.ids["customer_id"], foreign.erased["customer_id"]):
        answer = tenant.call("GET", f"/v1/tokens?customer={customer}")
        assert fixed(answer) == fixed(tenant.call("GET", f"/v1/tokens?customer={never_was('cus')}"))
        problem(answer, 404, "not_found")
    for query in ({"email": "f@example.com"}, {"reference": "F-1"}):
        assert tenant.call("POST", "/v1/customers/search", query, **PURPOSE).get_json() == empty


def test_two_tenants_share_names_and_cards_and_meet_nowhere(house: House) -> None:
    """The same reference, obligation, idempotency key and card at two tenants: two customers, tokens, charges."""
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
