"""Whatever is sent: problem details with a 4xx, never a 500, and not a row written."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from api_scene import Stock, leaves, never_was, problem, rows, with_value, writing
from house import PURPOSE, Tenant

from api.openapi.document import CONVERTED

REFUSED = range(400, 500)
JSON = "application/json"
DEEP = 3000

RAW = {
    "empty": (b"", JSON, None),
    "not JSON": (b"{", JSON, "malformed_json"),
    "two values": (b"{} {}", JSON, "malformed_json"),
    "trailing comma": (b'{"a": 1,}', JSON, "malformed_json"),
    "bad UTF-8": (b'{"a": "\xff\xfe"}', JSON, "malformed_json"),
    "overlong UTF-8": (b'{"a": "\xc0\x80"}', JSON, "malformed_json"),
    "UTF-8 surrogate": (b'{"a": "\xed\xa0\x80"}', JSON, "malformed_json"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), JSON, "malformed_json"),
    "byte order mark": (b"\xef\xbb\xbf{}", JSON, "malformed_json"),
    "NUL byte": (b'{"a": "\x00"}', JSON, "malformed_json"),
    "NaN": (b'{"amount": NaN}', JSON, "malformed_json"),
    "Infinity": (b'{"amount": -Infinity}', JSON, "malformed_json"),
    "5,000 digits": (b'{"amount": 1' + b"0" * 5000 + b"}", JSON, "malformed_json"),
    "duplicate key": (b'{"metadata": {"a": "1", "a": "2"}}', JSON, "malformed_json"),
    "deep list": (b"[" * DEEP + b"]" * DEEP, JSON, "json_too_deep"),
    "deep object": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON, "json_too_deep"),
    "deeper than the stack": (b"[" * 30_000, JSON, "json_too_deep"),
    "40 deep": (b'{"a":' * 40 + b"1" + b"}" * 40, JSON, "json_too_deep"),
    "65 KiB": (b'{"a": "' + b"x" * 65 * 1024 + b'"}', JSON, "too_large"),
    "1 MiB of blanks": (b" " * (1 << 20), JSON, "too_large"),
    "array": (b"[]", JSON, "invalid_request"),
    "array of objects": (b"[{}]", JSON, "invalid_request"),
    "null": (b"null", JSON, "invalid_request"),
    "true": (b"true", JSON, "invalid_request"),
    "string": (b'"x"', JSON, "invalid_request"),
    "number": (b"1e400", JSON, "invalid_request"),
    "unknown field": (b'{"unknown_field": 1}', JSON, "invalid_request"),
    "field named like a method": (b'{"__class__": {"__init__": {}}}', JSON, "invalid_request"),
    "escaped NUL": (b'{"a": "x\\u0000y"}', JSON, "invalid_characters"),
    "NUL in a key": (b'{"x\\u0000y": "a"}', JSON, "invalid_characters"),
    "lone surrogate": (b'{"a": "\\ud800"}', JSON, "invalid_characters"),
    "lone surrogate in a key": (b'{"\\udfff": "a"}', JSON, "invalid_characters"),
    "escape character": (b'{"a": "\\u001b[31m"}', JSON, "invalid_characters"),
    "form": (b"amount=1&currency=eur", "application/x-www-form-urlencoded", "unsupported_media_type"),
    "multipart": (b"--x--", "multipart/form-data; boundary=x", "unsupported_media_type"),
    "text": (b"{}", "text/plain", "unsupported_media_type"),
    "no content type": (b"{}", None, "unsupported_media_type"),
    "content type that is none": (b"{}", "\xff;;;", "unsupported_media_type"),
}


ALL_OPTIONAL = ("/refunds", "/capture")


@pytest.mark.parametrize("case", RAW)
def test_body_that_is_no_good_json(stock: Stock, case: str) -> None:
    """Every endpoint that takes something refuses it, with the code that says why, and writes nothing."""
    data, content_type, code = RAW[case]
    before = rows(stock.tenant.house)
    for method, url, headers, good in writing(stock):
        if case == "empty" and (not good or url.endswith(ALL_OPTIONAL)):
            continue  # it takes no body, or can do without one
        client = stock.tenant.house.app.test_client()
        answer = client.open(url, method=method, data=data, content_type=content_type, headers=headers)
        problem(answer, REFUSED, code)
        assert b"unknown_field" not in data or b"unknown_field" in answer.get_data() or not good
    assert rows(stock.tenant.house) == before


def test_body_in_chunks(stock: Stock) -> None:
    """A body without a length is read up to the limit, and no further."""
    before = rows(stock.tenant.house)
    for method, url, headers, _ in writing(stock):
        for body, code in ((b"{", "malformed_json"), (b'{"a": "' + b"x" * (65 * 1024) + b'"}', "too_large")):
            answer = stock.tenant.house.app.test_client().open(
                url,
                method=method,
                input_stream=BytesIO(body),
                environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
                headers={**headers, "Transfer-Encoding": "chunked", "Content-Type": JSON},
            )
            problem(answer, REFUSED, code)
    assert rows(stock.tenant.house) == before


def _wrong(value: Any) -> list[Any]:
    """What is of another type than `value`, or out of any range."""
    everything = [None, True, 0, -1, 1.5, 10**400, 1e300, "", "x" * 60_000, "a\nb", [], ["x"], {}, {"x": []}]
    wrong = [one for one in everything if type(one) is not type(value)]
    return (
        wrong
        + {
            str: ["x" * 60_000, ""],
            int: [0, -1, 10**400, True, 1.0, "1"],
            bool: [0, 1, "true"],
            dict: [{"unknown_field": 1}, {"": ""}, {"x": None}],
            list: [[], ["x"], [None], [[]], [1] * 9000],
        }[type(value)]
    )


def _is_fine(path: tuple[str, ...], new: Any, *, is_contact: bool) -> bool:
    """What is no mistake after all: null takes a field of a contact away, a note or a label may be empty."""
    emptied = new is None and is_contact and path[-1:] in {("name",), ("email",), ("phone",), ("address",)}
    return emptied or (path[-1:] in {("label",), ("note",)} and new == "")


def test_wrong_types_in_every_field(stock: Stock) -> None:
    """Each field of each body with every wrong type and range: refused, and nothing is written."""
    before, tried = rows(stock.tenant.house), 0
    for method, url, headers, good in writing(stock):
        for path, value in leaves(good):
            for new in _wrong(value) if good else ():
                if _is_fine(path, new, is_contact=path[:-1] == () or "billing_contact" in path):
                    continue
                body = json.dumps(with_value(good, path, new)).encode()
                client = stock.tenant.house.app.test_client()
                answer = client.open(url, method=method, data=body, content_type=JSON, headers=headers)
                assert answer.status_code in REFUSED, (method, url, path, str(new)[:40], answer.get_data())
                problem(answer, REFUSED)
                tried += 1
    assert tried > 800
    assert rows(stock.tenant.house) == before


def test_required_fields(stock: Stock) -> None:
    """A body without a field that the document calls required is refused and the field is named."""
    document = stock.tenant.house.app.test_client().get("/openapi.json").get_json()["components"]["schemas"]
    schemas = {"/v1/tokens": "TokenOrder", "/v1/charges": "ChargeOrder", "/v1/processor-accounts": "AccountOrder"}
    for method, url, headers, good in writing(stock):
        for name in document[schemas[url]]["required"] if url in schemas else ():
            body = {key: value for key, value in good.items() if key != name}
            answer = stock.tenant.house.app.test_client().open(url, method=method, json=body, headers=headers)
            assert name in {row["field"] for row in problem(answer, 422, "invalid_request")["errors"]}


TRAPS = [
    ("card.number", "4242424242424242\n"),
    ("card.number", "42424242424242424242424242424242"),
    ("card.cvc", "123\n"),
    ("card.cvc", "١٢٣"),
    ("card.exp_month", 13),
    ("card.exp_year", 1999),
    ("processor_reference", "pm_1/../customers"),
    ("customer", "cus_00"),
    ("customer", "tok_00aaaaaaaaaaaaaaaaaaaaaaaaaa"),
    ("customer.reference", " \u3000 "),
    ("customer.billing_contact.email", "not an address"),
    ("customer.billing_contact.phone", "+49 30\n12"),
    ("customer.billing_contact.phone", "030 DROP TABLE"),
    ("customer.billing_contact.address.country", "DE\n"),
    ("customer.billing_contact.address.country", "de"),
    ("metadata", {str(number): "x" for number in range(26)}),
    ("metadata", {"x" * 51: "x"}),
    ("usage", "both"),
]


@pytest.mark.parametrize(("path", "value"), TRAPS, ids=[f"{number}-{path}" for number, (path, _) in enumerate(TRAPS)])
def test_values_that_nearly_fit(stock: Stock, path: str, value: object) -> None:
    """A line break at the end, another script's digits, blanks alone, one too many: refused before any processor."""
    [(_, url, headers, good)] = [one for one in writing(stock) if one[1] == "/v1/tokens"]
    before = rows(stock.tenant.house)
    body = with_value(good, tuple(path.split(".")), value)
    if path == "processor_reference":
        del body["card"]
    problem(stock.tenant.house.app.test_client().post(url, json=body, headers=headers), 422, "invalid_request")
    assert rows(stock.tenant.house) == before


