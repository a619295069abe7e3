"""More comes than can be done: a statement that waits holds up the queue, which is a second long then."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from failure_scene import Told, assert_paid_as_told, charge, outcomes, row, under_load, until
from house import House, serve
from noticing import GOOD, figure, probe
from ports import free_port
from sqlalchemy import text

from rows.engine import transaction

OVERLOADED = (503, "overloaded")


@contextmanager
def charges_locked(house: House) -> Iterator[None]:
    """No charge can be written down meanwhile."""
    with transaction(house.components.records) as tx:
        tx.execute(text("LOCK TABLE charges IN EXCLUSIVE MODE"))
        yield


@row("too much to do")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_too_much_to_do(own_house: House) -> None:
    """Who comes late is refused at once, and nothing begun; who has a turn, or was sent, and probes are served."""
    tenant, told = own_house.tenant(), list[Told]()
    key, token = tenant.keys["all"], tenant.token()
    bind = f"127.0.0.1:{free_port()}"
    few = {"PANLESS_WORKERS": "1", "PANLESS_CONNECTIONS": "2", "PANLESS_METRICS_BIND": bind}

    def one() -> None:
        told.append(charge(url, key, token["id"]))

    def some(count: int) -> list[threading.Thread]:
        begun = [threading.Thread(target=one) for _ in range(count)]
        for each in begun:
            each.start()
        return begun

    with serve(own_house, free_port(), **few) as (_, url):
        own_house.sandbox.fault(path="/v1/payment_intents", do="delay", seconds=3, when="after")
        before = len(own_house.sandbox.book()["charges"])
        sent = some(1)
        until(lambda: len(own_house.sandbox.book()["charges"]) > before)
        with charges_locked(own_house):
            waiting = some(6)
            time.sleep(1.5)
            late = [charge(url, key, token["id"]) for _ in range(5)]
            assert outcomes(late) == {OVERLOADED}
            assert {each.retry_after for each in late} == {"1"}
            assert max(each.at - each.begun for each in late) < 1
            assert (probe(url, "/livez"), probe(url, "/readyz")) == (GOOD, GOOD)
        for each in sent + waiting:
            each.join()
        assert outcomes(told) == {(201, None)}
        with under_load(url, key, token) as load:
            until(lambda: OVERLOADED not in outcomes(load.next()))
            until(lambda: figure(bind, "panless_overloaded_total") >= len(late))
    assert_paid_as_told(tenant, told + late + load.told)
