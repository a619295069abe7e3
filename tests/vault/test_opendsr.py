"""OpenDSR 2.0 from a controller's side: what it sends, what it hears, and that openssl believes it."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from holds_scene import hold, lift
from house import House, Tenant
from opendsr_scene import (
    CONTROLLER,
    DOMAIN,
    details,
    email,
    order,
    processor,
    send,
    sent,
    speaking,
    standing,
    verify,
)
from records_scene import at_once, later, row, rows, work
from rights_scene import ADA, approved, asked, person
from werkzeug.test import TestResponse

from keys.envelope import dek_id_of
from vault.erasing import completion
from vault.errors import LedgerAway
from vault.ledger.book import LedgerStore
from vault.tables import callbacks, erasures, rights_requests
from vault.tenancy.scopes import ROLES

BASE = "/opendsr/v2"
CALLBACK = f"https://{CONTROLLER}/dsr"


@pytest.fixture
def speaker(tenant: Tenant) -> Tenant:
    return speaking(tenant)


def error(answer: TestResponse, status: int, reason: str) -> dict[str, Any]:
    """The error of an answer, in the form of specification.md 7.6; it is not signed."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.content_type == "application/json"
    assert "X-OpenDSR-Signature" not in answer.headers
    found: dict[str, Any] = answer.get_json()
    assert list(found) == ["error"]
    assert found["error"]["code"] == status
    assert found["error"]["message"] == found["error"]["errors"][0]["message"]
    assert {each["reason"] for each in found["error"]["errors"]} == {reason}
    assert all(each.keys() == {"domain", "reason", "message"} for each in found["error"]["errors"])
    return found["error"]


def test_discovery(speaker: Tenant) -> None:
    """Without a key: what is supported, and the certificate under the domain that signs."""
    client = speaker.house.app.test_client()
    found = client.get(f"{BASE}/discovery").get_json()
    assert found == {
        "api_version": "2.0",
        "supported_identities": [
            {"identity_type": kind, "identity_format": form}
            for kind in ("controller_customer_id", "email")
            for form in ("raw", "sha256")
        ],
        "supported_subject_request_types": ["access", "portability", "erasure"],
        "processor_certificate": f"https://{DOMAIN}{BASE}/certificate.pem",
    }
    assert client.get(f"{BASE}/certificate.pem").get_data() == processor().certificate


def test_the_receipt(speaker: Tenant) -> None:
    """201 with the five fields of the specification; `encoded_request` is the very bytes that were sent."""
    person(speaker)
    body = order("erasure")
    raw = json.dumps(body, indent=3).encode()
    answer = speaker.house.app.test_client().post(
        f"{BASE}/requests",
        data=raw,
        content_type="application/json",
        headers={"Authorization": f"Bearer {speaker.keys['privacy']}"},
    )
    assert answer.status_code == 201
    found = answer.get_json()
    kept = row(speaker.house, rights_requests, external_id=body["subject_request_id"])
    assert found.keys() == {
        "controller_id",
        "expected_completion_time",
        "received_time",
        "encoded_request",
        "subject_request_id",
    }
    assert base64.b64decode(found["encoded_request"]) == raw
    assert (found["controller_id"], found["subject_request_id"]) == (kept.client_id, body["subject_request_id"])
    assert found["expected_completion_time"] == "2026-02-02T22:59:59Z"  # 2 February, in the policy's time zone
    assert (kept.protocol, kept.verification) == ("opendsr", "controller")


def test_every_success_is_signed(speaker: Tenant, tmp_path: Path) -> None:
    """OpenSSL verifies 200, 201 and 202 over the exact bytes with the certificate that discovery names; no others."""
    strict = speaking(speaker, erasures_per_day=0)
    person(strict)
    client = strict.house.app.test_client()
    certificate = client.get(f"{BASE}/certificate.pem").get_data()
    first = send(strict, order("erasure"))
    path = f"{BASE}/requests/{first.get_json()['subject_request_id']}"
    answers = [
        first,
        client.get(f"{BASE}/discovery"),
        strict.call("GET", path, role="privacy"),
        strict.call("GET", f"{path}/status", role="privacy"),
        strict.call("DELETE", path, role="privacy"),
    ]
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 202]
    for answer in answers:
        signature = answer.headers["X-OpenDSR-Signature"]
        assert answer.headers["X-OpenDSR-Processor-Domain"] == DOMAIN
        assert "\n" not in signature
        assert verify(tmp_path, certificate, answer.get_data(), signature)
        assert not verify(tmp_path, certificate, answer.get_data() + b" ", signature)


