"""How often clients may call: told on every answer, refused beyond it, and let through when nobody can count."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from api_scene import fixed, problem
from flask import Flask
from house import House, Tenant, make_app
from limits import parse
from limits.storage import MemoryStorage, Storage
from limits_scene import LIMIT, ask

from api.rate_limits import REST_SECONDS, RateLimits
from panless.serving.limits_store import InProcess

Limited = Callable[..., Flask]


class Hanging(MemoryStorage):
    """A store that is away until it is back."""

    away = True
    asked = 0

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        self.asked += 1
        if self.away:
            raise ValueError("nobody there")
        return super().incr(key, expiry, amount)


def limits(store: Storage, clients: str = "5/hour", failures: str = "3/hour", **clocks: Any) -> RateLimits:
    wanted = {"clock": time.time, **clocks}
    return RateLimits(store, clients=parse(clients), failures=parse(failures), **wanted)


def door(house: House, made: RateLimits) -> Flask:
    return make_app(replace(house.components, limits=made))


def test_a_client_is_told_and_refused(tenant: Tenant) -> None:
    """Each answer says how many calls are left and when they come back; beyond: 429, not done, for this client only."""
    app = door(tenant.house, limits(MemoryStorage()))
    for left in (4, 3, 2, 1):
        answer = ask(app, tenant.keys["all"])
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"client";q=5;w=3600'
        said = LIMIT.fullmatch(answer.headers["RateLimit"])
        assert said is not None
        assert (said[1], int(said[2])) == ("client", left)
        assert 3590 < int(said[3]) <= 3600
    assert ask(app, tenant.keys["all"], path="/v1/nothing").headers.get("RateLimit") is None
    assert ask(app, tenant.keys["all"], path="/v1/charges?wrong=1").headers["RateLimit"].startswith('"client";r=0;')
    refused = ask(app, tenant.keys["all"])
    problem(refused, 429, "rate_limited")
    assert 3590 < int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["RateLimit"].startswith('"client";r=0;')
    assert ask(app, tenant.keys["admin"]).status_code == 200
    assert ask(app, tenant.house.tenant().keys["all"]).status_code == 200


def test_nothing_is_done_beyond_the_limit(tenant: Tenant) -> None:
    """A charge that is refused is not sent, and goes through with the same key afterwards."""
    token = tenant.token()["id"]
    app = door(tenant.house, limits(MemoryStorage(), clients="1/hour"))
    ask(app, tenant.keys["billing"])
    order = {"token": token, "amount": 100, "currency": "eur", "obligation": "INV-RL"}
    headers = {"Authorization": f"Bearer {tenant.keys['billing']}", "Idempotency-Key": "limited-1"}
    problem(app.test_client().post("/v1/charges", json=order, headers=headers), 429, "rate_limited")
    assert tenant.call("GET", "/v1/charges?obligation=INV-RL").get_json()["data"] == []
    assert tenant.house.app.test_client().post("/v1/charges", json=order, headers=headers).status_code == 201


def test_failures_are_counted_by_address(tenant: Tenant) -> None:
    """Who shows no valid key too often is told so; a valid key from there is answered all the same."""
    app = door(tenant.house, limits(MemoryStorage()))
    for key in ("", "panless_test_x", tenant.keys["all"][:-1]):
        problem(ask(app, key, "192.0.2.1"), 401, "unauthenticated")
    for key in ("", tenant.keys["all"][:-1] + "g"):  # no hex digit
        problem(ask(app, key, "192.0.2.1"), 429, "rate_limited")
        problem(ask(app, key, "::ffff:192.0.2.1"), 429, "rate_limited")
    assert fixed(ask(app, "x", "192.0.2.1"))[1] == fixed(ask(app, "y", "192.0.2.1"))[1]
    problem(ask(app, "", "192.0.2.2"), 401, "unauthenticated")
    assert ask(app, tenant.keys["all"], "192.0.2.1").status_code == 200


def test_a_v6_network_is_one_address(house: House) -> None:
    """Another address of the same /64 is the same customer; of the next /64 another one."""
    app = door(house, limits(MemoryStorage()))
    for number in range(3):
        assert ask(app, "", f"2001:db8::{number}").status_code == 401
    assert ask(app, "", "2001:db8::ffff:1").status_code == 429
    assert ask(app, "", "2001:db8:0:1::1").status_code == 401


def test_a_store_that_is_away_stops_nobody(tenant: Tenant) -> None:
    """Calls go through uncounted and are told of; the store is left alone for a while, and asked again after it."""
    now, store = [100.0], Hanging(wrap_exceptions=True)
    made = limits(store, monotonic=lambda: now[0])
    app = door(tenant.house, made)
    for _ in range(10):
        answer = ask(app, tenant.keys["all"])
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
    problem(ask(app, "x"), 401, "unauthenticated")
    assert store.asked == 1
    assert (made.take_uncounted(), made.take_uncounted()) == (11, 0)
    store.away = False
    assert "RateLimit" not in ask(app, tenant.keys["all"]).headers
    now[0] += REST_SECONDS
    assert ask(app, tenant.keys["all"]).headers["RateLimit"].startswith('"client";r=4;')


def test_old_counts_are_forgotten(house: House) -> None:
    """Addresses come and go: what is kept of them goes with their window, and no thread is made by a call."""
    store = InProcess()
    app = door(house, limits(store, failures="3/second"))
    for number in range(50):
        ask(app, "", f"192.0.2.{number}")
    store.timer.join(0.1)
    before = threading.active_count()
    ask(app, "", "192.0.2.50")
    assert threading.active_count() == before
    assert len(store.storage) > 30
    time.sleep(1.1)
    store.forget()
    assert not store.storage
    store.timer.cancel()


def test_without_limits_nothing_is_said(tenant: Tenant) -> None:
    """Off unless it is set: no header, no count."""
    for _ in range(3):
        assert not [name for name, _ in tenant.call("GET", "/v1/charges").headers if name.startswith("RateLimit")]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/openapi.json"])
def test_open_pages_are_not_counted(house: House, path: str) -> None:
    """Health checks come as often as they come."""
    app = door(house, limits(MemoryStorage(), failures="1/hour"))
    assert {ask(app, "", path=path).status_code for _ in range(5)} == {200}
