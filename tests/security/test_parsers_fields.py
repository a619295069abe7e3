"""Whatever stands in a field: ids, addresses, moments, an order's fields. It is taken or named, never an exception."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from house import House, Tenant, word
from hypothesis import example, given
from hypothesis import strategies as st
from made_up import anything, moments, over_http
from marshmallow import ValidationError

from api.wire.opendsr import SubjectRequest
from panless import outgoing
from vault.ids import is_id, new_id
from vault.outgoing import NotPosted
from vault.protocols.callbacks import is_allowed


@pytest.fixture(scope="module")
def tenant(house: House) -> Tenant:
    """One tenant for all that is made up here."""
    return house.tenant()


@given(st.text(max_size=60), st.sampled_from(["tok", "cus", "rr", "hold"]))
def test_ids(text: str, prefix: str) -> None:
    """What is no id of ours is none, and no text breaks the look at it; every id that we give out is one."""
    ident = new_id(prefix, "00")
    assert is_id(ident, prefix)
    assert is_id(text, prefix) <= (text.isascii() and len(text) == len(ident))
    for broken in (ident + text, text + ident, ident.replace("_", text)):
        assert is_id(broken, prefix) == (broken == ident)


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
        made = answer.get_json()["id"]  # there can't be any number of them
        assert tenant.call("DELETE", f"/v1/webhook-endpoints/{made}").status_code == 204


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