def test_an_erasure_to_its_end(speaker: Tenant) -> None:
    """Approved by being sent: in progress, erased here at once, completed by the worker, with what is retained."""
    customer = speaker.token(customer={"billing_contact": ADA})
    assert speaker.charge(customer["id"]).status_code == 201
    ident = sent(speaker, order("erasure"))
    shown = standing(speaker, ident)
    assert (shown["request_status"], "results_count" in shown) == ("in_progress", False)
    assert details(shown) == {"outcome": "executing", "reason": None, "retained": [], "certificate_url": None}
    assert speaker.call("GET", f"/v1/customers/{customer['customer']}").status_code == 410
    assert work(speaker.house) == []
    shown = standing(speaker, ident)
    assert (shown["request_status"], shown["results_count"], "results_url" in shown) == ("completed", 1, False)
    assert details(shown)["outcome"] == "completed_with_retention"
    [kept] = details(shown)["retained"]
    assert kept["class"] == "transactions"
    url = details(shown)["certificate_url"].removeprefix(f"https://{DOMAIN}")
    assert speaker.call("GET", url).get_json()["certificate"]["customer"] == customer["customer"]


@dataclass(frozen=True)
class Full:
    """A ledger on a disk that has no room for one more entry."""

    store: LedgerStore

    def read(self, seq: int) -> bytes | None:
        return self.store.read(seq)

    def write(self, seq: int, entry: bytes) -> bool:
        raise LedgerAway(f"no room for entry {seq} of {len(entry)} bytes")

    def head(self, known: int) -> int:
        return self.store.head(known)

    def seems_to_have(self, seq: int) -> bool:
        return self.store.seems_to_have(seq)


def test_the_end_comes_with_its_certificate(speaker: Tenant) -> None:
    """Between the end of the request and the ledger's entry that certifies it: asking takes the entry there."""
    token = speaker.token(customer={"billing_contact": ADA})
    speaker.charge(token["id"])
    ident = sent(speaker, order("erasure"))
    parts, found = speaker.house.components, row(speaker.house, erasures, customer_id=token["customer"])
    full, caller = replace(parts.ledger, store=Full(parts.ledger.store)), replace(speaker.caller, at=parts.clock())
    with pytest.raises(LedgerAway):
        completion.carry_on(parts.desk(caller), full, parts.processors, parts.policy, found.erasure_id)
    assert row(speaker.house, rights_requests, external_id=ident).state == "completed_with_retention"
    shown = standing(speaker, ident)
    assert (shown["request_status"], details(shown)["retained"][0]["class"]) == ("completed", "transactions")


def test_several_customers_at_once(speaker: Tenant) -> None:
    """All who match, each with a certificate of its own."""
    customers = {person(speaker), person(speaker)}
    ident = sent(speaker, order("erasure"))
    assert work(speaker.house) == []
    shown = standing(speaker, ident)
    assert (shown["request_status"], shown["results_count"]) == ("completed", 2)
    urls = details(shown)["certificate_urls"]
    assert {url.partition("customer=")[2] for url in urls} == customers


def test_access_is_a_link_that_works_once(speaker: Tenant) -> None:
    """In progress while the package is built; then a link to the ZIP, each answer a new one in place of the last."""
    person(speaker)
    ident = sent(speaker, order("access"))
    assert standing(speaker, ident)["request_status"] == "in_progress"
    assert work(speaker.house) == []
    old, new = (standing(speaker, ident)["results_url"].removeprefix(f"https://{DOMAIN}") for _ in range(2))
    assert speaker.call("HEAD", f"{BASE}/requests/{ident}", role="privacy").status_code == 200
    client = speaker.house.app.test_client()
    assert client.get(old).status_code == 404
    assert "data.json" in zipfile.ZipFile(io.BytesIO(client.get(new).get_data())).namelist()
    assert client.get(new).status_code == 410
    shown = standing(speaker, ident)
    assert (shown["request_status"], shown["results_count"], "results_url" in shown) == ("completed", 1, False)


def test_results_live_seven_days(speaker: Tenant) -> None:
    """After that the link is 410, and the answer gives no new one."""
    person(speaker)
    ident = sent(speaker, order("portability"))
    assert work(speaker.house) == []
    link = standing(speaker, ident)["results_url"].removeprefix(f"https://{DOMAIN}")
    old = Tenant(later(speaker.house, days=7.1), speaker.id, speaker.keys, speaker.caller, speaker.account)
    assert old.house.app.test_client().get(link).status_code == 410
    assert "results_url" not in standing(old, ident)


