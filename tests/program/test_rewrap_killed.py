"""A hundred thousand DEKs move to a new KEK while clients are served, and the command that moves them is killed."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

from house import House, Tenant, serve
from http_calls import ask
from program_scene import PANLESS, PLAIN, until
from sqlalchemy import func, select

from bench.rewrap import fill
from keys import keks
from keys.database import reading
from keys.keystore import DEKS

DEKS_MADE, KILLS, PER_SECOND, CLIENTS = 100_000, 10, 50, 5


def on_kek(house: House, kek_id: bytes) -> int:
    with reading(house.components.keystore) as connection:
        return int(
            connection.scalar(select(func.count()).where(DEKS.c.kek_id == kek_id, DEKS.c.wrapped.is_not(None))) or 0
        )


@contextmanager
def served(url: str, tenant: Tenant, people: list[dict[str, str]]) -> Iterator[list[int]]:
    """Fifty requests a second: contacts, charges, new customers; the status of each answer."""
    stop, answers = Event(), []

    def client(number: int) -> None:
        turn, due = number, time.monotonic()
        while not stop.is_set():
            turn, due = turn + CLIENTS, due + CLIENTS / PER_SECOND
            answers.append(one_call(url, tenant, people, turn))
            time.sleep(max(0.0, due - time.monotonic()))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        yield answers
        stop.set()
        for each in clients:
            each.result()


def one_call(url: str, tenant: Tenant, people: list[dict[str, str]], turn: int) -> int:
    person = people[turn % len(people)]
    if turn % 10 == 0:
        card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}
        return ask(f"{url}/v1/tokens", tenant, "POST", {"type": "card", "card": card})[0]
    if turn % 10 < 4:
        order = {"token": person["id"], "amount": 100, "currency": "eur", "obligation": f"o-{turn}"}
        return ask(f"{url}/v1/charges", tenant, "POST", order, Idempotency_Key=f"k-{turn}")[0]
    return ask(f"{url}/v1/customers/{person['customer']}/billing-contact", tenant)[0]


def killed(command: list[str], house: House, has_begun: Callable[[], bool]) -> int:
    """Start it, let it do something, kill it at a moment of chance; its exit code."""
    with subprocess.Popen(command, env=PLAIN | house.environment, stderr=subprocess.DEVNULL) as program:
        until(lambda: has_begun() or program.poll() is not None, 60)
        time.sleep(random.uniform(0, 0.3))
        program.kill()
    return program.returncode


def test_killed_and_resumed_under_load(own_house: House, free_port: int) -> None:
    """Ten kills, fifty requests a second without an error; then nothing is left on the old KEK, everybody readable."""
    tenant, ring = own_house.tenant(), own_house.components.keyring
    people = [tenant.token(customer={"billing_contact": {"name": f"Person {n}"}}) for n in range(20)]
    old = ring.newest_kek(tenant.id)
    fill(ring, tenant.id, DEKS_MADE)
    with serve(own_house, free_port) as (_, url), served(url, tenant, people) as answers:
        assert keks.rotate(ring, tenant.id)
        for _ in range(KILLS):
            left = on_kek(own_house, old)
            assert left
            assert (
                killed([PANLESS, "keys", "rewrap"], own_house, lambda before=left: on_kek(own_house, old) < before)
                == -signal.SIGKILL
            )
        done = subprocess.run(
            [PANLESS, "keys", "rewrap"], env=PLAIN | own_house.environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert len(answers) > 500
    assert {*answers} <= {200, 201}, sorted({*answers})
    assert on_kek(own_house, old) == 0
    own_house.components.keyring.forget_cached()
    with reading(own_house.components.keystore) as connection:
        everybody = connection.scalars(select(DEKS.c.dek_id).where(DEKS.c.tenant_id == tenant.id)).all()
    assert len(everybody) > DEKS_MADE
    for start in range(0, len(everybody), 10_000):
        some = everybody[start : start + 10_000]
        assert len(ring.deks(tenant.id, some)) == len(some)
