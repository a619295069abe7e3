"""Whatever is put into our parsers: what they promise comes out, or an error that has a name. Never another."""

import base64
import copy
import hashlib
import hmac
import json
import os
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Request
from house import House, Tenant, word
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from api.bodies import is_percent_encoded, read_json
from api.door import ACTOR, IDEMPOTENCY_KEY, PURPOSE
from api.opendsr_wire import SubjectRequest
from api.problems import Problem
from keys.context import Context
from keys.dek import new_dek
from keys.envelope import dek_id_of, seal, unseal
from keys.errors import Unreadable
from keys.framing import frame
from panless import outgoing
from vault.callbacks import is_allowed
from vault.clients import parse_key
from vault.ids import is_id, new_id
from vault.outgoing import NotPosted

SECRET = "whsec_of_these_tests"
over_http = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)
headers = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=80)
"""What an HTTP server hands on: one line of Latin-1."""


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    """One tenant for all that is made up here; its processor signs with SECRET."""
    made = house.tenant()
    changed = made.call("PATCH", f"/v1/processor-accounts/{made.account}", {"webhook_secret": SECRET})
    assert changed.status_code == 200
    return made


def _request(body: bytes, content_type: str = "application/json") -> Request:
    return Request(EnvironBuilder(method="POST", data=body, content_type=content_type).get_environ())


@given(st.binary(max_size=300) | anything.map(lambda value: json.dumps(value).encode()))
@example(b"[" * 60_000)
@example(b'{"a":' * 10_000)
@example(b'{"a": 1e999999}')
@example(b"1" * 60_000)
def test_bodies(body: bytes) -> None:
    """A body is one JSON object, which is what comes out, or is refused."""
    try:
        read = read_json(_request(body))
    except (Problem, HTTPException):
        return
    assert read == json.loads(body)
    assert isinstance(read, dict)


@given(headers)
def test_content_types(content_type: str) -> None:
    """Nothing but JSON is read, whatever the header says."""
    try:
        assert read_json(_request(b"{}", content_type)) == {}
    except Problem as problem:
        refused = problem.status
    else:
        refused = None
    assert refused in {None, 415}
    if refused is None:
        assert content_type.partition(";")[0].strip().lower() == "application/json"


@given(st.binary(max_size=60))
@example(b"%")
@example(b"%ff")
def test_queries(query: bytes) -> None:
    """A query is percent-encoded UTF-8 or none; whichever, it is said."""
    assert is_percent_encoded(query) in {True, False}


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31, 23, 59)).flatmap(  # noqa: DTZ001  # the next line gives it one
    lambda when: st.integers(-1439, 1439).map(
        lambda offset: when.replace(tzinfo=timezone(timedelta(minutes=offset))).isoformat()
    )
)
cursors = st.builds("{} {}".format, moments | st.text(max_size=30), st.just(new_id("chg", "00")) | st.text(max_size=40))


@given(st.text(max_size=80) | cursors.map(_cursor))
@example(_cursor("0001-01-01T00:00:00+00:00 chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa"))
@example(_cursor("9999-12-31T23:59:59.999999+00:00 chg_00aaaaaaaaaaaaaaaaaaaaaaaaaa"))
@over_http
def test_cursors(tenant: Tenant, cursor: str) -> None:
    """A cursor of ours leads on, any other is refused, in every list."""
    for path in ("/v1/charges", "/v1/events", "/v1/rights-requests", "/v1/webhook-endpoints"):
        answer = tenant.house.app.test_client().get(
            path, query_string={"cursor": cursor}, headers={"Authorization": f"Bearer {tenant.keys['all']}"}
        )
        assert answer.status_code in {200, 422}, answer.get_data(as_text=True)


