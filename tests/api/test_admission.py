"""Admission: who has a turn finds what it needs, who waits is served in order, and the rest are refused at once."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from api_scene import problem
from house import Tenant, make_app

from api.admission import LONG, LONGEST_WAIT, Admission, Overloaded, has_hung_up


class Clock:
    """Seconds that go on when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def started(pool: ThreadPoolExecutor, work: Callable[[], Any], admission: Admission) -> Future[Any]:
    """Some work that waits for its turn, once it is in the queue."""
    before = admission.waiting
    running = pool.submit(work)
    while admission.waiting == before and not running.done():
        time.sleep(0.001)
    return running


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def test_turns_go_in_the_order_of_coming(pool: ThreadPoolExecutor) -> None:
    """As many as there are turns are served at once, the others one after the other as turns are given back."""
    admission, served = Admission(2, Clock()), list[int]()
    turns = [admission.enter(), admission.enter()]
    assert [turn.waited for turn in turns] == [0, 0]
    others = [started(pool, lambda n=number: (admission.enter(), served.append(n)), admission) for number in range(3)]
    assert served == []
    for count in (1, 2, 3):
        admission.give()
        others[count - 1].result(5)
        assert served == [*range(count)]


def test_who_comes_back_from_a_processor_goes_first(pool: ThreadPoolExecutor) -> None:
    """Its turn is another's while it waits there; once it comes back the next free turn is its own."""
    admission, order, answered = Admission(1, Clock()), list[str](), threading.Event()

    def charge() -> None:
        turn = admission.enter()
        with turn.aside():
            answered.wait(5)
        order.append("concluded")
        turn.leave()

    charging = pool.submit(charge)
    mine = admission.enter()  # the turn that it gave away
    new = started(pool, lambda: (admission.enter(), order.append("new"), admission.give()), admission)
    before = admission.waiting
    answered.set()
    while admission.waiting == before:
        time.sleep(0.001)
    mine.leave()
    charging.result(5), new.result(5)
    assert order == ["concluded", "new"]


def test_a_long_queue_takes_nobody_in(pool: ThreadPoolExecutor) -> None:
    """Where the first has waited for longer than a second who comes is refused at once; who waits is served still."""
    clock = Clock()
    admission = Admission(1, clock)
    turn = admission.enter()
    waits = [started(pool, admission.enter, admission) for _ in range(2)]
    clock.now = LONGEST_WAIT + 0.1
    with pytest.raises(Overloaded):
        admission.enter()
    assert (admission.take_refused(), admission.take_refused()) == (1, 0)
    with turn.aside():  # whoever was sent somewhere concludes, however long the queue is
        waits[0].result(5).leave()
        waits[1].result(5).leave()
    turn.leave()
    assert admission.enter().waited == 0


def test_a_request_that_ends_while_it_is_aside_gives_its_turn_back_once(pool: ThreadPoolExecutor) -> None:
    """Also where it ends as it waits to come back: two others are never served where one may be."""
    admission = Admission(1, Clock())
    turn = admission.enter()
    with pytest.raises(KeyboardInterrupt), turn.aside():
        raise KeyboardInterrupt
    turn.leave()
    turn.leave()
    admission.enter()
    other = started(pool, admission.enter, admission)
    assert (admission.waiting, other.done()) == (1, False)
    admission.give()
    other.result(5)


def test_refused_at_the_door(tenant: Tenant, pool: ThreadPoolExecutor) -> None:
    """503 with Retry-After, nothing is begun, and the turn of who was served is given back; probes need no turn."""
    clock = Clock()
    admission = Admission(1, clock)
    busy = replace(tenant, house=replace(tenant.house, app=make_app(tenant.house.components, admission=admission)))
    assert busy.call("GET", "/v1/charges").status_code == 200
    assert busy.call("GET", "/v1/nothing").status_code == 404
    turn = admission.enter()
    waits = started(pool, admission.enter, admission)
    clock.now = LONGEST_WAIT + 0.1
    refused = busy.tokenize()
    assert problem(refused, 503, "overloaded")
    assert refused.headers["Retry-After"] == "1"
    assert [busy.call("GET", path).status_code for path in ("/livez", "/readyz")] == [200, 200]
    turn.leave()
    waits.result(5).leave()
    assert busy.token()["status"] == "active"


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        yield client, stack.enter_context(listener.accept()[0])


def test_a_client_that_has_gone() -> None:
    """It is known by its connection, whether or not what it sent is read; without a socket nobody is gone."""
    assert not has_hung_up({})
    with connected() as (client, served):
        client.sendall(b"more")
        assert not has_hung_up({"gunicorn.socket": served})
        client.close()
        time.sleep(0.05)
        assert has_hung_up({"gunicorn.socket": served})


def test_what_the_client_gave_up_is_not_begun(tenant: Tenant, pool: ThreadPoolExecutor) -> None:
    """Its turn comes after it has hung up: nothing is charged."""
    clock = Clock()
    admission = Admission(1, clock)
    busy = make_app(tenant.house.components, admission=admission)
    token = tenant.token()["id"]
    turn = admission.enter()
    order = {"token": token, "amount": 100, "currency": "eur", "initiator": "customer"}
    headers = {"Authorization": f"Bearer {tenant.keys['all']}", "Idempotency-Key": "gone"}
    with connected() as (client, served):
        ask = lambda: busy.test_client().post(  # noqa: E731  # what a thread does
            "/v1/charges", json=order, headers=headers, environ_base={"gunicorn.socket": served}
        )
        asked = started(pool, ask, admission)
        client.close()
        time.sleep(0.05)
        clock.now = LONG
        turn.leave()
        assert asked.result(5).status_code == 503
    assert tenant.charges_at_processor() == []
    assert admission.enter().waited == 0
