"""Nobody who names an address can have us call our own network: 70 ways to try, and listeners that would hear of it."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest
from house import House, Tenant, make_app, word
from inside import HOSTS, NAMES, PUBLIC, Inside, listening, resolve

from panless import outgoing
from vault.events.webhook_endpoints import MOST
from vault.lanes.news import deliver_once
from vault.outgoing import NotPosted, Posted
from vault.protocols.callbacks import is_allowed

REFUSED = {"address_refused", "name_not_resolved"}
SENT = {"Content-Type": "application/json"}


@pytest.fixture
def inside() -> Iterator[Inside]:
    with listening() as heard:
        yield heard


def _urls(inside: Inside, scheme: str = "https") -> list[str]:
    return [f"{scheme}://{host}:{inside.port}/latest/meta-data/" for host in HOSTS]


def test_the_listeners_would_hear_of_it(inside: Inside) -> None:
    """Without a look at addresses these targets are reached: what follows proves something."""
    mine = ("localhost", "127.1", "0x7f000001", "0177.0.0.1", "2130706433", "0", "[::1]", "[::ffff:7f00:1]")
    for number, host in enumerate((*mine, "inside.example", "mapped.example", "127\u30020\u30020\u30021"), start=1):
        url = f"http://{host}:{inside.port}/"
        outgoing.post(url, b"{}", SENT, fit=outgoing.anywhere, resolve=resolve, seconds=2)
        assert len(inside.came) == number, host


def test_no_target_is_dialled(inside: Inside) -> None:
    """However the address is written and wherever the name leads: refused before anything is dialled."""
    assert len(set(HOSTS)) >= 60
    for scheme in ("https", "http"):
        for url in _urls(inside, scheme):
            answer = outgoing.post(url, b"{}", SENT, resolve=resolve, seconds=2)
            assert isinstance(answer, NotPosted), url
            assert answer.reason in REFUSED, url
    assert inside.came == []


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308", "300", "401", "200"])
def test_no_answer_leads_inside(inside: Inside, status: str) -> None:
    """Redirects of all kinds, a Refresh, another service that is named: the answer is the answer."""
    there = f"http://127.0.0.1:{inside.port}/"
    head = f"HTTP/1.1 {status} X\r\nLocation: {there}\r\nRefresh: 0; url={there}\r\nLink: <{there}>; rel=preconnect\r\n"
    head += f'Alt-Svc: http/1.1="127.0.0.1:{inside.port}"\r\nContent-Length: 0\r\n\r\n'
    outside = ((socket.AF_INET, "127.0.0.2"),)
    with listening(*outside, answer=head.encode()) as public:
        ask = partial(outgoing.post, fit=lambda address: str(address) == "127.0.0.2", resolve=lambda *_: ["127.0.0.2"])
        assert ask(f"http://shop.example:{public.port}/", b"{}", SENT) == Posted(int(status))
    assert (len(public.came), inside.came) == (1, [])


def test_names_that_change_their_mind(inside: Inside) -> None:
    """A name that leads outside when it is looked up, and inside every time after that: it is looked up once."""
    with listening((socket.AF_INET, "127.0.0.2"), answer=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as public:
        for _ in range(5):
            answers = iter([["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]])
            answer = outgoing.post(
                f"http://rebinding.example:{public.port}/",
                b"{}",
                SENT,
                fit=lambda address: str(address) == "127.0.0.2",
                resolve=lambda *_, answers=answers: next(answers),
            )
            assert answer == Posted(200)
            assert next(answers) == ["127.0.0.1"]
    assert (len(public.came), inside.came) == (5, [])


def test_public_addresses_are_not_among_them() -> None:
    """What is refused is refused for where it is: the public one is not."""
    assert outgoing.is_global(outgoing.ip_address(PUBLIC))


@pytest.fixture
def shop(house: House) -> Tenant:
    """A tenant whose events go out by the program's own way, with the name server of these tests."""
    made = house.tenant()
    components = replace(house.components, post=partial(outgoing.post, resolve=resolve, seconds=2))
    return replace(made, house=replace(house, components=components, app=make_app(components)))


def test_webhooks_of_a_tenant(shop: Tenant, inside: Inside) -> None:
    """A tenant names all of them as its endpoints: what is taken is not dialled, and says why at each delivery."""
    urls = _urls(inside)
    taken = [_delivered(shop, urls[start : start + MOST]) for start in range(0, len(urls), MOST)]
    assert sum(taken) > 50
    assert inside.came == []


def _delivered(shop: Tenant, urls: list[str]) -> int:
    """How many of these were taken as endpoints, an event each sent there in vain, and taken away again."""
    endpoints = {}
    for url in urls:
        answer = shop.call("POST", "/v1/webhook-endpoints", {"url": url})
        assert answer.status_code in {201, 422}, url
        if answer.status_code == 201:
            endpoints[answer.get_json()["id"]] = url
    token = shop.token()
    assert shop.charge(token["id"], obligation=word()).status_code == 201
    for _ in range(3):
        deliver_once(shop.house.components.workshop, lambda *_: None)
    for endpoint, url in endpoints.items():
        [*deliveries] = shop.call("GET", f"/v1/webhook-endpoints/{endpoint}/deliveries").get_json()["data"]
        assert {each["status"] for each in deliveries} == {"pending"}
        assert {each["last_error"] for each in deliveries} - {None} <= REFUSED, url
        assert any(each["last_error"] for each in deliveries), url
        assert shop.call("DELETE", f"/v1/webhook-endpoints/{endpoint}").status_code == 204
    return len(endpoints)


@pytest.mark.parametrize("scheme", ["http", "HTTP", "ftp", "gopher", "file", "javascript", "ws", "unix", ""])
def test_only_https_is_taken(shop: Tenant, scheme: str) -> None:
    """No other scheme is an endpoint's or a callback's address."""
    url = f"{scheme}://shop.example/"
    assert shop.call("POST", "/v1/webhook-endpoints", {"url": url}).status_code == 422
    assert not is_allowed({"shop.example"}, shop.id, "cli", url)


def test_callbacks_of_a_controller(inside: Inside) -> None:
    """A callback goes to a host that was agreed on, however the address is dressed up; and then by the same way."""
    agreed = {"controller.example", f"controller.example:{inside.port}"}
    for url in _urls(inside):
        assert not is_allowed(agreed, "ten_1", "cli_1", url)
        for dressed in (
            url.replace("https://", "https://controller.example@"),
            url.replace("https://", "https://controller.example\\@"),
            url.replace("https://", "https://controller.example#@"),
            url.replace("https://", "https://controller.example\t@"),
        ):
            if is_allowed(agreed, "ten_1", "cli_1", dressed):
                raise AssertionError(dressed)
        netloc = urlsplit(url).netloc
        assert isinstance(outgoing.post(url, b"{}", SENT, resolve=resolve, seconds=2), NotPosted), netloc
    assert set(NAMES) < set(HOSTS)
    assert inside.came == []
