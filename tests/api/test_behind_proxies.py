"""What a request's headers say about where it came from counts only from proxies that settings name."""

import base64
import hashlib
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import pytest
from api_scene import fixed
from flask import Flask
from house import House, Tenant, make_app
from terms_scene import bound_client
from werkzeug.test import TestResponse

from panless.serving.proxies import behind

PROXY, STRANGER = "10.0.0.7", "198.51.100.7"
DER = b"not really a certificate, but bytes that a proxy hands on"
DIGEST = hashlib.sha256(DER).hexdigest()
PEM = f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(DER).decode()}\n-----END CERTIFICATE-----\n"
HEADER = "Client-Cert"


@pytest.fixture
def app(house: House) -> Flask:
    """The door behind one proxy of 10.0.0.0/24, which shows client certificates."""
    return behind_proxies(house, 1)


def behind_proxies(house: House, hops: int) -> Flask:
    made = make_app(house.components)
    made.wsgi_app = behind(made.wsgi_app, [ip_network("10.0.0.0/24")], hops, HEADER)
    return made


def ask(app: Flask, key: str, peer: str, *headers: tuple[str, str]) -> TestResponse:
    sent: Any = [("Authorization", f"Bearer {key}"), *headers]
    return app.test_client().get("/v1/processor-accounts", headers=sent, environ_base={"REMOTE_ADDR": peer})


def test_forwarded_addresses(app: Flask, tenant: Tenant) -> None:
    """The proxy's last word on the address counts; a stranger's is ignored, and what the proxy was told before it."""
    _, key = bound_client(tenant, networks="192.0.2.0/24")
    inside, outside = "192.0.2.1", "203.0.113.1"
    said = [(PROXY, inside, 200), (PROXY, f"{outside}, {inside}", 200), (PROXY, outside, 401)]
    said += [(PROXY, f"{inside}, {outside}", 401), (STRANGER, inside, 401), (inside, outside, 200), (PROXY, "x", 401)]
    for peer, forwarded, status in said:
        assert ask(app, key, peer, ("X-Forwarded-For", forwarded)).status_code == status, (peer, forwarded)
    assert ask(app, key, f"::ffff:{PROXY}", ("X-Forwarded-For", inside)).status_code == 200
    assert ask(app, key, PROXY).status_code == 401


@pytest.mark.parametrize(
    ("hops", "forwarded"),
    [
        (1, '", 203.0.113.1'),
        (1, '"10.0.0.9, 203.0.113.1'),
        (1, "203.0.113.1:4711"),
        (1, "203.0.113.1,"),
        (1, ""),
        (1, "unknown"),
        (2, '"x, 203.0.113.1, 10.0.0.1'),
        (2, "203.0.113.1"),
        (2, "10.0.0.1"),
        (2, "192.0.2.1, 203.0.113.1"),
        (2, "192.0.2.1, x"),
        (3, "192.0.2.1, 203.0.113.1, 10.0.0.1"),
    ],
)
def test_an_unknown_address_meets_no_terms(tenant: Tenant, hops: int, forwarded: str) -> None:
    """What is malformed, too short or past a hop that is no named proxy gives no address, least of all the proxy's."""
    _, key = bound_client(tenant, networks="10.0.0.0/8 192.0.2.0/24")
    answer = ask(behind_proxies(tenant.house, hops), key, PROXY, ("X-Forwarded-For", forwarded))
    assert answer.status_code == 401


def test_the_outermost_of_two_proxies(tenant: Tenant) -> None:
    """Past a hop that is a named proxy it is the client's address, whatever the client itself wrote before it."""
    _, key = bound_client(tenant, networks="192.0.2.0/24")
    app = behind_proxies(tenant.house, 2)
    for forwarded in ("192.0.2.1, 10.0.0.1", '", 203.0.113.1,192.0.2.1,::ffff:10.0.0.1 '):
        assert ask(app, key, PROXY, ("X-Forwarded-For", forwarded)).status_code == 200


@pytest.mark.parametrize(
    ("said", "is_tls"),
    [
        ("https", True),
        ("https, http", True),
        ("http, https, http", True),
        ("http", False),
        ("https, http, http", False),
    ],
)
def test_the_protocol_past_two_proxies(tenant: Tenant, said: str, *, is_tls: bool) -> None:
    """What the outermost says counts, whether the inner one writes its own behind that or hands it on."""
    app = behind_proxies(tenant.house, 2)
    answer = ask(app, tenant.keys["all"], PROXY, ("X-Forwarded-Proto", said))
    assert ("Strict-Transport-Security" in answer.headers) is is_tls


def test_forwarded_protocol(app: Flask, tenant: Tenant) -> None:
    """That a request came over TLS is the proxy's to say."""
    for peer, said in ((PROXY, True), (STRANGER, False)):
        answer = ask(app, tenant.keys["all"], peer, ("X-Forwarded-Proto", "https"))
        assert ("Strict-Transport-Security" in answer.headers) is said


def test_no_proxy_no_word(tenant: Tenant) -> None:
    """Without proxies in the settings no header says anything, whoever sends it."""
    _, key = bound_client(tenant, networks="192.0.2.0/24")
    _, certified = bound_client(tenant, certificate=DIGEST)
    for peer in (PROXY, "127.0.0.1"):
        headers = [(name, "192.0.2.1") for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Client-IP")]
        assert ask(tenant.house.app, key, peer, *headers).status_code == 401
        assert ask(tenant.house.app, certified, peer, (HEADER, DIGEST)).status_code == 401


@pytest.mark.parametrize(
    "written",
    [
        DIGEST,
        DIGEST.upper(),
        "sha256:" + ":".join(DIGEST[place : place + 2] for place in range(0, 64, 2)),
        f":{base64.b64encode(DER).decode()}:",
        quote(PEM),
    ],
    ids=["hex", "HEX", "colons", "rfc9440", "pem"],
)
def test_the_certificate_that_the_proxy_saw(app: Flask, tenant: Tenant, written: str) -> None:
    """A key that is bound to it works with it, in each form that proxies write, and only from them."""
    _, key = bound_client(tenant, certificate=DIGEST)
    assert ask(app, key, PROXY, (HEADER, written)).status_code == 200
    assert fixed(ask(app, key, STRANGER, (HEADER, written))) == fixed(ask(app, "", STRANGER))


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(HEADER, "")],
        [(HEADER, "0" * 64)],
        [(HEADER, DIGEST[:40])],
        [(HEADER, "::")],
        [(HEADER, ":" + base64.b64encode(DER + b"x").decode() + ":")],
        [(HEADER, quote(PEM)[:-5])],
        [(HEADER, DIGEST), (HEADER, DIGEST)],
        [(HEADER, "0" * 64), (HEADER, DIGEST)],
    ],
    ids=range(9),
)
def test_another_certificate_is_none(app: Flask, tenant: Tenant, headers: list[tuple[str, str]]) -> None:
    """None, another one, half of one or two: a key that is bound to one is answered like none at all."""
    _, key = bound_client(tenant, certificate=DIGEST)
    assert fixed(ask(app, key, PROXY, *headers)) == fixed(ask(app, "", PROXY))


def test_a_key_without_one_needs_none(app: Flask, tenant: Tenant) -> None:
    """A key that is bound to no certificate works with any, and without."""
    for headers in ([], [(HEADER, DIGEST)], [(HEADER, "x")]):
        assert ask(app, tenant.keys["all"], PROXY, *headers).status_code == 200