@given(headers, headers, headers)
@example('support; ref="T-1"', "ada", "k-1")
@over_http
def test_headers(tenant: Tenant, purpose: str, actor: str, key: str) -> None:
    """Headers of the form that each must have pass, all others are refused, and the search is made or it is not."""
    sent = {"Access_Purpose": purpose, "Panless_Actor": actor, "Idempotency_Key": key}
    answer = tenant.call("POST", "/v1/customers/search", {"reference": "nobody"}, **sent)
    fit = PURPOSE.fullmatch(purpose) and ACTOR.fullmatch(actor) and IDEMPOTENCY_KEY.fullmatch(key)
    assert answer.status_code in ({200, 400, 422} if fit else {400, 422}), answer.get_data(as_text=True)


@given(st.text(max_size=60), st.sampled_from(["tok", "cus", "rr", "hold"]))
def test_ids(text: str, prefix: str) -> None:
    """What is no id of ours is none, and no text breaks the look at it; every id that we give out is one."""
    ident = new_id(prefix, "00")
    assert is_id(ident, prefix)
    assert is_id(text, prefix) <= (text.isascii() and len(text) == len(ident))
    for broken in (ident + text, text + ident, ident.replace("_", text)):
        assert is_id(broken, prefix) == (broken == ident)


@given(st.text(max_size=200), st.integers(0, 160), st.text(max_size=3))
def test_api_keys(tenant: Tenant, text: str, place: int, put: str) -> None:
    """A key of ours is read, one letter of it changed is none, and no other text is one."""
    good = tenant.keys["all"]
    assert parse_key(good) is not None
    assert parse_key(text) is None
    changed = good[:place] + put + good[place + len(put) :]
    assert (parse_key(changed) is not None) == (changed == good)


