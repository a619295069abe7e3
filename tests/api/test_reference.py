"""The OpenAPI document and the reference page: all that there is, and nothing from elsewhere."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from api_scene import never_was, operations, problem
from house import PURPOSE, House, Tenant
from openapi_spec_validator import OpenAPIV31SpecValidator
from roles_scene import NEEDED

from api.openapi.document import CONVERTED
from api.problems import TABLE
from vault.ledger.guard import NOT_CHECKED
from vault.ledger.protocol import KEYSTORE_RESTORED, RECORDS_RESTORED

ROOT = Path(__file__).parents[2]


def test_document_is_valid(house: House) -> None:
    """/openapi.json is OpenAPI 3.1, every reference in it leads somewhere."""
    answer = house.app.test_client().get("/openapi.json")
    document = answer.get_json()
    assert (answer.status_code, document["openapi"]) == (200, "3.1.0")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_document_has_every_route(house: House) -> None:
    """Each route of the application with each of its methods, but the document and the page themselves."""
    served = {
        (method, CONVERTED.sub(r"{\1}", rule.rule))
        for rule in house.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }
    assert {(method, path) for method, path, _ in operations(house.app)} == served - {
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    }


def test_document_says_what_a_call_needs(house: House) -> None:
    """Scope and key where one is asked for, the headers with a meaning, and problem details as the other answer."""
    for method, path, operation in operations(house.app):
        assert operation["summary"], path
        assert "default" not in operation["responses"], path  # it would make any status one that is documented
        for status, response in operation["responses"].items():
            assert response["headers"]["Request-Id"]["required"]
            if status >= "400":
                ours = not path.startswith("/opendsr/")
                assert ("application/problem+json" if ours else "application/json") in response["content"], path
        if (method, path) in NEEDED:
            assert operation["security"] == [{"key": []}]
            headers = {one["name"]: one["required"] for one in operation["parameters"] if one["in"] == "header"}
            assert operation["x-scope"] == NEEDED[method, path]
            assert ("Idempotency-Key" in headers) == (method == "POST" and path.startswith("/v1/"))
            moves_money = operation["x-scope"] in {"charges:create", "refunds:create"} and not path.endswith("/confirm")
            assert headers.get("Idempotency-Key", False) == moves_money
            assert ("Access-Purpose" in headers) == (
                operation["x-scope"] == "contacts:read" or path.endswith("/export")
            )
        else:
            assert "security" not in operation


def test_answers_are_as_the_document_says(tenant: Tenant) -> None:
    """Each object that is answered has exactly the fields that the document names for it."""
    schemas = tenant.house.app.test_client().get("/openapi.json").get_json()["components"]["schemas"]
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()
    refund = tenant.call("POST", f"/v1/charges/{charge['id']}/refunds", {}, Idempotency_Key="r").get_json()
    customer = tenant.call("GET", f"/v1/customers/{token['customer']}").get_json()
    export = tenant.call("GET", f"/v1/customers/{token['customer']}/export", **PURPOSE).get_json()
    account = tenant.call("GET", f"/v1/processor-accounts/{tenant.account}").get_json()
    hold = tenant.call("POST", f"/v1/customers/{token['customer']}/holds", {"reason": "audit"}).get_json()
    tenant.call("DELETE", f"/v1/holds/{hold['id']}")
    request = tenant.call("DELETE", f"/v1/customers/{token['customer']}").get_json()
    certificate = tenant.call("GET", f"/v1/rights-requests/{request['id']}/certificate").get_json()
    for name, shown in {
        "TokenShown": token,
        "CardShown": token["card"],
        "ChargeShown": charge,
        "RefundShown": refund,
        "CustomerShown": customer,
        "HoldShown": hold,
        "ExportShown": export,
        "AccountShown": account,
        "RequestShown": request,
        "CertificateShown": certificate,
        "Problem": problem(tenant.call("GET", f"/v1/tokens/{never_was('tok')}"), 404),
    }.items():
        optional = {"errors"} if name == "Problem" else set()
        assert shown.keys() == schemas[name]["properties"].keys() - optional, name


def _parts_of(value: Any) -> Iterator[Any]:
    """Every object anywhere in a document."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts_of(inner)


