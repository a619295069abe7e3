"""What the tests of the door share: problems, row counts, callers at once, the OpenAPI document, the processor."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from threading import Barrier
from typing import Any, TypeVar

from flask import Flask
from house import PURPOSE, House, Tenant, end_waits, link_to, package_of, token_order, word
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from keys import keystore
from rows.engine import reading
from vault.ids import new_id
from vault.money import disputes
from vault.personal import Secret
from vault.processing import accounts
from vault.processing.answers import Disputed
from vault.processing.connecting import Connected
from vault.tables import metadata as records_metadata
from vault.tenancy import clients
from vault.tenancy.scopes import SCOPES

Answer = TypeVar("Answer")

MEMBERS = {"type", "title", "status", "detail", "code", "doc"}
PREFIXES = {
    "token_id": "tok",
    "customer_id": "cus",
    "charge_id": "chg",
    "refund_id": "rfd",
    "account_id": "pa",
    "request_id": "rr",
    "hold_id": "hold",
    "event_id": "evt",
    "dispute_id": "dsp",
    "endpoint_id": "whe",
}
PLACE = {"level": "0", "place": "x999/999"}
"""A tile that no log has."""

LINKED = {("GET", "/v1/packages/{link}")}
"""What is open to whoever has a link."""

OF_OTHERS = ("/opendsr/", "/fides/", "/webhooks/")
"""Paths of protocols that others made, with forms of their own: test_opendsr.py and test_fides.py hold them."""

CHANGING = {"Request-Id", "Date"}
CHARGE = {"amount": 1234, "currency": "eur", "obligation": "INV-1", "metadata": {"note": "x"}}
CONTACT = {
    "name": "Ada Lovelace",
    "email": "Ada@Example.com",
    "phone": "+49 (0)30 1234-567",
    "address": {"line1": "1 Main St", "city": "Berlin", "postal_code": "10115", "country": "DE"},
}


def nothing() -> dict[str, str]:
    """For each part of a path a value that is of the right form and names nothing."""
    return {name: never_was(prefix) for name, prefix in PREFIXES.items()} | PLACE


def problem(answer: TestResponse, status: int | range, code: str | None = None) -> dict[str, Any]:
    """The problem details of an answer, whose form is checked; its code is explained on /docs."""
    text = answer.get_data(as_text=True)
    assert answer.status_code in (status if isinstance(status, range) else (status,)), text
    assert answer.headers["Content-Type"] == "application/problem+json", text
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["Request-Id"])
    found: dict[str, Any] = json.loads(text)
    assert found.keys() >= MEMBERS, text
    assert found["status"] == answer.status_code
    assert code in {None, found["code"]}, text
    assert found["doc"] == f"/docs#problem-{found['code'].replace('_', '-')}"
    return found


def rows(house: House) -> dict[str, int]:
    """How many rows each table of both databases has."""
    counts = {}
    for engine, tables in (
        (house.components.records, records_metadata),
        (house.components.keystore, keystore.metadata),
    ):
        with reading(engine) as connection:
            for table in tables.sorted_tables:
                statement = select(func.count()).select_from(table)
                counts[f"{engine.url.database}.{table.name}"] = connection.execute(statement).scalar_one()
    return counts


def at_once(callers: int, call: Callable[[int], Answer]) -> list[Answer]:
    """What `call` gives each of so many threads, all of which begin at the same moment."""
    start = Barrier(callers)

    def run(number: int) -> Answer:
        start.wait(30)
        return call(number)

    with ThreadPoolExecutor(callers) as threads:
        return list(threads.map(run, range(callers)))


def fixed(answer: TestResponse) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All of an answer but what differs between any two."""
    headers = sorted((name, value) for name, value in answer.headers.items() if name not in CHANGING)
    return answer.status_code, answer.get_data(), headers


def never_was(prefix: str) -> str:
    """An id of the right form that nobody ever got."""
    return new_id(prefix, "00")


@lru_cache
def operations(app: Flask) -> list[tuple[str, str, dict[str, Any]]]:
    """Every (method, path, operation) of the OpenAPI document."""
    document = app.test_client().get("/openapi.json").get_json()
    return [
        (method.upper(), path, {**operation, "parameters": operation.get("parameters", [])})
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method != "parameters"
    ]


