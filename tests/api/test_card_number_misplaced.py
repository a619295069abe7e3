"""A card number anywhere but in `card.number` is refused, kept nowhere, and no digit of it comes back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from api_scene import Stock, leaves, problem, rows, with_value, writing
from house import PURPOSE, VISA, Tenant
from werkzeug.test import TestResponse

WAYS = {
    "plain": VISA,
    "spaced": "4242 4242 4242 4242",
    "dashed": "4242-4242-4242-4242",
    "dotted": "4242.4242.4242.4242",
    "one by one": " ".join(VISA),
    "full-width": "".join(chr(0xFF10 + int(digit)) for digit in VISA),
    "Devanagari": "".join(chr(0x0966 + int(digit)) for digit in VISA),
    "circled": "④②" * 8,
    "zero-width": "\u200b".join(VISA),
    "soft hyphens": "4242\u00ad4242\u00ad4242\u00ad4242",
    "in a sentence": f"my card is {VISA}, thanks",
    "behind a date": f"2026-11-23 {VISA}",
    "on the next line": f"order 12345\n{VISA}",
    "amex": "3782 822463 10005",
}


def _refused(answer: TestResponse) -> None:
    problem(answer, 422, "card_number_misplaced")
    headers = [value for name, value in answer.headers if name != "Request-Id"]  # which is random
    written = "".join([answer.get_data(as_text=True), *headers])
    for tell_tale in ("4242", "3782", "10005"):
        assert tell_tale not in written


def _misplaced(good: dict[str, Any], text: str) -> Iterator[dict[str, Any]]:
    """The body with the text in each string, as a key of each object, and in places that no schema knows."""
    for path, value in leaves(good):
        if isinstance(value, str) and path != ("card", "number"):
            yield with_value(good, path, text)
        if isinstance(value, dict):
            yield with_value(good, path, {**value, text: "x"})
            yield with_value(good, path, {**value, "unknown": [[{"deep": text}]]})


@pytest.mark.parametrize("way", WAYS)
def test_in_every_string_and_key_of_every_body(stock: Stock, way: str) -> None:
    """Each field of each endpoint, however the number is written; metadata keys and values are among them."""
    before, client, tried = rows(stock.tenant.house), stock.tenant.house.app.test_client(), 0
    for method, url, headers, good in writing(stock):
        for body in _misplaced(good, WAYS[way]):
            data = json.dumps(body, ensure_ascii=tried % 2 == 0).encode()
            _refused(client.open(url, method=method, data=data, content_type="application/json", headers=headers))
            tried += 1
    assert tried > 60
    assert rows(stock.tenant.house) == before


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"amount": {VISA}}}',
        f'{{"amount": -{VISA}}}',
        f'{{"amount": {VISA}.0}}',
        f'{{"amount": [1, {VISA}]}}',
        f'{{"card": {{"number": {{"number": "{VISA}"}}}}}}',
        f'{{"card": {{"number": ["{VISA}"]}}}}',
        f'{{"card": {{"cvc": "{VISA}"}}}}',
        f'{{"card": {{"exp_year": {VISA}}}}}',
        f'{{"number": "{VISA}"}}',
        f'{{"x": {{"card": {{"number": "{VISA}"}}}}}}',
        f'["{VISA}"]',
        f'"{VISA}"',
        VISA,
    ],
)
def test_as_a_number_and_near_its_right_place(stock: Stock, raw: str) -> None:
    """As an integer, a float, deeper or higher than card.number, in a body that is no object at all."""
    before = rows(stock.tenant.house)
    for method, url, headers, _ in writing(stock):
        client = stock.tenant.house.app.test_client()
        _refused(client.open(url, method=method, data=raw, content_type="application/json", headers=headers))
    assert rows(stock.tenant.house) == before


def test_in_bodies_of_calls_that_take_none(stock: Stock) -> None:
    """A GET or a DELETE with a card number in a body is refused too, and deletes nothing."""
    for method, path in (("GET", "/v1/charges"), ("DELETE", f"/v1/tokens/{stock.ids['token_id']}")):
        _refused(stock.tenant.call(method, path, {"note": VISA}))
    assert stock.tenant.call("GET", f"/v1/tokens/{stock.ids['token_id']}").get_json()["status"] == "active"


@pytest.mark.parametrize("way", ["plain", "spaced", "dashed", "full-width", "zero-width"])
def test_in_queries(stock: Stock, way: str) -> None:
    """In a filter, a cursor, an unknown field or a field's name, on every method."""
    client = stock.tenant.house.app.test_client()
    key = {"Authorization": f"Bearer {stock.tenant.keys['all']}"}
    for name, value in (("obligation", WAYS[way]), ("cursor", WAYS[way]), ("unknown", WAYS[way]), (WAYS[way], "x")):
        _refused(client.get("/v1/charges", query_string={name: value}, headers=key))
        _refused(client.post("/v1/customers", query_string={name: value}, json={}, headers=key))
        _refused(client.delete(f"/v1/tokens/{stock.ids['token_id']}", query_string={name: value}, headers=key))