def test_nobody_matches(speaker: Tenant) -> None:
    """Completed at once with a count of 0, whatever was asked for."""
    for kind in ("access", "portability", "erasure"):
        shown = standing(speaker, sent(speaker, order(kind, email("nobody@example.com"))))
        assert (shown["request_status"], shown["results_count"]) == ("completed", 0)
        assert "results_url" not in shown


@pytest.mark.parametrize("form", ["raw", "sha256"])
def test_who_is_found_by_a_reference(speaker: Tenant, form: str) -> None:
    """`controller_customer_id` is the reference that the tenant gave the customer, as it is or hashed."""
    mine = speaker.token(customer={"reference": "R-77"})["customer"]
    value = "R-77" if form == "raw" else hashlib.sha256(b"R-77").hexdigest()
    identity = {"identity_type": "controller_customer_id", "identity_value": value, "identity_format": form}
    sent(speaker, order("erasure", identity))
    assert speaker.call("GET", f"/v1/customers/{mine}").status_code == 410


def test_what_blocks_is_in_progress(speaker: Tenant) -> None:
    """A hold is no failure: in progress with the reason, until the worker erases once it is lifted."""
    order_of_hold = hold(speaker, person(speaker))
    ident = sent(speaker, order("erasure"))
    assert work(speaker.house) == []
    shown = standing(speaker, ident)
    assert (shown["request_status"], details(shown)["reason"]) == ("in_progress", "hold")
    lift(speaker, order_of_hold["id"])
    for _ in range(2):
        assert work(speaker.house) == []
    assert standing(speaker, ident)["request_status"] == "completed"


def test_a_second_actor_is_waited_for(tenant: Tenant) -> None:
    """Above the rate it stays pending, whether the controller names an actor or not; two people here let it go on."""
    strict = speaking(tenant, erasures_per_day=0)
    customer = person(strict)
    ident = sent(strict, order("erasure"))
    assert standing(strict, ident)["request_status"] == "pending"
    request = row(strict.house, rights_requests, external_id=ident).request_id
    for actor, role in (("ann", "privacy"), ("bob", "all")):
        assert strict.call("GET", f"/v1/customers/{customer}").status_code == 200
        path = f"/v1/rights-requests/{request}/approve"
        assert strict.call("POST", path, {}, role=role, Panless_Actor=actor).status_code == 200
    assert standing(strict, ident)["request_status"] == "in_progress"
    other = sent(strict, order("erasure", email("x@example.com")), Panless_Actor="ann")
    assert standing(strict, other)["request_status"] == "pending"


def test_cancelled_while_pending(tenant: Tenant) -> None:
    """DELETE is 202 while nothing was done, and again; 409 in OpenDSR's form once it is under way."""
    strict = speaking(tenant, erasures_per_day=0)
    person(strict)
    ident = sent(strict, order("erasure"))
    answer = strict.call("DELETE", f"{BASE}/requests/{ident}", role="privacy")
    assert answer.status_code == 202
    assert answer.get_json().keys() == {"controller_id", "received_time", "subject_request_id", "api_version"}
    shown = standing(strict, ident)
    assert (shown["request_status"], details(shown)["outcome"]) == ("cancelled", "cancelled")
    under_way = sent(speaking(tenant), order("access"))
    error(strict.call("DELETE", f"{BASE}/requests/{under_way}", role="privacy"), 409, "request_closed")


def test_a_denial_is_told_as_cancelled(tenant: Tenant) -> None:
    """OpenDSR knows no denial: it is cancelled, with the reason under our domain."""
    strict = speaking(tenant, erasures_per_day=0)
    person(strict)
    ident = sent(strict, order("erasure"))
    kept = row(strict.house, rights_requests, external_id=ident)
    body = {"reason": "legal_claims", "notified_at": kept.received_at.strftime("%Y-%m-%dT%H:%M:%SZ")}
    path = f"/v1/rights-requests/{kept.request_id}/deny"
    assert strict.call("POST", path, body, role="privacy").status_code == 200
    shown = standing(strict, ident)
    assert shown["request_status"] == "cancelled"
    assert (details(shown)["outcome"], details(shown)["reason"]) == ("denied", "legal_claims")


def test_the_same_request_again_is_one(speaker: Tenant) -> None:
    """A retry with its body gets the first receipt; the id with another body, or identities in progress, are 409."""
    hold(speaker, person(speaker))
    body = order("erasure")
    first, again = send(speaker, body), send(speaker, body)
    assert first.status_code == again.status_code == 201
    assert first.get_json() == again.get_json()
    error(send(speaker, {**body, "subject_request_type": "access"}), 409, "duplicate_request")
    error(send(speaker, order("erasure")), 409, "duplicate_request")
    assert send(speaker, order("access")).status_code == 201
    assert len(rows(speaker.house, rights_requests, tenant_id=speaker.id)) == 2


