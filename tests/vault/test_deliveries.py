"""Deliveries to endpoints that fail, hang or refuse: an attempt is a call, and nobody waits for another's server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from math import ceil
from typing import Any

import pytest
from events_scene import deliver, endpoint, let_pass, parsed, queued, waiting
from house import Tenant, make_app
from records_scene import row, rows
from sqlalchemy import event

from rows.engine import reader_of
from vault.lanes.news import deliver_once, retry_once
from vault.outgoing import NotPosted, Posted
from vault.tables import event_deliveries, webhook_endpoints

HOST = "https://shop.example"
Answer = Callable[[bytes], Posted | NotPosted]


class Server:
    """A tenant's server, on which each path answers in its own way; it keeps who called it, and how many at once."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.calls: list[tuple[str, bytes]] = []
        self.most: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._lock = threading.Lock()

    def post(self, url: str, body: bytes, _headers: Any) -> Posted | NotPosted:
        path = url.rpartition("/")[2]
        with self._lock:
            self.calls.append((path, body))
            self._now[path] = self._now.get(path, 0) + 1
            self.most[path] = max(self.most.get(path, 0), self._now[path])
        try:
            return self.answers[path](body)
        finally:
            with self._lock:
                self._now[path] -= 1

    def called(self, path: str) -> list[bytes]:
        return [body for where, body in self.calls if where == path]


def well(_: bytes) -> Posted:
    return Posted(200)


def badly(_: bytes) -> Posted:
    return Posted(500)


def every_second() -> Answer:
    number = count()
    return lambda _: Posted(500 if next(number) % 2 else 200)


def slowly(seconds: float, answer: Posted | NotPosted) -> Answer:
    def hang(_: bytes) -> Posted | NotPosted:
        time.sleep(seconds)
        return answer

    return hang


def served(shop: Tenant, server: Server) -> tuple[Tenant, dict[str, str]]:
    """The shop, its events going to that server; an endpoint for each of its paths, by id."""
    components = replace(shop.house.components, post=server.post)
    moved = replace(shop, house=replace(shop.house, components=components, app=make_app(components)))
    return moved, {path: endpoint(moved, url=f"{HOST}/{path}")["id"] for path in server.answers}


def of(shop: Tenant, ident: str) -> list[Any]:
    return list(rows(shop.house, event_deliveries, endpoint_id=ident))


def next_due(shop: Tenant) -> float:
    """In how many seconds the next call may be made."""
    paused = {each.endpoint_id: each.next_call_at for each in rows(shop.house, webhook_endpoints, tenant_id=shop.id)}
    moments = [
        max(each.next_attempt_at, paused[each.endpoint_id] or each.next_attempt_at)
        for each in rows(shop.house, event_deliveries, tenant_id=shop.id, state="pending")
    ]
    return max(0.0, ceil((min(moments) - datetime.now(UTC)).total_seconds() * 10) / 10)


def statements_of(shop: Tenant) -> int:
    """How many statements a round is."""
    records, seen = shop.house.components.records, list[str]()
    engines = (records, reader_of(records))

    def note(*call: Any) -> None:
        seen.append(call[2])

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        deliver(shop)
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
    return len(seen)


def test_an_endpoint_that_fails_half_of_the_time(shop: Tenant) -> None:
    """An attempt is a call. All of 500 arrive within the hour, half in seconds; an endpoint beside it does not wait."""
    server = Server(flaky=every_second(), good=well)
    shop, ids = served(shop, server)
    queued(shop, 500)
    virtual, arrived = 0.0, dict[str, list[float]](flaky=[], good=[])
    while sum(map(len, arrived.values())) < 1000:
        assert deliver(shop) == []
        for path, ident in ids.items():
            done = sum(each.state == "delivered" for each in of(shop, ident))
            arrived[path] += [virtual] * (done - len(arrived[path]))
        if len(arrived["flaky"]) < 500:
            seconds = next_due(shop)
            let_pass(shop, seconds)
            virtual += seconds
    for path, ident in ids.items():
        assert sum(each.attempts for each in of(shop, ident)) == len(server.called(path))
    assert len(server.called("good")) == 500
    assert max(arrived["good"]) < 10
    assert sorted(arrived["flaky"])[250] < 10
    assert max(arrived["flaky"]) < 3600


def test_an_endpoint_that_is_away(shop: Tenant) -> None:
    """It is tried one call at a time, later each time, at most an hour apart; then all that waited arrives at once."""
    server = Server(away=badly, good=well)
    shop, ids = served(shop, server)
    queued(shop, 50)
    deliver(shop)
    assert len(server.called("good")) == 50
    first, pauses = len(server.called("away")), []
    assert first <= 8
    while not pauses or pauses[-1] < 3600:
        pauses.append(next_due(shop))
        let_pass(shop, pauses[-1])
        deliver(shop)
        assert len(server.called("away")) == first + len(pauses)
    assert pauses[:4] == pytest.approx([5, 5, 10, 20], abs=1.5)
    assert all(one <= two + 1.5 for one, two in pairwise(pauses))
    let_pass(shop, 3600)
    deliver(shop)
    assert next_due(shop) == pytest.approx(3600, abs=2)
    assert sum(each.attempts for each in of(shop, ids["away"])) == len(server.called("away"))
    server.answers["away"] = well
    let_pass(shop, 3600)
    deliver(shop)
    assert {each.state for each in of(shop, ids["away"])} == {"delivered"}
    assert row(shop.house, webhook_endpoints, endpoint_id=ids["away"]).failing_since is None


