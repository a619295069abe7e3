"""Pages, deletions and refunds: nothing twice, nothing left out, never more than was taken."""

import secrets
from dataclasses import replace as with_settings

import pytest
from api_scene import at_once, methods_at_processor, problem, work_until
from house import Tenant, make_app

CARDS = ("4242424242424242", "5555555555554444", "378282246310005", "6011111111111117", "3566002020360505")


def _pages(tenant: Tenant, path: str, limit: int) -> list[list[str]]:
    """The ids of every page, from the newest on."""
    pages, cursor = [], ""
    for _ in range(20):
        answer = tenant.call("GET", f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}").get_json()
        pages.append([one["id"] for one in answer["data"]])
        if answer["next_cursor"] is None:
            return pages
        cursor = f"&cursor={answer['next_cursor']}"
    raise AssertionError("no page is the last")


def test_pages_of_tokens(tenant: Tenant) -> None:
    """Newest first, each once, whatever the size of a page; the last has no cursor."""
    first = tenant.token(CARDS[0])
    ids = [first["id"], *(tenant.token(number, customer=first["customer"])["id"] for number in CARDS[1:])]
    path = f"/v1/tokens?customer={first['customer']}"
    for limit, sizes in ((1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (100, [5])):
        pages = _pages(tenant, path, limit)
        assert [len(page) for page in pages] == sizes
        assert [one for page in pages for one in page] == ids[::-1]


def test_pages_of_holds(tenant: Tenant) -> None:
    """Holds are listed page by page, the lifted ones among them; another customer's are left out."""
    path, other = (f"/v1/customers/{tenant.token(number)['customer']}/holds" for number in CARDS[:2])
    made = [tenant.call("POST", path, {"reason": "audit"}).get_json()["id"] for _ in range(5)]
    tenant.call("POST", other, {"reason": "audit"})
    tenant.call("DELETE", f"/v1/holds/{made[2]}")
    for limit, sizes in ((1, [1] * 5), (2, [2, 2, 1]), (100, [5])):
        pages = _pages(tenant, path, limit)
        assert [len(page) for page in pages] == sizes
        assert [one for page in pages for one in page] == made[::-1]
    problem(tenant.call("GET", f"{path}?limit=0"), 422, "invalid_request")


def test_pages_of_charges(tenant: Tenant) -> None:
    """Charges are listed page by page, with each filter; a charge made meanwhile shifts nothing."""
    one, two = tenant.token(), tenant.token(CARDS[1])
    made = [
        tenant.charge((one, two)[number % 2]["id"], obligation=f"INV-{number}").get_json()["id"] for number in range(6)
    ]
    assert [ident for page in _pages(tenant, "/v1/charges", 4) for ident in page] == made[::-1]
    mine = made[::2][::-1]
    for query in (f"customer={one['customer']}", f"token={one['id']}", f"token={one['id']}&status=succeeded"):
        assert [ident for page in _pages(tenant, f"/v1/charges?{query}", 2) for ident in page] == mine
    assert _pages(tenant, "/v1/charges?obligation=INV-3", 2) == [[made[3]]]
    assert _pages(tenant, f"/v1/charges?customer={two['customer']}&token={one['id']}", 2) == [[]]
    assert _pages(tenant, "/v1/charges?status=declined", 2) == [[]]
    first = tenant.call("GET", "/v1/charges?limit=3").get_json()
    tenant.charge(one["id"])
    second = tenant.call("GET", f"/v1/charges?limit=3&cursor={first['next_cursor']}").get_json()
    assert [row["id"] for row in first["data"] + second["data"]] == made[::-1]


def test_cursor_tells_nothing_new(tenant: Tenant) -> None:
    """A cursor that was changed is refused; one of another list shows that list's own rows."""
    token = tenant.token()["id"]
    for _ in range(3):
        tenant.charge(token)
    cursor = tenant.call("GET", "/v1/charges?limit=1").get_json()["next_cursor"]
    for forged in (cursor[:-3], cursor[3:], cursor.swapcase(), cursor + "AAAA"):
        problem(tenant.call("GET", f"/v1/charges?cursor={forged}"), 422, "invalid_request")


def test_token_is_deleted_once(tenant: Tenant) -> None:
    """Deleting again changes nothing and tells nobody; the processor has detached it; it can't be charged."""
    token = tenant.token()
    path = f"/v1/tokens/{token['id']}"
    first = tenant.call("DELETE", path)
    assert (first.status_code, first.get_json()["status"], first.get_json()["card"]) == (200, "detached", None)
    again = tenant.call("DELETE", path)
    assert (again.status_code, again.get_json()) == (200, first.get_json())
    assert tenant.call("GET", path).get_json() == first.get_json()
    work_until(tenant.house, lambda: methods_at_processor(tenant) == [])
    problem(tenant.charge(token["id"]), 409, "token_not_active")
    problem(tenant.call("POST", f"{path}/confirm", {"x": 1}), 422)
    assert tenant.call("POST", f"{path}/confirm").get_json()["status"] == "detached"


def test_token_deleted_by_ten_at_once(tenant: Tenant) -> None:
    """All are told that it is gone."""
    token = tenant.token()["id"]
    answers = at_once(10, lambda _: tenant.call("DELETE", f"/v1/tokens/{token}"))
    assert {(answer.status_code, answer.get_json()["status"]) for answer in answers} == {(200, "detached")}


def test_token_with_an_open_charge_stays(tenant: Tenant) -> None:
    """Nobody knows yet whether the charge took money: neither token nor customer nor account go before."""
    token = tenant.token()
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    charge = tenant.charge(token["id"]).headers["Location"]
    for path in (f"/v1/tokens/{token['id']}", f"/v1/customers/{token['customer']}"):
        found = problem(tenant.call("DELETE", path), 409, "blocked")
        assert found["reasons"] == ["open_charge"]
    tenant.call("DELETE", f"/v1/rights-requests/{found['request']}")  # or the worker would erase the customer
    work_until(tenant.house, lambda: tenant.call("GET", charge).get_json()["status"] == "succeeded")
    assert tenant.call("DELETE", f"/v1/tokens/{token['id']}").status_code == 200


def test_account_that_is_needed_stays(tenant: Tenant) -> None:
    """Active tokens hold it, then what its processor must still be told; then it goes, and its credentials with it."""
    token = tenant.token()["id"]
    path = f"/v1/processor-accounts/{tenant.account}"
    assert problem(tenant.call("DELETE", path), 409, "blocked")["reasons"] == ["active_tokens"]
    tenant.call("DELETE", f"/v1/tokens/{token}")
    assert problem(tenant.call("DELETE", path), 409, "blocked")["reasons"] == ["open_intents"]
    work_until(tenant.house, lambda: methods_at_processor(tenant) == [])
    answer = tenant.call("DELETE", path)
    assert (answer.status_code, answer.get_data()) == (204, b"")
    for method in ("GET", "DELETE"):
        problem(tenant.call(method, path), 404, "not_found")
    assert tenant.call("GET", "/v1/processor-accounts").get_json()["data"] == []
    problem(tenant.tokenize(), 409, "no_processor_account")
    problem(tenant.tokenize(processor_account=tenant.account), 404, "not_found")


def test_account_of_an_erasure_that_is_not_told_yet(tenant: Tenant) -> None:
    """While a processor has not answered an erasure, the account that it is told with stays."""
    customer = tenant.token()["customer"]
    tenant.house.sandbox.fault(method="*", path="/v1/*", do="status", status=500, times=10)
    assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 202
    path = f"/v1/processor-accounts/{tenant.account}"
    assert problem(tenant.call("DELETE", path), 409, "blocked")["reasons"] == ["open_erasures"]


def test_credentials_go_in_and_never_out(tenant: Tenant) -> None:
    """No answer of any call on accounts holds a credential."""
    order = {
        "kind": "sandbox",
        "label": "b",
        "credentials": {"api_key": "sk_test_tell", "webhook_secret": "whsec_tell"},
    }
    made = tenant.call("POST", "/v1/processor-accounts", order, Idempotency_Key="k")
    assert (made.status_code, made.get_json()["default"]) == (201, False)
    again = tenant.call("POST", "/v1/processor-accounts", order, Idempotency_Key="k")
    assert (again.get_json(), again.headers["Idempotent-Replayed"]) == (made.get_json(), "true")
    path = f"/v1/processor-accounts/{made.get_json()['id']}"
    for answer in (made, again, tenant.call("GET", path), tenant.call("GET", "/v1/processor-accounts")):
        assert "tell" not in answer.get_data(as_text=True)
    unknown = tenant.call("POST", "/v1/processor-accounts", {**order, "kind": "paypal"})
    assert problem(unknown, 422, "invalid_request")["errors"][0]["field"] == "kind"


def test_raw_cards_where_they_are_not_taken(tenant: Tenant) -> None:
    """Without PANLESS_ACCEPT_RAW_CARDS a raw card is 403, whatever its number; a processor's reference is taken."""
    components = tenant.house.components
    settings = with_settings(components.settings, accept_raw_cards=False)
    careful = with_settings(tenant.house, app=make_app(with_settings(components, settings=settings)))
    shut = with_settings(tenant, house=careful)
    for number in (CARDS[0], "4000000000000002", "1234567890123"):
        answer = shut.tokenize(number)
        assert "PCI" in problem(answer, 403, "raw_cards_refused")["detail"]
        assert number not in answer.get_data(as_text=True)
    assert tenant.call("GET", "/v1/charges").get_json()["data"] == []
    reference = {"type": "card", "processor_reference": "pm_card_visa"}
    assert shut.call("POST", "/v1/tokens", reference).status_code == 201


def _refund(tenant: Tenant, charge: str, body: dict[str, object]) -> tuple[int, str]:
    answer = tenant.call("POST", f"/v1/charges/{charge}/refunds", body, Idempotency_Key=secrets.token_hex(8))
    return answer.status_code, answer.get_json().get("code", "")


def test_refunds_in_parts(tenant: Tenant) -> None:
    """Parts, then all that is left, then nothing more."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    assert _refund(tenant, charge, {"amount": 1235}) == (422, "invalid_request")
    assert _refund(tenant, charge, {"amount": 34, "reason": "requested_by_customer"}) == (201, "")
    assert _refund(tenant, charge, {"amount": 1201}) == (422, "invalid_request")
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == 34
    assert _refund(tenant, charge, {}) == (201, "")
    assert _refund(tenant, charge, {}) == (409, "already_refunded")
    assert _refund(tenant, charge, {"amount": 1}) == (409, "already_refunded")
    shown = tenant.call("GET", f"/v1/charges/{charge}").get_json()
    assert (shown["amount_captured"], shown["amount_refunded"]) == (1234, 1234)
    assert [row["refunded"] for row in tenant.charges_at_processor()] == [1234]


@pytest.mark.parametrize(("amount", "through"), [(100, 12), (700, 1), (None, 1)])
def test_twenty_refunds_at_once(tenant: Tenant, amount: int | None, through: int) -> None:
    """Never more than was captured, here and at the processor; who comes too late is told that too little is left."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    body = {} if amount is None else {"amount": amount}
    answers = at_once(20, lambda _: _refund(tenant, charge, body))
    assert answers.count((201, "")) == through
    assert {answer for answer in answers if answer[0] != 201} <= {(422, "invalid_request"), (409, "already_refunded")}
    taken = through * (amount or 1234)
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == taken
    assert [row["refunded"] for row in tenant.charges_at_processor()] == [taken]


def test_refund_that_fails_gives_the_amount_back(tenant: Tenant) -> None:
    """What the processor refuses is not taken off; a charge that took nothing can't be refunded."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    tenant.house.sandbox.fault(path="/v1/refunds", do="status", status=400, code="charge_disputed")
    assert _refund(tenant, charge, {"amount": 1000}) == (422, "processor_refused")
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == 0
    assert _refund(tenant, charge, {}) == (201, "")
    declined = problem(tenant.charge(tenant.token("4000000000000341")["id"]), 402)["charge"]
    assert _refund(tenant, declined, {}) == (409, "charge_not_refundable")


def test_refund_after_token_and_customer_are_gone(tenant: Tenant) -> None:
    """Money can go back after an erasure."""
    token = tenant.token(customer={"reference": "L-1"})
    charge = tenant.charge(token["id"]).get_json()["id"]
    tenant.call("DELETE", f"/v1/tokens/{token['id']}")
    assert _refund(tenant, charge, {"amount": 200}) == (201, "")
    tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    assert _refund(tenant, charge, {}) == (201, "")
    shown = tenant.call("GET", f"/v1/charges/{charge}").get_json()
    assert (shown["amount_refunded"], shown["metadata"]) == (1234, {})