@pytest.mark.parametrize("currency", ["euro", "eur\n", "EUR", "eu", "€€€", "eurxxxxxxxxxxxxxxxx"])
def test_currency_is_three_letters(stock: Stock, currency: str) -> None:
    """Nothing longer than an ISO 4217 code reaches its column, where PostgreSQL would choke on it."""
    before = rows(stock.tenant.house)
    problem(stock.tenant.charge(stock.ids["token_id"], currency=currency), 422, "invalid_request")
    assert rows(stock.tenant.house) == before


def test_address_may_be_null(tenant: Tenant) -> None:
    """`address: null` in an inline contact is no address; the card is stored."""
    token = tenant.token(customer={"billing_contact": {"name": "Ada", "address": None}})
    path = f"/v1/customers/{token['customer']}/billing-contact"
    assert tenant.call("GET", path, **PURPOSE).get_json()["address"] == {}
    assert tenant.call("PATCH", path, {"address": {"city": "Bonn"}}).status_code == 200
    assert tenant.call("PATCH", path, {"address": None}).status_code == 200
    assert tenant.call("GET", path, **PURPOSE).get_json()["address"] == {}


PATHS = [
    "/v1/tokens/%00",
    "/v1/tokens/tok_%00",
    "/v1/tokens/%zz",
    "/v1/tokens/%",
    "/v1/tokens/%ff%fe",
    "/v1/tokens/%ed%a0%80",
    "/v1/tokens/%2e%2e%2fcharges",
    "/v1/tokens/..%2fcharges",
    "/v1/tokens/" + "a" * 8000,
    "/v1/tokens/tok_00" + "a" * 4000,
    "/v1/tokens/TOK_00AAAAAAAAAAAAAAAAAAAAAAAAAA",
    "/v1/tokens/tok_00aaaaaaaaaaaaaaaaaaaaaaaaaa%0a",
    "/v1/tokens/'%20OR%201=1--",
    "/v1/tokens/tok_00aaaaaaaaaaaaaaaaaaaaaaaaaa/",
    "/v1//tokens/tok_00aaaaaaaaaaaaaaaaaaaaaaaaaa",
    "//v1/charges",
    "/v1/charges/",
    "/v1/charges/{charge_id}/refunds/%00",
    "/v1/%00",
    "/%00",
    "/../../etc/passwd",
    "/static/x",
    "/v1",
    "/",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_paths_that_lead_nowhere(tenant: Tenant, path: str) -> None:
    """A NUL, a broken escape, bad UTF-8, an endless id, a doubled slash in a path: 404 in problem details."""
    for method in ("GET", "DELETE"):
        answer = tenant.call(method, path)
        assert not answer.headers.get("Location")
        problem(answer, 404, "not_found")


def _cursor(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


NOW = b"2026-01-01T00:00:00+00:00"
CHARGE_QUERIES = [
    ("limit=0", 422),
    ("limit=101", 422),
    ("limit=-1", 422),
    ("limit=1.0", 422),
    ("limit=1_0", 422),
    ("limit=%201", 422),
    ("limit=%EF%BC%91", 422),
    ("limit=" + "9" * 5000, 422),
    ("limit=NaN", 422),
    ("limit=", 422),
    ("limit=1&limit=2", 422),
    ("unknown=1", 422),
    ("__class__=1", 422),
    ("=", 422),
    ("customer=cus_1", 422),
    ("customer=", 422),
    ("token=%00", 422),
    ("status=%00", 422),
    ("status=nothing", 422),
    ("obligation=%00", 422),
    ("obligation=x%00y", 422),
    ("obligation=" + "x" * 201, 422),
    ("obligation=%20", 422),
    ("obligation=%zz", 400),
    ("obligation=%", 400),
    ("obligation=%ff", 400),
    ("obligation=%ed%a0%80", 400),
    ("%ff=1", 400),
    ("cursor=", 422),
    ("cursor=x", 422),
    ("cursor=%C3%A9", 422),
    ("cursor=" + "A" * 300, 422),
    ("cursor=" + _cursor(b"nonsense"), 422),
    ("cursor=" + _cursor(b"2026-01-01 chg_1"), 422),
    ("cursor=" + _cursor(b"2026-01-01T00:00:00 chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa"), 422),
    ("cursor=" + _cursor(NOW), 422),
    ("cursor=" + _cursor(NOW + b" "), 422),
    ("cursor=" + _cursor(NOW + b" \x00"), 422),
    ("cursor=" + _cursor(NOW + b" chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa\x00"), 422),
    ("cursor=" + _cursor(NOW + b" \xff"), 422),
    ("cursor=" + _cursor(b"0001-01-01T00:00:00+23:59 chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa"), 422),
    ("cursor=" + _cursor(b"9999-12-31T23:59:59-23:59 chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa"), 422),
]


@pytest.mark.parametrize(("query", "status"), CHARGE_QUERIES, ids=range(len(CHARGE_QUERIES)))
def test_queries_that_ask_for_nothing(tenant: Tenant, query: str, status: int) -> None:
    """Unknown and doubled fields, NULs, broken escapes, numbers that only Python reads, forged cursors: refused."""
    problem(tenant.call("GET", f"/v1/charges?{query}"), status)


def test_unknown_query_fields_everywhere(stock: Stock) -> None:
    """No endpoint behind a key takes a query field that it does not know, whatever the method."""
    before = rows(stock.tenant.house)
    app = stock.tenant.house.app
    for rule in app.url_map.iter_rules():
        for method in rule.methods if rule.rule.startswith("/v1/") else ():
            url = stock.url(CONVERTED.sub(r"{\1}", rule.rule))
            answer = stock.tenant.call(method, f"{url}?surprise=1", Idempotency_Key="k", **PURPOSE)
            if method == "HEAD":
                assert answer.status_code == 422
            else:
                problem(answer, 422, "invalid_request")
    assert rows(stock.tenant.house) == before


def test_bodies_where_none_is_taken(stock: Stock) -> None:
    """A body on a call that takes none is refused, and the thing is not deleted; an empty object is no body."""
    tenant, token = stock.tenant, stock.ids["token_id"]
    before = rows(tenant.house)
    calls = [("GET", f"/v1/tokens/{token}"), ("DELETE", f"/v1/tokens/{token}"), ("POST", f"/v1/tokens/{token}/confirm")]
    for method, path in [*calls, ("DELETE", f"/v1/customers/{stock.ids['customer_id']}"), ("GET", "/v1/charges")]:
        problem(tenant.call(method, path, {"surprise": 1}), 422, "invalid_request")
    assert tenant.call("POST", f"/v1/tokens/{token}/confirm", {}).status_code == 200
    assert rows(tenant.house) == before


HEADERS = [
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "x" * 256),
    ("Idempotency-Key", "with blank"),
    ("Idempotency-Key", "tab\tinside"),
    ("Idempotency-Key", "ünïcode"),
    ("Idempotency-Key", "del\x7f"),
    ("Idempotency-Key", "nul\x00"),
    ("Panless-Actor", ""),
    ("Panless-Actor", "ada@example.com"),
    ("Panless-Actor", "Ada Lovelace"),
    ("Panless-Actor", "x" * 65),
    ("Panless-Actor", "é"),
    ("Access-Purpose", ""),
    ("Access-Purpose", "support"),
    ("Access-Purpose", 'support; ref=""'),
    ("Access-Purpose", 'support; ref="a b"'),
    ("Access-Purpose", 'support; ref="ada@example.com"'),
    ("Access-Purpose", 'support; ref="T-1"; extra="x"'),
    ("Access-Purpose", 'Support; ref="T-1"'),
    ("Access-Purpose", 'curiosity; ref="T-1"'),
    ("Access-Purpose", f'support; ref="{"x" * 65}"'),
    ("Access-Purpose", "support; ref=T-1"),
    ("Access-Purpose", 'support; ref="\x00"'),
]


@pytest.mark.parametrize(
    ("name", "value"), HEADERS, ids=[f"{number}-{name}" for number, (name, _) in enumerate(HEADERS)]
)
def test_headers_of_another_form(stock: Stock, name: str, value: str) -> None:
    """Header values that would not be audited or kept as they are: refused everywhere, nothing written."""
    before = rows(stock.tenant.house)
    for method, url, headers, good in writing(stock):
        if method == "POST" or name != "Idempotency-Key":
            answer = stock.tenant.house.app.test_client().open(
                url, method=method, json=good, headers={**headers, name: value}
            )
            problem(answer, range(400, 423))
    assert rows(stock.tenant.house) == before


def test_methods_that_a_path_does_not_take(tenant: Tenant) -> None:
    """405 in problem details, with Allow; whether somebody has a key or not."""
    for path, methods in {"/v1/charges": {"GET", "HEAD", "POST"}, "/livez": {"GET", "HEAD"}}.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "NONSENSE"} - methods:
            answer = tenant.call(method, path)
            problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["Allow"].split(", ")) == methods
    path = f"/v1/customers/{never_was('cus')}/billing-contact"
    assert set(tenant.call("POST", path).headers["Allow"].split(", ")) == {"GET", "HEAD", "PUT", "PATCH"}


def _junk() -> Iterator[str]:
    yield from (
        "'",
        '"',
        "\\",
        "%",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "<script>alert(1)</script>",
        "\u202egnp.exe",
        "😀" * 40,
    )
    yield "'; DROP TABLE customers; --"


def test_text_that_means_something_elsewhere_is_text_here(tenant: Tenant) -> None:
    """SQL, templates, markup and odd scripts in references, notes and names are kept and given back as they are."""
    for number, junk in enumerate(_junk()):
        contact = {"name": junk, "address": {"line1": junk}}
        token = tenant.token(
            customer={"reference": f"{junk}{number}", "billing_contact": contact}, metadata={junk[:50]: junk}
        )
        assert token["metadata"] == {junk[:50]: junk}
        path = f"/v1/customers/{token['customer']}/billing-contact"
        assert tenant.call("GET", path, **PURPOSE).get_json()["name"] == junk
        charge = tenant.charge(token["id"], obligation=f"{junk}{number}").get_json()
        assert charge["obligation"] == f"{junk}{number}"
