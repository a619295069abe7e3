"""One obligation, one charge: whatever keys, callers and faults come."""

import secrets

import pytest
from api_scene import at_once, problem, rows, work_until
from house import Tenant

DECLINES_LATER = "4000000000000341"
AT_THE_PROCESSOR = "/v1/payment_intents"


@pytest.mark.parametrize("callers", [20])
def test_twenty_fresh_keys_at_once(tenant: Tenant, callers: int) -> None:
    """One charge in the processor's book; the others are 409 with a link to it, in doubt while its end is open."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path=AT_THE_PROCESSOR, do="delay", seconds=0.3)
    answers = at_once(callers, lambda _: tenant.charge(token, obligation="INV-1"))
    [first] = [answer for answer in answers if answer.status_code == 201]
    others = [answer for answer in answers if answer is not first]
    for answer in others:
        assert problem(answer, 409)["code"] in {"already_paid", "in_doubt"}
        assert answer.headers["Location"] == f"/v1/charges/{first.get_json()['id']}"
        assert answer.get_json()["charge"] == first.get_json()["id"]
    assert any(answer.get_json()["code"] == "in_doubt" for answer in others)
    assert len(tenant.charges_at_processor()) == 1
    later = tenant.charge(token, obligation="INV-1")
    problem(later, 409, "already_paid")


def test_twenty_fresh_keys_with_a_card_that_declines(tenant: Tenant) -> None:
    """While one attempt after another is declined, callers hear of a decline or of each other, and of nothing else."""
    token = tenant.token(DECLINES_LATER)["id"]
    for answer in at_once(20, lambda _: tenant.charge(token, obligation="INV-1")):
        assert problem(answer, range(402, 410))["code"] in {"declined", "in_doubt", "contended"}
    assert tenant.charges_at_processor() == []


def test_two_cards_for_one_obligation_at_once(tenant: Tenant) -> None:
    """Two tokens of two customers, ten callers each: one of them pays."""
    tokens = [tenant.token()["id"], tenant.token("5555555555554444")["id"]]
    answers = at_once(10, lambda number: tenant.charge(tokens[number % 2], obligation="INV-1"))
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 9]
    assert len(tenant.charges_at_processor()) == 1


def test_free_again_after_a_decline(tenant: Tenant) -> None:
    """A definite decline frees the obligation for another card; then it is paid, with any card."""
    bad, good = tenant.token(DECLINES_LATER)["id"], tenant.token()["id"]
    problem(tenant.charge(bad, obligation="INV-1"), 402, "declined")
    problem(tenant.charge(bad, obligation="INV-1"), 402, "declined")
    paid = tenant.charge(good, obligation="INV-1").get_json()["id"]
    for token in (bad, good):
        answer = tenant.charge(token, obligation="INV-1")
        assert problem(answer, 409, "already_paid")["charge"] == paid
    assert len(tenant.charges_at_processor()) == 1
    states = [one["status"] for one in tenant.call("GET", "/v1/charges?obligation=INV-1").get_json()["data"]]
    assert sorted(states) == ["declined", "declined", "succeeded"]


def test_stays_paid_after_a_refund(tenant: Tenant) -> None:
    """A refund gives money back, it does not make an obligation unpaid."""
    token = tenant.token()["id"]
    charge = tenant.charge(token, obligation="INV-1").get_json()["id"]
    assert tenant.call("POST", f"/v1/charges/{charge}/refunds", {}, Idempotency_Key="r").status_code == 201
    problem(tenant.charge(token, obligation="INV-1"), 409, "already_paid")


def test_stays_paid_after_token_and_customer_are_gone(tenant: Tenant) -> None:
    """Neither a deleted token nor an erased customer makes an invoice payable a second time."""
    token = tenant.token()
    tenant.charge(token["id"], obligation="INV-1")
    tenant.call("DELETE", f"/v1/tokens/{token['id']}")
    other = tenant.token("5555555555554444")["id"]
    problem(tenant.charge(other, obligation="INV-1"), 409, "already_paid")
    tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    problem(tenant.charge(other, obligation="INV-1"), 409, "already_paid")
    assert len(tenant.charges_at_processor()) == 1


def test_in_doubt_until_the_worker_knows(tenant: Tenant) -> None:
    """While a lost answer is not looked up the obligation is in doubt; then it is paid, once."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path=AT_THE_PROCESSOR, do="lose_answer")
    first = tenant.charge(token, obligation="INV-1")
    assert first.status_code == 202
    for _ in range(3):
        answer = tenant.charge(token, obligation="INV-1")
        problem(answer, 409, "in_doubt")
        assert answer.headers["Location"] == first.headers["Location"]
    path = first.headers["Location"]
    work_until(tenant.house, lambda: tenant.call("GET", path).get_json()["status"] == "succeeded")
    problem(tenant.charge(token, obligation="INV-1"), 409, "already_paid")
    assert len(tenant.charges_at_processor()) == 1


@pytest.mark.parametrize("other", [" INV-1", "INV-1\u3000", "\uff29\uff2e\uff36-1"])
def test_same_obligation_written_otherwise(tenant: Tenant, other: str) -> None:
    """Blanks around it and full-width letters make no other invoice."""
    token = tenant.token()["id"]
    tenant.charge(token, obligation="INV-1")
    problem(tenant.charge(token, obligation=other), 409, "already_paid")


def test_merchant_names_what_is_paid(tenant: Tenant) -> None:
    """A charge that the merchant initiates needs an obligation; one that the customer initiates need not have one."""
    token = tenant.token()["id"]
    body = {"token": token, "amount": 500, "currency": "eur"}
    before = rows(tenant.house)
    answer = tenant.call("POST", "/v1/charges", body, Idempotency_Key=secrets.token_hex(4))
    assert problem(answer, 422, "invalid_request")["errors"][0]["field"] == "obligation"
    assert rows(tenant.house) == before
    for _ in range(2):
        own = {**body, "initiator": "customer"}
        assert tenant.call("POST", "/v1/charges", own, Idempotency_Key=secrets.token_hex(4)).status_code == 201
