"""One card of one customer is one token; of two customers it is two that nobody can link."""

from typing import Any

import pytest
from api_scene import at_once, methods_at_processor, problem, processor, work_until
from house import PURPOSE, VISA, Tenant, token_order

MASTERCARD = "5555555555554444"
CONTACT = {"name": "Ada", "email": "ada@example.com"}


def _attached(tenant: Tenant) -> list[str]:
    return sorted(method["id"] for method in methods_at_processor(tenant))


def test_same_card_same_customer(tenant: Tenant) -> None:
    """200 and the token that exists; one more in neither the list nor the customer's count."""
    first = tenant.tokenize(customer={"reference": "D-1"})
    token = first.get_json()
    assert (first.status_code, token["deduplicated"]) == (201, False)
    again = tenant.tokenize("4242 4242 4242 4242", customer=token["customer"])
    assert (again.status_code, again.get_json()) == (200, {**token, "deduplicated": True})
    assert len(tenant.call("GET", f"/v1/tokens?customer={token['customer']}").get_json()["data"]) == 1
    assert tenant.call("GET", f"/v1/customers/{token['customer']}").get_json()["tokens"] == 1


def test_spare_payment_method_is_detached(tenant: Tenant) -> None:
    """The worker has the processor forget the second copy of the card, and leaves the one in use: it still charges."""
    token = tenant.token(customer={"reference": "D-1"})
    kept = _attached(tenant)
    tenant.tokenize(customer=token["customer"])
    tenant.tokenize(customer=token["customer"])
    assert len(_attached(tenant)) == 3
    work_until(tenant.house, lambda: _attached(tenant) == kept)
    tenant.house.work()
    assert _attached(tenant) == kept
    assert tenant.charge(token["id"]).status_code == 201


def test_new_expiry_renews(tenant: Tenant) -> None:
    """A renewed card keeps its token's id, with the new expiry; the old copy is detached, and the token charges."""
    token = tenant.token(customer={"reference": "D-1"})
    old = _attached(tenant)
    card = {**token_order()["card"], "exp_month": 7, "exp_year": 2039}
    answer = tenant.call("POST", "/v1/tokens", {"type": "card", "card": card, "customer": token["customer"]})
    renewed = answer.get_json()
    assert (answer.status_code, renewed["id"], renewed["deduplicated"]) == (200, token["id"], True)
    assert (renewed["card"]["exp_month"], renewed["card"]["exp_year"]) == (7, 2039)
    assert renewed["fingerprint"] == token["fingerprint"]
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").get_json() == {**renewed, "deduplicated": False}
    work_until(tenant.house, lambda: len(_attached(tenant)) == 1)
    assert _attached(tenant) != old
    assert tenant.charge(token["id"]).status_code == 201