def bodies(token: str) -> dict[tuple[str, str], dict[str, Any]]:
    """A good body for each operation that takes one, every field of it present."""
    customer = {"reference": "R-1", "billing_contact": CONTACT}
    account = {
        "kind": "sandbox",
        "label": "second",
        "credentials": {"api_key": "sk_test_1234", "webhook_secret": "whsec_12"},
    }
    order = token_order(customer=customer, usage="off_session", metadata={"note": "x"})
    charge = {
        "token": token,
        **CHARGE,
        "capture_method": "automatic",
        "initiator": "merchant",
        "reason": "recurring",
        "statement_descriptor": "SHOP",
    }
    return {
        ("POST", "/v1/tokens"): order,
        ("POST", "/v1/charges"): charge,
        ("POST", "/v1/charges/{charge_id}/refunds"): {"amount": 1, "reason": "duplicate"},
        ("POST", "/v1/charges/{charge_id}/capture"): {"amount": 1},
        ("PATCH", "/v1/processor-accounts/{account_id}"): {"webhook_secret": "whsec_of_theirs"},
        ("POST", "/v1/webhook-endpoints"): {"url": "https://shop.example/", "events": ["charge.succeeded"]},
        ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"): {"status": "enabled"},
        ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay"): {"since": "2026-01-01T00:00:00Z"},
        ("POST", "/v1/customers"): customer,
        ("POST", "/v1/customers/search"): {"email": "ada@example.com"},
        ("PUT", "/v1/customers/{customer_id}/billing-contact"): CONTACT,
        ("PATCH", "/v1/customers/{customer_id}/billing-contact"): CONTACT,
        ("PUT", "/v1/customers/{customer_id}/restriction"): {"ground": "objection"},
        ("POST", "/v1/customers/{customer_id}/holds"): {
            "reason": "audit",
            "classes": ["card"],
            "until": "2098-01-01T00:00:00Z",
        },
        ("POST", "/v1/rights-requests"): {
            "type": "restriction",
            "identities": [{"type": "email", "value": "ada@example.com", "format": "raw"}],
            "regulation": "gdpr",
            "submitted_at": "2026-01-01T00:00:00Z",
            "verification": {"method": "account", "verified_at": "2026-01-01T00:00:00Z"},
            "ground": "unlawful",
            "external_id": "case-1",
        },
        ("POST", "/v1/rights-requests/{request_id}/approve"): {
            "verification": "email",
            "correction": CONTACT,
            "cancel_subscriptions": True,
        },
        ("POST", "/v1/rights-requests/{request_id}/deny"): {
            "reason": "excessive",
            "notified_at": "2026-01-01T00:00:00Z",
        },
        ("POST", "/v1/rights-requests/{request_id}/extend"): {
            "reason": "complexity",
            "notified_at": "2026-01-01T00:00:00Z",
        },
        ("POST", "/v1/processor-accounts"): {**account, "default": False},
    }


def headers_of(operation: Mapping[str, Any], key: str) -> dict[str, str]:
    """The headers that an operation can't do without."""
    known = {"Idempotency-Key": key, **PURPOSE}
    required = [one["name"] for one in operation["parameters"] if one["in"] == "header" and one["required"]]
    return {name: known[name] for name in required}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every path into a JSON value with what stands there, the value itself first."""
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The JSON value with `new` at `path`."""
    if not path:
        return new
    return {**value, path[0]: with_value(value.get(path[0], {}), path[1:], new)}


def another_client(tenant: Tenant, *, live: bool = False) -> Tenant:
    """The tenant through a client of its own with every scope."""
    parts = tenant.house.components
    _, key = clients.create_client(
        parts.records, parts.keyring, tenant=tenant.id, name="other", live=live, scopes=SCOPES, at=parts.clock()
    )
    return replace(tenant, keys={"all": key.value}, caller=replace(tenant.caller, live=live))


