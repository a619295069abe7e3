"""What nobody knows is called unknown, looked up, and comes to one end: the processor's book has it once."""

from typing import Any

import pytest
from api_scene import methods_at_processor, problem, processor, work_until
from house import VISA, Tenant, token_order
from werkzeug.test import TestResponse

ACTED: dict[str, dict[str, Any]] = {
    "answer lost": {"do": "lose_answer"},
    "500 after acting": {"do": "status", "status": 500, "act": True},
    "garbage after acting": {"do": "garbage"},
}
NOT_DONE: dict[str, dict[str, Any]] = {
    "500, nothing done": {"do": "status", "status": 500},
    "503": {"do": "status", "status": 503},
    "garbage, nothing done": {"do": "garbage", "act": False},
    "reset": {"do": "reset"},
}
ASKS_ALWAYS = "4000002760003184"
ASKS_TO_STORE = "4000002500003155"


def _path(answer: TestResponse) -> str:
    return answer.headers["Location"]


def _until(tenant: Tenant, path: str, status: str) -> dict[str, Any]:
    work_until(tenant.house, lambda: tenant.call("GET", path).get_json().get("status") == status)
    shown: dict[str, Any] = tenant.call("GET", path).get_json()
    return shown


@pytest.mark.parametrize("fault", ACTED)
def test_charge(tenant: Tenant, fault: str) -> None:
    """202 unknown with a Location; the worker ends it as succeeded; one charge in the book, and a replay says so."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", **ACTED[fault])
    answer = tenant.charge(token, key="k", obligation="INV-1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    assert _path(answer) == f"/v1/charges/{answer.get_json()['id']}"
    assert answer.get_json()["amount_captured"] == 0
    replay = tenant.charge(token, key="k", obligation="INV-1")
    assert (replay.status_code, replay.headers["Idempotent-Replayed"]) == (202, "true")
    problem(tenant.charge(token, obligation="INV-1"), 409, "in_doubt")
    shown = _until(tenant, _path(answer), "succeeded")
    assert shown["amount_captured"] == 1234
    assert len(tenant.charges_at_processor()) == 1
    replay = tenant.charge(token, key="k", obligation="INV-1")
    assert (replay.status_code, replay.get_json()) == (201, shown)
    _, reported = tenant.house.work()  # of this house others may have something to be done
    assert (reported, len(tenant.charges_at_processor())) == ([], 1)


@pytest.mark.parametrize("fault", NOT_DONE)
def test_charge_that_was_never_made(tenant: Tenant, fault: str) -> None:
    """It is never sent again: it failed, says so to a replay, and its obligation is paid with another key, once."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", **NOT_DONE[fault])
    answer = tenant.charge(token, key="k", obligation="INV-1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    problem(tenant.charge(token, obligation="INV-1"), 409, "in_doubt")
    shown = _until(tenant, _path(answer), "failed")
    assert (shown["failure"]["code"], shown["amount_captured"]) == ("never_charged", 0)
    assert tenant.charges_at_processor() == []
    problem(tenant.charge(token, key="k", obligation="INV-1"), 409, "never_charged")
    assert tenant.charge(token, key="l", obligation="INV-1").status_code == 201
    problem(tenant.charge(token, obligation="INV-1"), 409, "already_paid")
    assert len(tenant.charges_at_processor()) == 1


def test_charge_that_was_declined_behind_a_lost_answer(tenant: Tenant) -> None:
    """The look-up finds the decline: it is told as one, and the obligation is free."""
    token = tenant.token("4000000000000341")["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    answer = tenant.charge(token, key="k", obligation="INV-1")
    assert answer.status_code == 202
    shown = _until(tenant, _path(answer), "declined")
    assert shown["decline"]["decline_code"] == "generic_decline"
    replay = tenant.charge(token, key="k", obligation="INV-1")
    assert problem(replay, 402, "declined")["decline_code"] == "generic_decline"
    assert tenant.charge(tenant.token()["id"], obligation="INV-1").status_code == 201


def test_charge_while_the_processor_stays_silent(tenant: Tenant) -> None:
    """A look-up that fails leaves it unknown, and is made again; nothing is guessed meanwhile."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    answer = tenant.charge(token, obligation="INV-1")
    tenant.house.sandbox.fault(method="GET", path="/v1/payment_intents", do="status", status=500)
    _, reported = tenant.house.work()
    assert reported == []
    assert tenant.call("GET", _path(answer)).get_json()["status"] == "unknown"
    problem(tenant.charge(token, obligation="INV-1"), 409, "in_doubt")


def test_key_in_flight_at_the_processor(tenant: Tenant) -> None:
    """Its 409 for a key that is being worked on is no end and is not waited for: looked up, burnt, never charged."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="in_flight")
    answer = tenant.charge(token, obligation="INV-1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="in_flight")
    tenant.house.work()
    assert tenant.call("GET", _path(answer)).get_json()["status"] == "unknown"
    _until(tenant, _path(answer), "failed")
    assert tenant.charges_at_processor() == []
    assert tenant.charge(token, obligation="INV-1").status_code == 201


def test_too_many_requests_at_the_processor(tenant: Tenant) -> None:
    """A 429 is told at once: 503, nothing is charged, nothing is left, and the key may be used again."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="status", status=429, code="rate_limit")
    told = tenant.charge(token, key="a", obligation="INV-1")
    problem(told, 503, "processor_not_reached")
    assert told.headers["Retry-After"]
    assert tenant.call("GET", "/v1/charges").get_json()["data"] == []
    assert tenant.charge(token, key="a", obligation="INV-1").status_code == 201
    assert len(tenant.charges_at_processor()) == 1


def test_lock_timeout_at_the_processor(tenant: Tenant) -> None:
    """A 429 `lock_timeout` says nothing of the call: unknown, and looked up."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="status", status=429, code="lock_timeout")
    answer = tenant.charge(token, obligation="INV-1")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    _until(tenant, _path(answer), "failed")
    assert tenant.charges_at_processor() == []


@pytest.mark.parametrize("fault", {**ACTED, **NOT_DONE})
def test_refund(tenant: Tenant, fault: str) -> None:
    """202 unknown, its amount taken off at once; the worker ends it as the book has it: made once, or failed."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    path = f"/v1/charges/{charge}/refunds"
    tenant.house.sandbox.fault(path="/v1/refunds", **{**ACTED, **NOT_DONE}[fault])
    answer = tenant.call("POST", path, {"amount": 1000}, Idempotency_Key="r")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == 1000
    problem(tenant.call("POST", path, {"amount": 500}, Idempotency_Key="s"), 422, "invalid_request")
    status, refunded = ("succeeded", 1000) if fault in ACTED else ("failed", 0)

    def again() -> TestResponse:
        return tenant.call("POST", path, {"amount": 1000}, Idempotency_Key="r")

    work_until(tenant.house, lambda: again().get_json()["status"] == status)
    assert (again().status_code, again().headers["Idempotent-Replayed"]) == (201, "true")
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == refunded
    [row] = tenant.charges_at_processor()
    assert row["refunded"] == refunded
    if refunded == 0:
        assert tenant.call("POST", path, {"amount": 1000}, Idempotency_Key="t").get_json()["status"] == "succeeded"


@pytest.mark.parametrize("fault", ACTED)
def test_token(tenant: Tenant, fault: str) -> None:
    """202 pending with a Location; the worker adopts what the processor stored, and it charges."""
    tenant.house.sandbox.fault(path="/v1/setup_intents", **ACTED[fault])
    order = token_order(customer={"reference": "U-1"}, metadata={"note": "x"})
    answer = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    token = answer.get_json()
    assert (answer.status_code, token["status"], token["card"]) == (202, "pending", None)
    assert _path(answer) == f"/v1/tokens/{token['id']}"
    problem(tenant.charge(token["id"]), 409, "token_not_active")
    shown = _until(tenant, _path(answer), "active")
    assert (shown["card"]["last4"], shown["metadata"]) == ("4242", {"note": "x"})
    assert len(methods_at_processor(tenant)) == 1
    assert tenant.charge(token["id"]).status_code == 201
    replay = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    assert (replay.status_code, replay.get_json()) == (201, shown)


@pytest.mark.parametrize("fault", NOT_DONE)
def test_token_of_which_nothing_came(tenant: Tenant, fault: str) -> None:
    """Nothing was stored, and it is never sent again: failed, by no fault of the card; another call stores it."""
    tenant.house.sandbox.fault(path="/v1/setup_intents", **NOT_DONE[fault])
    order = token_order(customer={"reference": "U-1"})
    answer = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "pending")
    _until(tenant, _path(answer), "failed")
    problem(tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k"), 409, "never_stored")
    assert methods_at_processor(tenant) == []
    again = tenant.tokenize(customer={"reference": "U-1"})
    assert again.status_code == 201
    assert again.get_json()["customer"] == answer.get_json()["customer"]


def test_known_card_behind_a_lost_answer(tenant: Tenant) -> None:
    """The customer has the card already: the same key leads to the token that exists, and the spare copy goes."""
    token = tenant.token(customer={"reference": "U-1"})
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="lose_answer")
    order = token_order(customer=token["customer"])
    answer = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    assert answer.status_code == 202
    work_until(tenant.house, lambda: len(methods_at_processor(tenant)) == 1)
    replay = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    assert (replay.status_code, replay.get_json()["id"]) == (200, token["id"])
    assert tenant.charge(token["id"]).status_code == 201
    followed = tenant.call("GET", _path(answer))
    assert (followed.status_code, followed.get_json()["status"]) == (200, "detached")


def test_first_customer_behind_a_lost_answer(tenant: Tenant) -> None:
    """The answer to the processor's new customer is lost: the card is stored all the same, on one customer."""
    tenant.house.sandbox.fault(path="/v1/customers", do="lose_answer")
    answer = tenant.tokenize(customer={"reference": "U-1"})
    assert answer.status_code in {201, 202}
    token = answer.get_json()["id"]
    work_until(tenant.house, lambda: tenant.call("GET", f"/v1/tokens/{token}").get_json()["status"] != "pending")
    again = tenant.token(customer={"reference": "U-1"})
    assert tenant.charge(again["id"]).status_code == 201
    assert len(processor(tenant, "GET", "/v1/customers", limit="100")["data"]) == 1


@pytest.mark.parametrize(
    ("number", "code", "decline"),
    [
        ("4000000000000002", "card_declined", "generic_decline"),
        ("4000000000009995", "card_declined", "insufficient_funds"),
        ("4000000000009987", "card_declined", "lost_card"),
        ("4000000000009979", "card_declined", "stolen_card"),
        ("4000000000000069", "expired_card", None),
        ("4000000000000127", "incorrect_cvc", None),
        ("4000000000000119", "processing_error", None),
    ],
)
def test_cards_that_are_declined_when_stored(tenant: Tenant, number: str, code: str, decline: str | None) -> None:
    """402 with the processor's codes; no token that could be charged, none in the list."""
    answer = tenant.tokenize(number, customer={"reference": "U-1"})
    told = problem(answer, 402, "card_declined")
    assert (told["processor_code"], told["decline_code"]) == (code, decline)
    token = tenant.call("GET", f"/v1/tokens/{told['token']}").get_json()
    assert (token["status"], token["card"]) == ("failed", None)
    assert tenant.call("GET", f"/v1/tokens?customer={token['customer']}").get_json()["data"] == []
    problem(tenant.charge(told["token"]), 409, "token_not_active")


def test_person_must_authenticate(tenant: Tenant) -> None:
    """requires_action says what to do next; confirm says the same until it is done, then the token is active."""
    answer = tenant.tokenize(ASKS_TO_STORE, customer={"reference": "U-1"})
    token = answer.get_json()
    assert (answer.status_code, token["status"]) == (201, "requires_action")
    assert token["next_action"]["client_secret"].startswith("seti_")
    confirm = f"/v1/tokens/{token['id']}/confirm"
    before = tenant.call("POST", confirm)
    assert (before.status_code, before.get_json()["status"]) == (200, "requires_action")
    problem(tenant.charge(token["id"]), 409, "token_not_active")
    intent = token["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{intent}", {"result": "succeed"})
    for _ in range(2):
        after = tenant.call("POST", confirm)
        assert (after.status_code, after.get_json()["status"]) == (200, "active")
        assert (after.get_json()["card"]["last4"], after.get_json()["next_action"]) == ("3155", None)
    assert tenant.charge(token["id"]).status_code == 201


def test_person_fails_to_authenticate(tenant: Tenant) -> None:
    """Confirm tells the decline, the token has failed."""
    token = tenant.token(ASKS_TO_STORE)
    intent = token["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{intent}", {"result": "fail"})
    for _ in range(2):
        answer = tenant.call("POST", f"/v1/tokens/{token['id']}/confirm")
        assert problem(answer, 402, "card_declined")["token"] == token["id"]
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").get_json()["status"] == "failed"


def test_person_authenticates_a_card_that_is_known(tenant: Tenant) -> None:
    """Two storings of one card wait for the person; both are confirmed: one token is left that charges."""
    first = tenant.token(ASKS_TO_STORE, customer={"reference": "U-1"})
    second = tenant.token(ASKS_TO_STORE, customer=first["customer"])
    shown = []
    for token in (first, second):
        intent = token["next_action"]["client_secret"].partition("_secret")[0]
        tenant.house.sandbox.hook("POST", f"/_authenticate/{intent}", {"result": "succeed"})
        shown.append(tenant.call("POST", f"/v1/tokens/{token['id']}/confirm").get_json())
    assert [one["id"] for one in shown] == [first["id"], first["id"]]
    assert shown[1]["deduplicated"] is True
    answer = tenant.call("POST", f"/v1/tokens/{second['id']}/confirm")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "detached")
    work_until(tenant.house, lambda: len(methods_at_processor(tenant)) == 1)
    assert tenant.charge(first["id"]).status_code == 201


def test_charge_that_wants_the_person(tenant: Tenant) -> None:
    """Off session it is a decline; on session the answer says what to do next, and the obligation is in doubt."""
    tenant_token = tenant.token(ASKS_ALWAYS)
    intent = tenant_token["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{intent}", {"result": "succeed"})
    token = tenant.call("POST", f"/v1/tokens/{tenant_token['id']}/confirm").get_json()["id"]
    declined = problem(tenant.charge(token, obligation="INV-1"), 402, "declined")
    assert declined["processor_code"] == "authentication_required"
    answer = tenant.charge(token, obligation="INV-1", initiator="customer")
    assert (answer.status_code, answer.get_json()["status"]) == (201, "requires_action")
    assert answer.get_json()["next_action"]["client_secret"].startswith("pi_")
    problem(tenant.charge(token, obligation="INV-1"), 409, "in_doubt")


def test_unknown_token_that_is_deleted(tenant: Tenant) -> None:
    """A pending token that is deleted stays deleted, and the processor is told to detach what it stored."""
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="lose_answer")
    token = tenant.tokenize(VISA, customer={"reference": "U-1"}).get_json()
    assert token["status"] == "pending"
    answer = tenant.call("DELETE", f"/v1/tokens/{token['id']}")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "detached")
    assert len(methods_at_processor(tenant)) == 1
    work_until(tenant.house, lambda: methods_at_processor(tenant) == [])
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").get_json()["status"] == "detached"
    assert tenant.house.work() == (0, [])
    assert tenant.tokenize(VISA, customer={"reference": "U-1"}).status_code == 201


def test_unknown_token_whose_customer_is_erased(tenant: Tenant) -> None:
    """The customer goes while a storing is unknown: nothing of it stays at the processor."""
    tenant.house.sandbox.fault(path="/v1/setup_intents", do="lose_answer")
    token = tenant.tokenize(VISA, customer={"reference": "U-1"}).get_json()
    tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    for path in (f"/v1/tokens/{token['id']}", f"/v1/customers/{token['customer']}"):
        problem(tenant.call("GET", path), 410, "erased")
    work_until(tenant.house, lambda: processor(tenant, "GET", "/v1/customers", limit="100")["data"] == [])
