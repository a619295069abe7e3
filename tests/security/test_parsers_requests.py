"""Whatever a request is made of: what a parser promises comes out, or an error that has a name. Never another."""

import base64
import json

import pytest
from flask import Request
from house import House, Tenant
from hypothesis import example, given
from hypothesis import strategies as st
from made_up import anything, headers, moments, over_http
from werkzeug.exceptions import HTTPException
from werkzeug.test import EnvironBuilder

from api.bodies import is_percent_encoded, read_json
from api.problems import Problem
from api.request_headers import ACTOR, IDEMPOTENCY_KEY, PURPOSE
from vault.ids import new_id
from vault.tenancy.client_keys import parse_key


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    """One tenant for all that is made up here."""
    return house.tenant()


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


@given(st.text(max_size=200), st.integers(0, 160), st.text(max_size=3))
def test_api_keys(tenant: Tenant, text: str, place: int, put: str) -> None:
    """A key of ours is read, one letter of it changed is none, and no other text is one."""
    good = tenant.keys["all"]
    assert parse_key(good) is not None
    assert parse_key(text) is None
    changed = good[:place] + put + good[place + len(put) :]
    assert (parse_key(changed) is not None) == (changed == good)


sendable = st.text(st.sampled_from([char for char in map(chr, range(256)) if char.isprintable()]), max_size=60)


@given(sendable | st.none())
@over_http
def test_idempotency_keys_over_http(tenant: Tenant, key: str | None) -> None:
    """Two calls with one key make one customer, or are both refused; whatever the key."""
    sent = {} if key is None else {"Idempotency_Key": key}
    answers = [tenant.call("POST", "/v1/customers", {}, **sent) for _ in range(2)]
    assert {answer.status_code for answer in answers} <= {201, 400, 422}
    if key is not None and answers[0].status_code == 201:
        assert answers[0].get_json()["id"] == answers[1].get_json()["id"]