def processor(tenant: Tenant, method: str, path: str, **form: str) -> dict[str, Any]:
    """Ask the sandbox itself, with the credentials of the tenant's processor account."""
    parts = tenant.house.components
    with reading(parts.records) as connection:
        row = accounts.by_id(connection, tenant.id, tenant.account)
    credentials = accounts.credentials_of(parts.keyring, tenant.id, row).api_key.value
    query = urllib.parse.urlencode(form)
    url = tenant.house.sandbox.url + path + (f"?{query}" if method == "GET" and query else "")
    data = query.encode() if method != "GET" else None
    request = urllib.request.Request(url, data, {"Authorization": f"Bearer {credentials}"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def methods_at_processor(tenant: Tenant) -> list[dict[str, Any]]:
    """The payment methods that hang on this tenant's customers at the processor."""
    customers = processor(tenant, "GET", "/v1/customers", limit="100")["data"]
    return [
        method
        for customer in customers
        for method in processor(tenant, "GET", "/v1/payment_methods", customer=customer["id"], limit="100")["data"]
    ]


def work_until(house: House, done: Callable[[], bool], rounds: int = 40) -> None:
    """Rounds of the worker, each when all that it waits for is over, until `done`; what it reports fails the test."""
    for _ in range(rounds):
        end_waits(house)
        _, reported = house.work()
        assert reported == []
        if done():
            return
    raise AssertionError("the worker did not get it done")


@dataclass(frozen=True)
class Stock:
    """A tenant and one of everything that its paths can name."""

    tenant: Tenant
    ids: dict[str, str]

    def url(self, path: str) -> str:
        return path.format(**self.ids, **PLACE)


class Disputing:
    """A processor that has a dispute of whatever it is asked about."""

    def read_dispute(self, _credentials: object, *, reference: str) -> Disputed:
        return Disputed(
            reference=reference,
            payment="pi",
            status="won",
            amount=1,
            currency="eur",
            reason="fraudulent",
            due_at=None,
        )


def disputed(tenant: Tenant, charge: str) -> str:
    """The id of a dispute of a charge, as the worker hears of one."""
    asked: Any = Connected(processor=Disputing(), credentials=Secret("none"))
    disputes.follow(tenant.desk, asked, tenant.account, charge, f"du_{charge}")
    return str(tenant.call("GET", f"/v1/disputes?charge={charge}").get_json()["data"][0]["id"])


def stock_of(tenant: Tenant) -> Stock:
    """A customer with a contact, a token, a charge; an account; an erasure; a hold; a package's link."""
    token = tenant.token(customer={"reference": "R-0", "billing_contact": CONTACT})
    charge = tenant.charge(token["id"]).get_json()["id"]
    paid = tenant.charge(token["id"]).get_json()["id"]
    refund = tenant.call("POST", f"/v1/charges/{paid}/refunds", Idempotency_Key=word()).get_json()["id"]
    request = tenant.call("DELETE", f"/v1/customers/{tenant.token()['customer']}").get_json()["id"]
    event = tenant.call("GET", "/v1/events").get_json()["data"][0]["id"]
    endpoint = tenant.call("POST", "/v1/webhook-endpoints", {"url": "https://shop.example/"}).get_json()["id"]
    held = tenant.call("POST", "/v1/customers", {}).get_json()["id"]
    hold = tenant.call("POST", f"/v1/customers/{held}/holds", {"reason": "audit"}).get_json()["id"]
    ids = {
        "token_id": token["id"],
        "customer_id": token["customer"],
        "charge_id": charge,
        "hold_id": hold,
        "refund_id": refund,
    }
    ids |= {"event_id": event, "endpoint_id": endpoint, "dispute_id": disputed(tenant, charge)}
    link = link_to(tenant, package_of(tenant, token["customer"]))
    return Stock(tenant=tenant, ids={**ids, "account_id": tenant.account, "request_id": request, "link": link})


def writing(stock: Stock) -> Iterator[tuple[str, str, dict[str, str], dict[str, Any]]]:
    """(method, url, headers, good body) of each POST, PUT and PATCH; the body is {} where none is taken."""
    good = bodies(stock.ids["token_id"])
    for number, (method, path, operation) in enumerate(operations(stock.tenant.house.app)):
        if method in {"POST", "PUT", "PATCH"} and not path.startswith(OF_OTHERS):
            headers = {
                "Authorization": f"Bearer {stock.tenant.keys['all']}",
                **headers_of(operation, f"hostile-{number}"),
            }
            yield method, stock.url(path), headers, good.get((method, path), {})