def test_a_backlog_that_waits_costs_nothing(shop: Tenant) -> None:
    """A round over deliveries whose endpoint is left alone: as many statements for ten as for five hundred."""
    server = Server(away=badly)
    shop, ids = served(shop, server)
    counted = []
    for more in (10, 490):
        queued(shop, more)
        deliver(shop)
        calls = len(server.calls)
        counted.append(statements_of(shop))
        assert len(server.calls) == calls
    assert len(of(shop, ids["away"])) == 500
    assert counted[0] == counted[1] <= 5


def test_servers_that_hang_hold_up_nobody(shop: Tenant) -> None:
    """Twenty endpoints of the same host hang, at first and again: one that answers is told at once."""
    server = Server(good=well, **{f"slow{each}": slowly(3, NotPosted("no_answer")) for each in range(20)})
    shop, _ = served(shop, server)
    with lanes_running(shop):
        for told in count(1):
            queued(shop, 1)
            began = time.monotonic()
            while len(server.called("good")) < told:
                time.sleep(0.02)
                assert time.monotonic() - began < 2.5
            if len(server.calls) - told >= 40:
                break
            time.sleep(1)


@contextmanager
def lanes_running(shop: Tenant) -> Iterator[None]:
    """Both lanes, each in a thread of its own, as the worker runs them."""
    stop = threading.Event()

    def run(lane: Callable[..., int]) -> None:
        while not stop.wait(0.1):
            lane(shop.house.components.workshop, lambda *_: None)

    threads = [threading.Thread(target=run, args=(lane,)) for lane in (deliver_once, retry_once)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_one_event_that_is_refused_holds_up_no_other(shop: Tenant) -> None:
    """The endpoint answers the others: they arrive, and it is not taken for one that fails."""
    server = Server(picky=lambda body: Posted(500 if parsed(body)["data"]["number"] == 3 else 200))
    shop, ids = served(shop, server)
    queued(shop, 40)
    deliver(shop)
    found = of(shop, ids["picky"])
    assert sorted(each.state for each in found) == ["delivered"] * 39 + ["pending"]
    assert row(shop.house, webhook_endpoints, endpoint_id=ids["picky"]).failing_since is None
    queued(shop, 1)
    deliver(shop)
    assert sum(each.attempts for each in of(shop, ids["picky"])) == len(server.calls) == 41


def test_several_at_once_while_it_answers(shop: Tenant) -> None:
    """A slow endpoint is not called one after the other; one that fails is."""
    server = Server(slow=slowly(0.2, Posted(200)), away=slowly(0.05, Posted(500)))
    shop, _ = served(shop, server)
    queued(shop, 40)
    began = time.monotonic()
    deliver(shop)
    assert len(server.called("slow")) == 40
    assert time.monotonic() - began < 4
    assert 1 < server.most["slow"] <= 8
    server.most["away"] = 0
    let_pass(shop, 30)
    deliver(shop)
    assert server.most["away"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"url": f"{HOST}/good"}),
        ("PATCH", "", {"status": "enabled"}),
        ("POST", "/replay", {"since": "2026-01-01T00:00:00Z"}),
    ],
    ids=["moved", "enabled", "replayed"],
)
def test_an_endpoint_that_was_mended_is_called_at_once(
    shop: Tenant, method: str, path: str, body: dict[str, str]
) -> None:
    """Whoever names another URL, enables it or wants events again need not wait for the end of its pause."""
    server = Server(away=badly, good=well)
    shop, ids = served(shop, server)
    queued(shop, 1)
    deliver(shop)
    waiting(shop, endpoints=False)
    deliver(shop)
    assert len(server.called("away")) == 1
    server.answers["away"] = well
    assert shop.call(method, f"/v1/webhook-endpoints/{ids['away']}{path}", body).status_code < 300
    deliver(shop)
    assert {each.state for each in of(shop, ids["away"])} == {"delivered"}


def test_three_days(shop: Tenant) -> None:
    """Then it is disabled, not sooner and an hour later at most; what was never sent is, once it is enabled again."""
    server = Server(away=badly)
    shop, ids = served(shop, server)
    queued(shop, 200)
    deliver(shop)
    virtual = 0.0
    while row(shop.house, webhook_endpoints, endpoint_id=ids["away"]).state == "enabled":
        virtual += (seconds := next_due(shop))
        let_pass(shop, seconds)
        deliver(shop)
    assert 3 * 24 * 3600 - 30 <= virtual <= (3 * 24 + 1) * 3600 + 30
    found = of(shop, ids["away"])
    assert sum(each.attempts for each in found) == len(server.calls) < 100
    server.answers["away"] = well
    shop.call("PATCH", f"/v1/webhook-endpoints/{ids['away']}", {"status": "enabled"})
    for _ in range(3):
        deliver(shop)
        let_pass(shop, 3600)
    found = of(shop, ids["away"])
    assert {each.state for each in found} == {"delivered"}
    assert sum(each.attempts for each in found) == len(server.calls)


def test_when_it_is_tried_again_is_shown(shop: Tenant) -> None:
    """No sooner than its endpoint is called again."""
    server = Server(away=badly)
    shop, ids = served(shop, server)
    queued(shop, 20)
    deliver(shop)
    shown = shop.call("GET", f"/v1/webhook-endpoints/{ids['away']}/deliveries?limit=100").get_json()["data"]
    soonest = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    assert len(shown) == 20
    assert min(each["next_attempt_at"] for each in shown) > soonest