def test_patterns_hold_for_all_of_a_value(house: House) -> None:
    """A pattern in a JSON schema may match anywhere: ours begin and end with the value, in a syntax that all share."""
    document = house.app.test_client().get("/openapi.json").get_json()
    patterns = {part["pattern"] for part in _parts_of(document) if isinstance(part.get("pattern"), str)}
    assert len(patterns) > 15
    for pattern in patterns:
        assert (pattern[0], pattern[-1]) == ("^", "$"), pattern
        assert not re.search(r"\\[AZzdws]", pattern), pattern


def test_links_lead_somewhere(house: House) -> None:
    """From each thing that is answered, by its id, to each call that can name it: all paths with an id are led to."""
    document = house.app.test_client().get("/openapi.json").get_json()
    links = [link for part in _parts_of(document["paths"]) for link in part.get("links", {}).values()]
    led_to = set()
    for link in links:
        _, _, path, method = link["operationRef"].split("/")
        path = path.replace("~1", "/")
        led_to.add((path, method))
        named = {one["name"] for one in document["paths"][path].get("parameters", ())}
        assert {name.removeprefix("path.") for name in link.get("parameters", {})} <= named
        assert document["paths"][path][method]
    ours = {(path, method.lower()) for method, path, _ in operations(house.app) if "_id}" in path}
    assert {each for each in ours if not each[0].startswith("/opendsr/")} <= led_to


class _Page(HTMLParser):
    """Every address that a page loads or leads to, and every id in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in {"src", "href", "srcset", "action", "data", "poster", "background", "style"}:
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")


def test_page_loads_nothing_from_elsewhere(house: House) -> None:
    """No script, no image, no frame, no address but on this server; the policy header forbids the rest."""
    answer = house.app.test_client().get("/docs")
    text = answer.get_data(as_text=True)
    page = _Page(text)
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base", "svg"}
    assert all(re.match(r"#|/(?!/)", address) for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://", text)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_page_names_every_call(house: House) -> None:
    """Each operation with its method, path and scope; links within the page lead somewhere; no id stands twice."""
    text = house.app.test_client().get("/docs").get_data(as_text=True)
    page = _Page(text)
    for method, path, operation in operations(house.app):
        assert f"{method.lower()}-{path.replace('/', '-')}" in page.ids
        assert operation.get("x-scope", "") in text
    anchors = {address[1:] for address in page.addresses if address.startswith("#")}
    assert anchors <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


RAISED = {"Problem", "problem_response", "NotUsable", "Kind", "_verdict"}


def _codes() -> set[str]:
    """Every code that our code can answer with: those in the table, and those that stand in a raise or a verdict.

    `not_usable` is none: that error carries a code of its own.
    """
    codes = {kind.code for kind in TABLE.values()} | {
        "overloaded",
        NOT_CHECKED.code,
        RECORDS_RESTORED,
        KEYSTORE_RESTORED,
    }
    for file in [*ROOT.glob("api/**/*.py"), *ROOT.glob("vault/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED:
                words = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                codes.update(words[:1])
    return {code for code in codes if re.fullmatch(r"[a-z_]+", code)} - {"not_usable"}


def test_page_explains_every_problem(house: House) -> None:
    """Each code that an answer can carry has its place on the page, where `doc` points; and no other has."""
    page = _Page(house.app.test_client().get("/docs").get_data(as_text=True))
    explained = {name.removeprefix("problem-").replace("-", "_") for name in page.ids if name.startswith("problem-")}
    framework = {
        "method_not_allowed",
        "too_large",
        "unsupported_media_type",
        "bad_request",
        "in_doubt",
        "internal_error",
    }
    codes = _codes() | framework
    assert {"already_paid", "card_number_misplaced", "ledger_cut", "token_not_active"} <= codes
    assert codes - explained == set()
    assert explained - codes == set()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/docs", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("PUT", "/livez", 405),
        ("GET", "/v1/charges", 200),
        ("GET", "/v1/charges/x", 404),
        ("GET", "/v1/charges?x=1", 422),
        ("POST", "/v1/charges", 400),
        ("HEAD", "/v1/charges", 200),
    ],
)
def test_every_answer_has_a_request_id(tenant: Tenant, method: str, path: str, status: int) -> None:
    """Its own, made here: one that a client sends is not taken over."""
    seen = set()
    for _ in range(2):
        answer = tenant.call(method, path, Request_Id="req_mine")
        assert answer.status_code == status
        assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["Request-Id"])
        seen.add(answer.headers["Request-Id"])
    assert len(seen) == 2
