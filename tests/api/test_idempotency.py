"""One Idempotency-Key is one call: from twenty callers at once, after a decline, after an erasure, after nothing."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from api_scene import at_once, problem, processor, rows
from house import PURPOSE, House, Tenant, open_house, token_order
from werkzeug.test import TestResponse

CALLERS = 20
LATE = {"do": "delay", "seconds": 0.4, "times": 3}
DECLINES_LATER = "4000000000000341"


def _insist(send: object, deadline: float = 20) -> tuple[TestResponse, int]:
    """Send again while the same call is in progress, as its Retry-After says; the last answer, and how often."""
    end, tries = time.monotonic() + deadline, 0
    while True:
        answer, tries = send(), tries + 1
        if answer.status_code != 409 or time.monotonic() > end:
            return answer, tries
        problem(answer, 409, "in_progress")
        assert int(answer.headers["Retry-After"]) >= 1
        time.sleep(0.05)


def test_one_key_from_twenty_callers(tenant: Tenant) -> None:
    """One charge in the processor's book; everybody gets the same answer in the end, all but one of them replayed."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", **LATE)
    answers = at_once(CALLERS, lambda _: _insist(lambda: tenant.charge(token, key="once", obligation="INV-1")))
    assert {answer.status_code for answer, _ in answers} == {201}
    assert len({answer.get_data() for answer, _ in answers}) == 1
    assert len({answer.headers["Location"] for answer, _ in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer, _ in answers) == 1
    assert max(tries for _, tries in answers) > 1
    assert len(tenant.charges_at_processor()) == 1


@pytest.mark.parametrize("what", ["token", "customer", "processor account", "refund"])
def test_one_key_from_ten_callers_on_other_operations(tenant: Tenant, what: str) -> None:
    """A token, a customer, an account or a refund is made once; the others replay it."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    path, body = {
        "token": ("/v1/tokens", token_order(customer={"reference": "K-1"})),
        "customer": ("/v1/customers", {"reference": "K-1"}),
        "processor account": ("/v1/processor-accounts", {"kind": "sandbox", "credentials": {"api_key": "sk_test_12"}}),
        "refund": (f"/v1/charges/{charge}/refunds", {"amount": 1}),
    }[what]
    answers = [
        answer
        for answer, _ in at_once(10, lambda _: _insist(lambda: tenant.call("POST", path, body, Idempotency_Key="k")))
    ]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.get_json()["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1


def test_replay_of_a_charge(tenant: Tenant) -> None:
    """A call that is repeated gets its first answer, marked as replayed; money moved once."""
    token = tenant.token()["id"]
    first, again = (tenant.charge(token, key="k", obligation="INV-1") for _ in range(2))
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status_code, again.get_json()) == (first.status_code, first.get_json())
    assert len(tenant.charges_at_processor()) == 1


def test_replay_shows_the_charge_as_it_is_now(tenant: Tenant) -> None:
    """No answer is kept: after a refund the replay shows the refunded amount."""
    token = tenant.token()["id"]
    charge = tenant.charge(token, key="k", obligation="INV-1").get_json()
    tenant.call("POST", f"/v1/charges/{charge['id']}/refunds", {"amount": 34}, Idempotency_Key="k")
    assert tenant.charge(token, key="k", obligation="INV-1").get_json()["amount_refunded"] == 34


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": 1235},
        {"currency": "usd"},
        {"metadata": {"a": "b"}},
        {"obligation": "INV-2"},
        {"initiator": "customer"},
    ],
    ids=str,
)
def test_other_body_under_the_same_key(tenant: Tenant, changed: dict[str, object]) -> None:
    """422, and nothing is charged; the first call is still replayed."""
    token = tenant.token()["id"]
    tenant.charge(token, key="k", obligation="INV-1")
    before = rows(tenant.house)
    problem(tenant.charge(token, key="k", **{"obligation": "INV-1", **changed}), 422, "idempotency_key_reused")
    assert rows(tenant.house) == before
    assert tenant.charge(token, key="k", obligation="INV-1").headers["Idempotent-Replayed"] == "true"


def test_same_body_written_otherwise(tenant: Tenant) -> None:
    """The order of fields and blanks in the JSON make no other body."""
    token = tenant.token()["id"]
    key = {"Authorization": f"Bearer {tenant.keys['all']}", "Idempotency-Key": "k", "Content-Type": "application/json"}
    client = tenant.house.app.test_client()
    for number, raw in enumerate(
        (
            f'{{"token": "{token}", "amount": 500, "currency": "eur", "obligation": "a"}}',
            f'{{ "obligation":"\\u0061","currency":"eur","amount":500 ,"token":"{token}"}}',
        )
    ):
        answer = client.post("/v1/charges", data=raw, headers=key)
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, [None, "true"][number])


def test_other_card_under_the_same_key(tenant: Tenant) -> None:
    """Of a card the last four, the expiry and all else count; the CVC does not, because it may not be kept."""
    customer = tenant.call("POST", "/v1/customers", {}).get_json()["id"]

    def send(number: str, **card: object) -> TestResponse:
        order = token_order(number, customer=customer)
        order["card"] = {**order["card"], **card}
        return tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")

    first = send("4242424242424242")
    assert first.status_code == 201
    again = send("4242 4242 4242 4242", cvc="999")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.get_json() == first.get_json()
    problem(send("5555555555554444"), 422, "idempotency_key_reused")
    problem(send("4242424242424242", exp_year=2035), 422, "idempotency_key_reused")


def test_key_is_one_operations(tenant: Tenant) -> None:
    """A key on another operation is another call; on its operation, for another thing, it is reused."""
    token = tenant.call("POST", "/v1/tokens", token_order(), Idempotency_Key="k").get_json()["id"]
    charge, other = (tenant.charge(token, key=key).get_json()["id"] for key in ("k", "l"))
    refund = tenant.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 1}, Idempotency_Key="k")
    assert refund.status_code == 201
    assert tenant.call("POST", "/v1/customers", {"reference": "x"}, Idempotency_Key="k").status_code == 201
    of_other = tenant.call("POST", f"/v1/charges/{other}/refunds", {"amount": 1}, Idempotency_Key="k")
    problem(of_other, 422, "idempotency_key_reused")


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/charges/{charge}/refunds"])
def test_money_moves_only_with_a_key(tenant: Tenant, path: str) -> None:
    """A charge or a refund without Idempotency-Key: 400, and nothing is written."""
    token = tenant.token()["id"]
    charge = tenant.charge(token).get_json()["id"]
    body = {"token": token, "amount": 1, "currency": "eur", "obligation": "x"} if path == "/v1/charges" else {}
    before = rows(tenant.house)
    problem(tenant.call("POST", path.format(charge=charge), body), 400, "idempotency_key_required")
    assert rows(tenant.house) == before


def test_key_at_its_limits(tenant: Tenant) -> None:
    """255 visible ASCII characters are a key, every one of them counts."""
    token = tenant.token()["id"]
    key = "".join(chr(code) for code in range(0x21, 0x7F)) + "x" * 161
    assert len(key) == 255
    first, again = (tenant.charge(token, key=key, obligation="INV-1") for _ in range(2))
    assert (first.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    other = tenant.charge(token, key=key[:-1] + "y", obligation="INV-1")
    problem(other, 409, "already_paid")


def test_replay_after_erasure(tenant: Tenant) -> None:
    """Every key that the customer's calls were made with answers 410 once the customer is erased."""
    customer = tenant.call("POST", "/v1/customers", {"reference": "E-1"}, Idempotency_Key="k").get_json()["id"]
    order = token_order(customer={"reference": "E-1"})
    token = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k").get_json()
    assert token["customer"] == customer
    tenant.charge(token["id"], key="k", obligation="INV-1")
    assert tenant.erase(customer).status_code == 200
    before = rows(tenant.house)
    problem(tenant.call("POST", "/v1/customers", {"reference": "E-1"}, Idempotency_Key="k"), 410, "erased")
    problem(tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k"), 410, "erased")
    problem(tenant.charge(token["id"], key="k", obligation="INV-1"), 410, "erased")
    assert rows(tenant.house) == before


def test_replay_of_a_declined_charge(tenant: Tenant) -> None:
    """A decline that is repeated is the first 402 with its codes; the processor is not asked again."""
    token = tenant.token(DECLINES_LATER)["id"]
    first, again = (tenant.charge(token, key="k", obligation="INV-1") for _ in range(2))
    assert problem(first, 402, "declined")["decline_code"] == "generic_decline"
    assert again.get_data() == first.get_data()
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(processor(tenant, "GET", "/v1/payment_intents")["data"]) == 1


def test_replay_of_a_declined_card(tenant: Tenant) -> None:
    """A card that was declined when it was stored answers its 402 again."""
    order = token_order("4000000000009995")
    first, again = (tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k") for _ in range(2))
    assert problem(first, 402, "card_declined")["decline_code"] == "insufficient_funds"
    assert again.get_data() == first.get_data()
    assert again.headers["Idempotent-Replayed"] == "true"


def test_replay_of_what_the_processor_refused(tenant: Tenant) -> None:
    """A request that the processor refuses is refused again under the same key, and charges nothing."""
    token = tenant.token()["id"]
    first, again = (tenant.charge(token, key="k", obligation="INV-1", amount=1) for _ in range(2))
    problem(first, 422, "processor_refused")
    assert again.get_data() == first.get_data()
    assert tenant.charge(token, obligation="INV-1").status_code == 201


@pytest.fixture
def cut_off(tenant: Tenant, free_port: int) -> Iterator[Tenant]:
    """The tenant through a server whose processor's address refuses connections."""
    house = tenant.house
    environment = {**house.environment, "PANLESS_SANDBOX_URL": f"http://127.0.0.1:{free_port}"}
    elsewhere: House = open_house(house.home, environment, house.sandbox)
    yield replace(tenant, house=elsewhere)
    elsewhere.components.close()


def test_key_of_a_call_that_never_arrived(tenant: Tenant, cut_off: Tenant) -> None:
    """The processor refuses the connection: 503, nothing is left of charge and refund, and the same keys go through."""
    token = tenant.token()["id"]
    paid = tenant.charge(token).get_json()["id"]
    before = rows(tenant.house)
    for send in (
        lambda one: one.charge(token, key="k", obligation="INV-1"),
        lambda one: one.call("POST", f"/v1/charges/{paid}/refunds", {"amount": 5}, Idempotency_Key="k"),
    ):
        answer = send(cut_off)
        problem(answer, 503, "processor_not_reached")
        assert int(answer.headers["Retry-After"]) >= 1
        left = {name: count for name, count in rows(tenant.house).items() if not name.endswith("audit_entries")}
        assert left.items() <= before.items()
        assert tenant.call("GET", f"/v1/charges/{paid}").get_json()["amount_refunded"] == 0
        through = send(tenant)
        assert (through.status_code, through.headers.get("Idempotent-Replayed")) == (201, None)
        before = rows(tenant.house)
    assert len(tenant.charges_at_processor()) == 2


def test_key_of_a_card_that_never_arrived(tenant: Tenant, cut_off: Tenant) -> None:
    """Refused connections while a card is stored: no token is left, the same key stores it once the way is free."""
    order = token_order(customer={"reference": "N-1"})
    problem(cut_off.call("POST", "/v1/tokens", order, Idempotency_Key="k"), 503, "processor_not_reached")
    [customer] = tenant.call("POST", "/v1/customers/search", {"reference": "N-1"}, **PURPOSE).get_json()["data"]
    assert customer["tokens"] == 0
    through = tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k")
    assert (through.status_code, through.headers.get("Idempotent-Replayed")) == (201, None)
    assert through.get_json()["customer"] == customer["id"]


def test_key_of_a_card_whose_connection_broke(tenant: Tenant) -> None:
    """Connections that are reset before a card became a payment method left nothing that could be charged."""
    order = token_order()
    tenant.house.sandbox.fault(path="/v1/payment_methods", do="reset")
    problem(tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k"), 503, "processor_not_reached")
    assert tenant.call("POST", "/v1/tokens", order, Idempotency_Key="k").status_code == 201