def _signed(body: bytes) -> str:
    moment = int(time.time())
    mac = hmac.new(SECRET.encode(), b"%d." % moment + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={mac}"


events = st.fixed_dictionaries(
    {},
    optional={
        "object": st.just("event") | scalars,
        "id": st.text(max_size=30) | anything,
        "type": st.sampled_from(["charge.succeeded", "refund.updated", "payment_method.updated"]) | anything,
        "data": st.fixed_dictionaries({"object": st.dictionaries(st.sampled_from(["id", "payment_intent"]), anything)})
        | anything,
    },
)


@given(st.binary(max_size=100) | (events | anything).map(lambda value: json.dumps(value).encode()))
@example(b'{"object": "event", "type": "charge.succeeded", "data": {"object": {}}, "id":' + b"[" * 60_000)
@example(
    b'{"object": "event", "id": "\\ud800", "type": "charge.succeeded", "data": {"object": {"payment_intent": "pi"}}}'
)
@example(
    b'{"object": "event", "id": "evt", "type": "charge.succeeded", "data": {"object": {"payment_intent": "\\udfff"}}}'
)
@example(b'{"object": "event", "id": "evt", "type": "charge.\\u0000", "data": {"object": {"payment_intent": 7}}}')
@over_http
def test_signed_webhooks(tenant: Tenant, body: bytes) -> None:
    """What a processor signs, whatever it says, is taken or refused."""
    path = f"/webhooks/{tenant.account}"
    client = tenant.house.app.test_client()
    answer = client.post(path, data=body, headers={"Stripe-Signature": _signed(body)})
    assert answer.status_code in {204, 400}, answer.get_data(as_text=True)


@given(headers, st.binary(max_size=50))
@example("t=1,v1=", b"{}")
@example("t=" + "9" * 400 + ",v1=00", b"{}")
@example("t=-1,v1=\xff", b"{}")
@example("v1=00,t=x", b"\xff")
@over_http
def test_forged_signatures(tenant: Tenant, header: str, body: bytes) -> None:
    """Whatever stands in Stripe-Signature: what nobody signed is refused."""
    client = tenant.house.app.test_client()
    answer = client.post(f"/webhooks/{tenant.account}", data=body, headers={"Stripe-Signature": header})
    assert answer.status_code == 400


@given(st.lists(st.binary(max_size=20), max_size=6), st.lists(st.binary(max_size=20), max_size=6))
@example([b"", b"a"], [b"a", b""])
@example([b"ab", b"c"], [b"a", b"bc"])
@example([b"\0\0\0\x01a"], [b"", b"a"])
def test_frames(one: list[bytes], other: list[bytes]) -> None:
    """Two lists of parts give the same bytes only if they are the same."""
    assert (frame(*one) == frame(*other)) == (one == other)


CONTEXT = Context(deployment="dep", tenant="ten", table="tokens", column="card", row="tok", customer="cus", version=1)


@given(st.binary(max_size=200), st.binary(max_size=60), st.data())
def test_records(noise: bytes, plaintext: bytes, data: st.DataObject) -> None:
    """Noise does not open, and of a record no byte may be another, be missing or be added. One error for all of it."""
    dek = new_dek()
    record = seal(dek, plaintext, CONTEXT)
    assert unseal(dek, record, CONTEXT) == plaintext
    place = data.draw(st.integers(0, len(record) - 1))
    flipped = record[:place] + bytes([record[place] ^ data.draw(st.integers(1, 255))]) + record[place + 1 :]
    for broken in (noise, flipped, record[:place], record + os.urandom(1), record[:50] + noise):
        with pytest.raises(Unreadable):
            unseal(dek, broken, CONTEXT)
    try:
        assert len(dek_id_of(noise)) == 16
    except Unreadable:
        assert noise[:2] != b"\x01\x01" or len(noise) < 98


names = st.text(max_size=20)


@given(st.tuples(*[names] * 6), st.tuples(*[names] * 6), st.integers(0, 2**64 - 1))
def test_contexts(one: tuple[str, ...], other: tuple[str, ...], version: int) -> None:
    """Two places give the same bytes only if they are the same place."""
    fields = ("deployment", "tenant", "table", "column", "row", "customer")
    first, second = (
        Context(**dict(zip(fields, texts, strict=True)), version=version).encode() for texts in (one, other)
    )
    assert (first == second) == (one == other)


HOSTS = frozenset({"good.example", "good.example:8443"})
near_urls = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["https://", "http://", "HTTPS://", "//", "https:/", "https:\\\\", ""]),
    st.sampled_from(["", "a@", "a:b@", "good.example@", "good.example\\@", "good.example#@", "good.example/@"]),
    st.sampled_from(
        ["good.example", "good.example.", "GOOD.example", "evil.example", "good.example.evil.example", "[::1"]
    ),
    st.sampled_from(["", ":8443", ":443", ":0", ":99999", ":x"]),
    st.text(max_size=20),
)


@given(st.text(max_size=100) | near_urls)
def test_callback_addresses(url: str) -> None:
    """An address is allowed only if the host that is dialled is one of those agreed on; no text is an exception."""
    dialled: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        dialled.append(host)
        return []

    allowed = is_allowed(HOSTS, "ten_1", "cli_1", url)
    assert isinstance(outgoing.post(url, b"{}", {}, resolve=resolve), NotPosted)
    if allowed:
        assert dialled == ["good.example"]


@given(st.text(max_size=100) | near_urls)
@over_http
def test_endpoint_addresses(tenant: Tenant, url: str) -> None:
    """An address for events is kept or refused; what is kept is https, and says one host and no password."""
    answer = tenant.call("POST", "/v1/webhook-endpoints", {"url": url})
    assert answer.status_code in {201, 422}, answer.get_data(as_text=True)
    if answer.status_code == 201:
        dialled: list[str] = []
        outgoing.post(url, b"{}", {}, resolve=lambda host, _port: dialled.append(host) or [])
        assert len(dialled) == 1, url
        assert "@" not in url.partition("//")[2].partition("/")[0]


ORDER: dict[str, Any] = {
    "regulation": "gdpr",
    "subject_request_id": "0b9e8a52-4d1c-4f7a-9a55-37828224631f",
    "subject_request_type": "erasure",
    "submitted_time": "2026-01-02T15:00:00Z",
    "subject_identities": [{"identity_type": "email", "identity_value": "a@example.com", "identity_format": "raw"}],
    "api_version": "2.0",
    "status_callback_urls": ["https://controller.example.com/"],
    "extensions": {},
}


