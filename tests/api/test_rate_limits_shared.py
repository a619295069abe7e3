"""Rate limits that several processes count together, over Redis' protocol; its server also hung and gone."""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from house import House, Tenant, make_app
from limits_scene import LIMIT, ask
from redis_standin import Store

from panless.serving.limits_store import PATIENCE, rate_limits
from panless.settings.environment import Settings
from vault.personal import Secret


@pytest.fixture
def store(free_port: int) -> Iterator[Store]:
    made = Store(free_port)
    yield made
    made.stop()


def settings(house: House, store: Store, **changed: object) -> Settings:
    url = Secret(f"redis://127.0.0.1:{store.port}/0")
    return replace(house.components.settings, rate_limit="100/hour", rate_limit_store=url, **changed)


def test_processes_count_together(tenant: Tenant, store: Store) -> None:
    """What one process counts, the next one goes on from."""
    house = tenant.house
    doors = [make_app(replace(house.components, limits=rate_limits(settings(house, store)))) for _ in range(2)]
    found = [LIMIT.fullmatch(ask(app, tenant.keys["all"]).headers["RateLimit"]) for app in (*doors, *doors)]
    assert [said and said[2] for said in found] == ["99", "98", "97", "96"]


@contextmanager
def slowed(port: int, seconds: float) -> Iterator[int]:
    """A port that leads to this one, and takes so long for each piece on the way there."""

    def carry(source: socket.socket, target: socket.socket, pause: float) -> None:
        with suppress(OSError), target:
            while piece := source.recv(65536):
                time.sleep(pause)
                target.sendall(piece)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, far = listener.accept()[0], socket.create_connection(("127.0.0.1", port))
                for ends in ((near, far, seconds), (far, near, 0)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_store_that_is_slow_is_away(tenant: Tenant, store: Store) -> None:
    """The time that it has is for all that one count takes; later ones do not wait, and nobody is refused."""
    with slowed(store.port, PATIENCE * 0.8) as port:
        url = Secret(f"redis://127.0.0.1:{port}/0")
        made = rate_limits(replace(settings(tenant.house, store), rate_limit_store=url))
        app = make_app(replace(tenant.house.components, limits=made))
        began = time.monotonic()
        answers = [ask(app, tenant.keys["all"]) for _ in range(6)]
        assert time.monotonic() - began < 4 * PATIENCE
    assert {answer.status_code for answer in answers} == {200}
    assert made.take_uncounted() == 6


@pytest.mark.parametrize("hung", [True, False], ids=["hung", "gone"])
def test_a_store_that_is_away_costs_nobody_time(tenant: Tenant, store: Store, *, hung: bool) -> None:
    """The first call waits a moment, the next ones do not; none is refused; the store is used again when it is back."""
    made = rate_limits(settings(tenant.house, store))
    app = make_app(replace(tenant.house.components, limits=made))
    assert "RateLimit" in ask(app, tenant.keys["all"]).headers
    if hung:
        os.kill(store.process.pid, signal.SIGSTOP)
    else:
        store.stop()
    start = time.monotonic()
    for _ in range(10):
        answer = ask(app, tenant.keys["all"])
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers
    assert time.monotonic() - start < 2
    assert made.take_uncounted() == 10
    if hung:
        os.kill(store.process.pid, signal.SIGCONT)
    else:
        store.start()
    end = time.monotonic() + 20
    while "RateLimit" not in ask(app, tenant.keys["all"]).headers:
        assert time.monotonic() < end
        time.sleep(0.2)