@pytest.mark.parametrize("way", ["plain", "spaced", "dashed", "dotted", "one by one", "amex"])
@pytest.mark.parametrize("name", ["Idempotency-Key", "Panless-Actor", "Access-Purpose"])
def test_in_headers(stock: Stock, name: str, way: str) -> None:
    """In every header that is kept: refused as what it is, before its form is looked at."""
    before = rows(stock.tenant.house)
    value = f'support; ref="{WAYS[way]}"' if name == "Access-Purpose" else WAYS[way]
    for method, url, headers, good in writing(stock):
        client = stock.tenant.house.app.test_client()
        if method == "POST" or name != "Idempotency-Key":
            _refused(client.open(url, method=method, json=good, headers={**headers, name: value}))
    assert rows(stock.tenant.house) == before


def test_in_paths(tenant: Tenant) -> None:
    """In a path it is an id that never was; nothing repeats it, not even a redirect."""
    for path in (f"/v1/tokens/{VISA}", f"/v1//tokens/{VISA}", f"/{VISA}", f"/v1/tokens/{VISA}/", f"/docs/{VISA}"):
        answer = tenant.call("GET", path)
        problem(answer, 404, "not_found")
        assert VISA not in answer.get_data(as_text=True) + str(answer.headers)


def test_in_its_right_place(tenant: Tenant) -> None:
    """In card.number it may be spaced or dashed, and comes back as its last four."""
    for number in (WAYS["plain"], WAYS["spaced"], WAYS["dashed"]):
        answer = tenant.tokenize(number)
        assert answer.get_json()["card"]["last4"] == "4242"
        assert "42424242" not in answer.get_data(as_text=True)


def test_card_in_the_body_of_another_endpoint(tenant: Tenant) -> None:
    """A whole card sent where none is taken is an unknown field; nothing repeats it."""
    body = {"card": {"number": VISA, "exp_month": 1, "exp_year": 2034, "cvc": "123"}}
    for path in ("/v1/customers", "/v1/customers/search", "/v1/processor-accounts"):
        answer = tenant.call("POST", path, body, **PURPOSE)
        problem(answer, 422, "invalid_request")
        assert "4242" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "harmless",
    ["0b9e8a52-4d1c-4f7a-9a55-37828224631f", "+49 151 42424242", "ORD4242424242424242", "INV-2026-000042", "4242"],
)
def test_what_is_none_passes(tenant: Tenant, harmless: str) -> None:
    """UUIDs, phone numbers, order numbers with letters are references, obligations and keys like any other."""
    token = tenant.token(customer={"reference": harmless}, metadata={"note": harmless})
    key = harmless.replace(" ", "")
    answer = tenant.charge(token["id"], obligation=harmless, key=key)
    assert (answer.status_code, answer.get_json()["obligation"]) == (201, harmless)