def again_with(tenant: Tenant, token: dict[str, Any], year: int, **order: object) -> dict[str, Any]:
    """The customer's card, typed again with that year as its expiry."""
    card = {**token_order()["card"], "exp_year": year}
    body = {"type": "card", "card": card, "customer": token["customer"], **order}
    answer = tenant.call("POST", "/v1/tokens", body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    assert (found["id"], found["deduplicated"]) == (token["id"], True)
    return found


def shown(tenant: Tenant, token: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tenant.call("GET", f"/v1/tokens/{token['id']}").get_json()
    return found


def test_a_wider_consent_is_kept(tenant: Tenant) -> None:
    """On session, then off session: the token is for both, with the newer metadata."""
    token = tenant.token(customer={"reference": "D-1"}, usage="on_session", metadata={"text": "v1", "a": "b"})
    seen = again_with(tenant, token, 2034, usage="off_session", metadata={"text": "v2"})
    assert (seen["usage"], seen["metadata"]) == ("off_session", {"text": "v2"})
    assert shown(tenant, token) == {**seen, "deduplicated": False}


def test_the_copy_of_the_wider_consent_is_charged(tenant: Tenant) -> None:
    """A card that was set up for off session the second time is charged without the person from then on."""
    asks_unless_set_up = "4000002500003155"
    token = tenant.token(asks_unless_set_up, customer={"reference": "D-1"}, usage="on_session")
    authenticated(tenant, token)
    assert tenant.charge(token["id"], initiator="merchant").status_code == 402
    again = tenant.token(asks_unless_set_up, customer=token["customer"], usage="off_session")
    found = authenticated(tenant, again)
    assert (found["id"], found["usage"]) == (token["id"], "off_session")
    work_until(tenant.house, lambda: len(_attached(tenant)) == 1)
    assert tenant.charge(token["id"], initiator="merchant").status_code == 201


def authenticated(tenant: Tenant, token: dict[str, Any]) -> dict[str, Any]:
    """The token once its person has authenticated."""
    setup = token["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": "succeed"})
    answer = tenant.call("POST", f"/v1/tokens/{token['id']}/confirm")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    found: dict[str, Any] = answer.get_json()
    return found


def test_a_consent_is_never_narrowed(tenant: Tenant) -> None:
    """Off session, then on session: what was agreed to holds; metadata that was not sent again stays."""
    token = tenant.token(customer={"reference": "D-1"}, usage="off_session", metadata={"text": "v1"})
    seen = again_with(tenant, token, 2034, usage="on_session")
    assert (seen["usage"], seen["metadata"]) == ("off_session", {"text": "v1"})
    assert shown(tenant, token) == {**seen, "deduplicated": False}


def test_an_older_expiry_overwrites_nothing(tenant: Tenant) -> None:
    """The later expiry stays, whichever came first; the copy with the older one is what the processor forgets."""
    token = tenant.token(customer={"reference": "D-1"})
    kept = _attached(tenant)
    for year, usage in ((2031, "off_session"), (2033, "on_session")):
        seen = again_with(tenant, token, year, usage=usage)
        assert seen["card"] == token["card"]
        assert shown(tenant, token)["card"] == token["card"]
    work_until(tenant.house, lambda: _attached(tenant) == kept)
    assert tenant.charge(token["id"]).status_code == 201


def test_an_older_expiry_with_a_wider_consent(tenant: Tenant) -> None:
    """The consent is kept, the older expiry is not: what is shown is what is charged."""
    token = tenant.token(customer={"reference": "D-1"}, usage="on_session")
    kept = _attached(tenant)
    seen = again_with(tenant, token, 2031, usage="off_session")
    assert (seen["usage"], seen["card"]) == ("off_session", token["card"])
    work_until(tenant.house, lambda: _attached(tenant) == kept)
    assert tenant.charge(token["id"]).status_code == 201


def test_same_card_other_customer(tenant: Tenant) -> None:
    """Another token with another fingerprint: nothing that clients see links the two people."""
    one, two = (tenant.token(customer={"reference": reference}) for reference in ("D-1", "D-2"))
    assert one["id"] != two["id"]
    assert one["fingerprint"] != two["fingerprint"]
    assert (one["deduplicated"], two["deduplicated"]) == (False, False)


def test_two_cards_of_one_customer(tenant: Tenant) -> None:
    """Two tokens with two fingerprints."""
    one = tenant.token(customer={"reference": "D-1"})
    two = tenant.token(MASTERCARD, customer=one["customer"])
    assert (one["id"] != two["id"], one["fingerprint"] != two["fingerprint"]) == (True, True)


def test_deleted_token_is_not_found_again(tenant: Tenant) -> None:
    """After its token was deleted a card makes a new one, which charges."""
    token = tenant.token(customer={"reference": "D-1"})
    tenant.call("DELETE", f"/v1/tokens/{token['id']}")
    answer = tenant.tokenize(customer=token["customer"])
    assert answer.status_code == 201
    assert answer.get_json()["id"] != token["id"]
    assert tenant.charge(answer.get_json()["id"]).status_code == 201


def test_known_reference_is_that_customer(tenant: Tenant) -> None:
    """An inline customer whose reference is known: that customer, its contact as it was."""
    token = tenant.token(customer={"reference": "D-1", "billing_contact": CONTACT})
    mallory = {"name": "Mallory", "email": "mallory@example.com"}
    again = tenant.token(MASTERCARD, customer={"reference": "D-1", "billing_contact": mallory})
    assert again["customer"] == token["customer"]
    contact = tenant.call("GET", f"/v1/customers/{token['customer']}/billing-contact", **PURPOSE).get_json()
    assert (contact["name"], contact["email"]) == ("Ada", "ada@example.com")
    found = tenant.call("POST", "/v1/customers/search", {"email": "mallory@example.com"}, **PURPOSE)
    assert found.get_json()["data"] == []


def test_known_reference_of_a_made_customer(tenant: Tenant) -> None:
    """POST /v1/customers with a known reference is 409 with a link; without a reference each is a new one."""
    customer = tenant.call("POST", "/v1/customers", {"reference": "D-1"}).get_json()["id"]
    answer = tenant.call("POST", "/v1/customers", {"reference": " D-1 "})
    assert problem(answer, 409, "customer_exists")["customer"] == customer
    assert answer.headers["Location"] == f"/v1/customers/{customer}"
    assert len({tenant.call("POST", "/v1/customers", {}).get_json()["id"] for _ in range(2)}) == 2


def test_erased_reference_is_free(tenant: Tenant) -> None:
    """After an erasure the same reference and card make another customer and token; the old ones stay 410."""
    token = tenant.token(customer={"reference": "D-1"})
    tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    again = tenant.token(customer={"reference": "D-1"})
    assert again["customer"] != token["customer"]
    assert again["fingerprint"] != token["fingerprint"]
    problem(tenant.call("GET", f"/v1/tokens/{token['id']}"), 410, "erased")


def test_ten_cards_with_one_new_reference(tenant: Tenant) -> None:
    """Ten at once make one customer, and one token of the one card; each caller gets it, and it charges."""
    answers = at_once(10, lambda _: tenant.tokenize(customer={"reference": "D-1"}))
    assert {answer.status_code for answer in answers} <= {200, 201}, [one.get_data(as_text=True) for one in answers]
    assert [answer.status_code for answer in answers].count(201) == 1
    assert len({answer.get_json()["customer"] for answer in answers}) == 1
    [token] = {answer.get_json()["id"] for answer in answers}
    work_until(tenant.house, lambda: len(_attached(tenant)) == 1)
    assert len(processor(tenant, "GET", "/v1/customers", limit="100")["data"]) == 1
    assert tenant.charge(token).status_code == 201


def test_ten_times_one_card_of_a_known_customer(tenant: Tenant) -> None:
    """One token, and after the worker one payment method at the processor: the one that charges."""
    customer = tenant.token(MASTERCARD)["customer"]
    answers = at_once(10, lambda _: tenant.tokenize(customer=customer))
    assert sorted(answer.status_code for answer in answers) == [*[200] * 9, 201]
    [token] = {answer.get_json()["id"] for answer in answers}
    work_until(tenant.house, lambda: len(_attached(tenant)) == 2)
    assert tenant.charge(token).status_code == 201


def test_two_cards_of_a_customer_that_the_processor_does_not_know(tenant: Tenant) -> None:
    """Two at once for a customer without a card so far: two tokens that both charge, one customer at the processor."""
    customer = tenant.call("POST", "/v1/customers", {"reference": "D-1"}).get_json()["id"]
    tenant.house.sandbox.fault(path="/v1/customers", do="delay", seconds=0.2)
    answers = at_once(2, lambda number: tenant.tokenize((VISA, MASTERCARD)[number], customer=customer))
    assert [answer.status_code for answer in answers] == [201, 201], [one.get_data(as_text=True) for one in answers]
    for answer in answers:
        assert tenant.charge(answer.get_json()["id"]).status_code == 201
    assert len(processor(tenant, "GET", "/v1/customers", limit="100")["data"]) == 1


def test_ten_customers_with_one_new_reference(tenant: Tenant) -> None:
    """POST /v1/customers ten times at once with one reference: one is made, the others are told which."""
    answers = at_once(10, lambda _: tenant.call("POST", "/v1/customers", {"reference": "D-1"}))
    [made] = [answer for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer is not made:
            assert problem(answer, 409, "customer_exists")["customer"] == made.get_json()["id"]


def test_ten_first_accounts(tenant: Tenant) -> None:
    """Ten accounts at once that all want to be the default: all are made, one is."""
    order = {"kind": "sandbox", "credentials": {"api_key": "sk_test_12"}, "default": True}
    answers = at_once(10, lambda _: tenant.call("POST", "/v1/processor-accounts", order))
    assert {answer.status_code for answer in answers} == {201}, [one.get_data(as_text=True) for one in answers]
    accounts = tenant.call("GET", "/v1/processor-accounts").get_json()["data"]
    assert len(accounts) == 11
    assert sum(account["default"] for account in accounts) == 1


def test_adopted_reference(tenant: Tenant) -> None:
    """What the processor's own fields made of a card is adopted; a second time it is the token that exists."""
    form = {"type": "card", "card[number]": VISA, "card[exp_month]": "12", "card[exp_year]": "2034", "card[cvc]": "123"}
    reference = processor(tenant, "POST", "/v1/payment_methods", **form)["id"]
    order = {"type": "card", "processor_reference": reference, "customer": {"reference": "D-1"}}
    first = tenant.call("POST", "/v1/tokens", order)
    assert (first.status_code, first.get_json()["card"]["last4"]) == (201, "4242")
    assert reference not in first.get_data(as_text=True)
    again = tenant.call("POST", "/v1/tokens", order)
    assert (again.status_code, again.get_json()["id"]) == (200, first.get_json()["id"])
    tenant.house.work()
    assert _attached(tenant) == [reference]
    assert tenant.charge(first.get_json()["id"]).status_code == 201
    stolen = tenant.call("POST", "/v1/tokens", {**order, "customer": {"reference": "D-2"}})
    problem(stolen, 422, "processor_refused")


@pytest.mark.parametrize("order", [{}, {"card": token_order()["card"], "processor_reference": "pm_123"}])
def test_one_source(tenant: Tenant, order: dict[str, object]) -> None:
    """A card or a processor's reference: not both, not neither."""
    problem(tenant.call("POST", "/v1/tokens", {"type": "card", **order}), 422, "invalid_request")