def test_a_retry_that_comes_with_its_first(speaker: Tenant) -> None:
    """A request that comes in several threads at once is one: every one of them gets a receipt."""
    person(speaker)
    body = order("access")
    answers = at_once(4, lambda _: send(speaker, body))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert [each.external_id for each in rows(speaker.house, rights_requests, tenant_id=speaker.id)] == [
        body["subject_request_id"]
    ]


def test_an_external_id_is_used_once(speaker: Tenant) -> None:
    """An external_id of our own protocol, again about another customer: 409 and the first, no error of ours."""
    first = asked(speaker, "access", customers=[person(speaker)], external_id="case-9")
    body = {"type": "access", "customers": [person(speaker)], "external_id": "case-9"}
    answer = speaker.call("POST", "/v1/rights-requests", body, role="privacy")
    assert (answer.status_code, answer.get_json()["request"]) == (409, first["id"])


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "no id": lambda body: body.pop("subject_request_id"),
    "no regulation": lambda body: body.pop("regulation"),
    "no identities": lambda body: body.pop("subject_identities"),
    "an empty list": lambda body: body.update(subject_identities=[]),
    "an id in capitals": lambda body: body.update(subject_request_id=body["subject_request_id"].upper()),
    "an id of version 1": lambda body: body.update(subject_request_id="a7551968-d5d6-14b2-9831-815ac9017798"),
    "another type": lambda body: body.update(subject_request_type="rectification"),
    "another law": lambda body: body.update(regulation="lgpd"),
    "another version": lambda body: body.update(api_version="1.0"),
    "a time without zone": lambda body: body.update(submitted_time="2026-01-02T15:00:00"),
    "a time to come": lambda body: body.update(submitted_time="2098-01-02T15:00:00Z"),
    "md5": lambda body: body["subject_identities"][0].update(identity_format="md5"),
    "sha1": lambda body: body["subject_identities"][0].update(identity_format="sha1"),
    "a hash that is none": lambda body: body["subject_identities"][0].update(identity_format="sha256"),
    "a device": lambda body: body["subject_identities"][0].update(identity_type="android_id"),
    "a list for an object": lambda body: body.update(extensions=[]),
    "six callbacks": lambda body: body.update(status_callback_urls=[f"{CALLBACK}/{number}" for number in range(6)]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(speaker: Tenant, case: str) -> None:
    """400 in OpenDSR's form, which names the field and never repeats who the person is; nothing is written."""
    body = order("erasure", email("ada@example.com"))
    WRONG[case](body)
    answer = send(speaker, body)
    error(answer, 400, "invalid_request")
    assert "ada@" not in answer.get_data(as_text=True)
    assert rows(speaker.house, rights_requests, tenant_id=speaker.id) == []


@pytest.mark.parametrize(
    ("raw", "content_type", "reason"),
    [
        (b"{", "application/json", "malformed_json"),
        (b"[]", "application/json", "invalid_request"),
        (b'{"a": "\\u0000"}', "application/json", "invalid_characters"),
        (b'{"subject_request_id": "4242 4242 4242 4242"}', "application/json", "card_number_misplaced"),
        (b'{"a": "' + b"x" * 66000 + b'"}', "application/json", "too_large"),
        (b"{}", "text/plain", "unsupported_media_type"),
    ],
)
def test_bodies_that_cannot_be_read(speaker: Tenant, raw: bytes, content_type: str, reason: str) -> None:
    """All of them are 400 here, with the code that says why."""
    headers = {"Authorization": f"Bearer {speaker.keys['privacy']}"}
    client = speaker.house.app.test_client()
    error(client.post(f"{BASE}/requests", data=raw, content_type=content_type, headers=headers), 400, reason)


@pytest.mark.parametrize(
    "url",
    [
        f"http://{CONTROLLER}/dsr",
        "https://elsewhere.example.com/dsr",
        f"https://{CONTROLLER}:8443/dsr",
        f"https://{CONTROLLER}@elsewhere.example.com/dsr",
        f"https://user@{CONTROLLER}/dsr",
        f"https://elsewhere.example.com\\@{CONTROLLER}/dsr",
        f"https://{CONTROLLER}/dsr#part",
        f"https://{CONTROLLER}.elsewhere.example.com/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        f"ftp://{CONTROLLER}/",
        f"https://{CONTROLLER}/a b",
        "https:///dsr",
        "https://[::1",
        "https://[]/x",
        f"https://{CONTROLLER}]/x",
        "x",
    ],
)
def test_callbacks_go_where_it_was_agreed(speaker: Tenant, url: str) -> None:
    """Only https, and only to the hosts that the operator allowed: 400 for the request, and nothing is written."""
    answer = send(speaker, order("erasure", status_callback_urls=[CALLBACK, url]))
    error(answer, 400, "invalid_request")
    assert rows(speaker.house, rights_requests, tenant_id=speaker.id) == []


def test_extensions_and_unknown_fields_are_for_others(speaker: Tenant) -> None:
    """What the specification lets others add is left out, and never repeated."""
    body = order("erasure", extensions={"other.example.com": {"ada@example.com": 1}}, **{"ada@example.com": 1})
    answer = send(speaker, body)
    assert answer.status_code == 201
    shown = speaker.call("GET", f"{BASE}/requests/{body['subject_request_id']}", role="privacy")
    assert "ada@" not in shown.get_data(as_text=True)


@pytest.mark.parametrize("role", [*ROLES, None])
def test_who_may_call(speaker: Tenant, role: str | None) -> None:
    """rights:write sends and cancels, rights:read reads; others are refused in OpenDSR's form, before all else."""
    path = f"{BASE}/requests/a7551968-d5d6-44b2-9831-815ac9017798"
    calls = [
        ("POST", f"{BASE}/requests", {}),
        ("DELETE", path, None),
        ("GET", path, None),
        ("GET", f"{path}/status", None),
    ]
    client = speaker.house.app.test_client()
    for method, url, body in calls:
        headers = {"Authorization": f"Bearer {speaker.keys[role]}"} if role else {}
        answer = client.open(url, method=method, json=body, headers=headers)
        if role is None:
            error(answer, 401, "unauthenticated")
        elif role == "privacy":
            error(answer, *((400, "invalid_request") if method == "POST" else (404, "not_found")))
        else:
            error(answer, 403, "insufficient_scope")


@pytest.mark.parametrize("ident", ["x", "A7551968-D5D6-44B2-9831-815AC9017798", "rr_00" + "a" * 26, "%00"])
def test_ids_of_another_form(speaker: Tenant, ident: str) -> None:
    """404, like an id that never was."""
    error(speaker.call("GET", f"{BASE}/requests/{ident}", role="privacy"), 404, "not_found")


def test_a_foreign_tenant_sees_nothing(speaker: Tenant, house: House) -> None:
    """Another tenant's id is one that never was, and may be used again by whoever."""
    ident = sent(speaker, order("access"))
    other = speaking(house.tenant())
    error(other.call("GET", f"{BASE}/requests/{ident}", role="privacy"), 404, "not_found")
    error(other.call("DELETE", f"{BASE}/requests/{ident}", role="privacy"), 404, "not_found")
    assert send(other, order("access", subject_request_id=ident)).status_code == 201


def test_not_configured(tenant: Tenant) -> None:
    """Without domain, key and certificate there is no OpenDSR: 404 that says so, with a key or without."""
    for path in ("/discovery", "/certificate.pem", "/requests/x"):
        error(tenant.call("GET", f"{BASE}{path}"), 404, "not_configured")
    error(tenant.call("POST", f"{BASE}/requests", order()), 404, "not_configured")


def test_callbacks_are_kept_sealed(speaker: Tenant) -> None:
    """The URL, which may hold a token, stands in no table as it is; who opens it needs the tenant's own key."""
    hold(speaker, person(speaker))
    sent(speaker, order("erasure", status_callback_urls=[f"{CALLBACK}?token=hush"]))
    [kept] = rows(speaker.house, callbacks, tenant_id=speaker.id)
    assert CONTROLLER not in str(kept)
    keyring = speaker.house.components.keyring
    assert dek_id_of(kept.address) == keyring.tenant_key(speaker.id, "secrets").id


def test_our_own_door_shows_where_it_came_from(speaker: Tenant) -> None:
    """The privacy team sees it among the rights requests, and decides there what needs deciding."""
    person(speaker)
    ident = sent(speaker, order("access"))
    [listed] = speaker.call("GET", "/v1/rights-requests", role="privacy").get_json()["data"]
    assert (listed["protocol"], listed["external_id"], listed["verification"]) == ("opendsr", ident, "controller")
    assert approved(speaker, listed["id"])["id"] == listed["id"]
