"""Queueing events: a page of all tenants at a time, while endpoints are removed and have events sent again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from events_scene import URL, Receiver, deliver, endpoint, parsed, written
from house import Tenant
from records_scene import before_statements, rows
from sqlalchemy import delete, select

from rows.engine import transaction
from vault.events import queueing as event_queueing
from vault.events.webhook_endpoints import MOST
from vault.lanes.news import deliver_once
from vault.tables import event_deliveries, events, webhook_endpoints

WHERE_ROWS_ARE_LOCKED = pytest.mark.parametrize("house", ["postgresql"], indirect=True)
"""SQLite has one writer at a time."""


def test_there_are_not_too_many_endpoints(shop: Tenant) -> None:
    """Fifty in a mode; the next one is refused and says what to do."""
    for _ in range(MOST):
        endpoint(shop)
    refused = shop.call("POST", "/v1/webhook-endpoints", {"url": URL})
    assert (refused.status_code, refused.get_json()["code"]) == (409, "too_many_endpoints")


def test_a_page_is_of_all_tenants(shop: Tenant, receiver: Receiver) -> None:
    """A hundred at a time, whose endpoint wants them, once each."""
    other = replace(shop.house.tenant(), house=shop.house)
    endpoint(shop), endpoint(other, url="https://other.example/", events=["charge.succeeded", "token.active"])
    endpoint(other, url="https://none.example/", events=["charge.succeede"])
    while event_queueing.fan_out(shop.house.components.workshop):
        pass
    written(shop, shop.id, other.id, count=125)
    parts = shop.house.components.workshop
    assert [event_queueing.fan_out(parts) for _ in range(4)] == [100, 100, 50, 0]
    while deliver(shop) == [] and len(receiver.calls) < 250:
        pass
    for url in (URL, "https://other.example/"):
        told = [parsed(body)["data"]["number"] for where, body, _ in receiver.calls if where == url]
        assert sorted(told) == [*range(125)]
    assert len(receiver.calls) == 250


def test_nothing_is_begun_when_the_time_for_it_is_over(shop: Tenant, receiver: Receiver) -> None:
    """Receivers that hang hold up no other lane's round; the rest is delivered in the next."""
    endpoint(shop)
    written(shop, shop.id, count=3)
    deliver_once(shop.house.components.workshop, lambda *_: None, seconds=-1)
    assert receiver.calls == []
    assert deliver(shop) == []
    assert len(receiver.calls) == 3


@pytest.fixture
def pending(shop: Tenant) -> tuple[Tenant, str]:
    """A tenant with thirty events that are to be queued for its endpoint."""
    made = endpoint(shop)
    while event_queueing.fan_out(shop.house.components.workshop):
        pass
    written(shop, shop.id, count=30)
    return shop, made["id"]


@contextmanager
def meanwhile(shop: Tenant, words: str, call: tuple[object, ...]) -> Iterator[list[int]]:
    """Before the first statement with these words somebody else calls, and has half a second; what is answered."""
    answers: list[int] = []
    begun = threading.Event()
    other = threading.Thread(target=lambda: answers.append(shop.call(*call).status_code))

    def begin() -> None:
        if not begun.is_set():
            begun.set()
            other.start()
            time.sleep(0.5)

    with before_statements(shop.house.components.records, words, begin):
        yield answers
    other.join(10)


@WHERE_ROWS_ARE_LOCKED
def test_events_are_sent_again_while_they_are_queued(pending: tuple[Tenant, str]) -> None:
    """The endpoint's replay and the worker wait for each other, and never in a circle."""
    shop, ident = pending
    again = ("POST", f"/v1/webhook-endpoints/{ident}/replay", {"since": "2026-01-01T00:00:00Z"})
    with meanwhile(shop, "INSERT INTO event_deliveries", again) as answers:
        assert event_queueing.fan_out(shop.house.components.workshop) == 30
    with meanwhile(shop, "UPDATE events SET state", again) as more:
        written(shop, shop.id, count=30)
        assert event_queueing.fan_out(shop.house.components.workshop) == 30
    assert answers + more == [202, 202]
    found = rows(shop.house, event_deliveries, endpoint_id=ident)
    assert len(found) == len(rows(shop.house, events, tenant_id=shop.id)) >= 60
    assert {each.state for each in found} == {"pending"}


@WHERE_ROWS_ARE_LOCKED
@pytest.mark.parametrize("words", ["INSERT INTO event_deliveries", "UPDATE events SET state"])
def test_an_endpoint_is_removed_while_events_are_queued_for_it(pending: tuple[Tenant, str], words: str) -> None:
    """It is gone, with what was queued for it; other tenants' events are queued."""
    shop, ident = pending
    other = replace(shop.house.tenant(), house=shop.house)
    theirs = endpoint(other)["id"]
    written(shop, other.id, count=5)
    with meanwhile(shop, words, ("DELETE", f"/v1/webhook-endpoints/{ident}")) as answers:
        assert event_queueing.fan_out(shop.house.components.workshop) >= 35
    assert answers == [204]
    assert rows(shop.house, webhook_endpoints, endpoint_id=ident) == []
    assert len(rows(shop.house, event_deliveries, endpoint_id=theirs)) >= 5


@WHERE_ROWS_ARE_LOCKED
def test_a_removal_that_was_first_is_waited_for(pending: tuple[Tenant, str]) -> None:
    """Whoever queues sees the endpoint, then that it is gone: nothing fails."""
    shop, ident = pending
    queued: list[int] = []
    queueing = threading.Thread(target=lambda: queued.append(event_queueing.fan_out(shop.house.components.workshop)))
    with transaction(shop.house.components.records) as tx:
        tx.execute(delete(event_deliveries).where(event_deliveries.c.endpoint_id == ident))
        tx.execute(delete(webhook_endpoints).where(webhook_endpoints.c.endpoint_id == ident))
        queueing.start()
        time.sleep(0.5)
        assert queued == []
    queueing.join(10)
    assert queued == [30]
    assert rows(shop.house, event_deliveries, tenant_id=shop.id) == []


@WHERE_ROWS_ARE_LOCKED
def test_what_another_worker_queues_is_left_to_it(pending: tuple[Tenant, str]) -> None:
    """Nobody waits for it, and its events are not queued twice."""
    shop, _ = pending
    with transaction(shop.house.components.records) as tx:
        tx.execute(select(events.c.event_id).where(events.c.state == "pending").with_for_update(key_share=True))
        assert event_queueing.fan_out(shop.house.components.workshop) == 0
    assert event_queueing.fan_out(shop.house.components.workshop) == 30