@given(
    st.sampled_from([*ORDER]),
    anything | moments,
    st.sampled_from(["identity_type", "identity_value", "identity_format"]),
    anything,
)
def test_opendsr_bodies(name: str, value: Any, of_identity: str, inner: Any) -> None:
    """A request with anything in any of its fields is one that can be read, or the fields are named."""
    for order in ({**ORDER, name: value}, copy.deepcopy(ORDER)):
        if order[name] is not value:
            order["subject_identities"][0][of_identity] = inner
        try:
            read = SubjectRequest().load(order)
        except ValidationError:
            continue
        assert read["submitted_time"].utcoffset() == timedelta(0)


@given(moments)
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
@over_http
def test_moments_at_the_ends_of_the_calendar(tenant: Tenant, moment: str) -> None:
    """Wherever a moment may be named, any is taken or refused, also one that UTC does not have."""
    customer = tenant.call("POST", "/v1/customers", {}).get_json()["id"]
    endpoint = _endpoint(tenant)
    request = tenant.call("POST", "/v1/rights-requests", {"type": "access", "customers": [customer]}).get_json()["id"]
    notice = {"reason": "complexity", "notified_at": moment}
    calls = [
        ("POST", f"/v1/customers/{customer}/holds", {"reason": "audit", "until": moment}),
        ("GET", f"/v1/customers/{customer}/holds", None),
        ("POST", f"/v1/rights-requests/{request}/extend", notice),
        ("POST", f"/v1/rights-requests/{request}/deny", {"reason": "excessive", "notified_at": moment}),
        ("GET", f"/v1/rights-requests/{request}", None),
        ("POST", "/v1/rights-requests", {"type": "access", "customers": [customer], "submitted_at": moment}),
        (
            "POST",
            "/v1/rights-requests",
            {
                "type": "portability",
                "customers": [customer],
                "verification": {"method": "email", "verified_at": moment},
            },
        ),
        ("POST", f"/v1/webhook-endpoints/{endpoint}/replay", {"since": moment}),
        ("GET", f"/v1/customers/{customer}/erasure-plan", None),
    ]
    for method, path, body in calls:
        answer = tenant.call(method, path, body)
        assert answer.status_code < 500, (method, path, body, answer.get_data(as_text=True))
    for path, name in (("/v1/events", "since"), (f"/v1/customers/{customer}/restriction", "notified_at")):
        answer = tenant.house.app.test_client().open(
            path,
            method="GET" if name == "since" else "DELETE",
            query_string={name: moment},
            headers={"Authorization": f"Bearer {tenant.keys['all']}"},
        )
        assert answer.status_code < 500, (path, answer.get_data(as_text=True))


def _endpoint(tenant: Tenant) -> str:
    listed = tenant.call("GET", "/v1/webhook-endpoints?limit=1").get_json()["data"]
    if listed:
        return str(listed[0]["id"])
    made = tenant.call("POST", "/v1/webhook-endpoints", {"url": f"https://{word()}.example/"})
    return str(made.get_json()["id"])


@given(st.text(max_size=60) | st.just(None))
@over_http
def test_idempotency_keys_over_http(tenant: Tenant, key: str | None) -> None:
    """Two calls with one key make one customer, or are both refused; whatever the key."""
    assume(key is None or all(char.isprintable() and ord(char) < 256 for char in key))
    sent = {} if key is None else {"Idempotency_Key": key}
    answers = [tenant.call("POST", "/v1/customers", {}, **sent) for _ in range(2)]
    assert {answer.status_code for answer in answers} <= {201, 400, 422}
    if key is not None and answers[0].status_code == 201:
        assert answers[0].get_json()["id"] == answers[1].get_json()["id"]
