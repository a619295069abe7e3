"""Calls over HTTP, as a client makes them."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

from house import PURPOSE, Tenant

PER_SECOND, CLIENTS = 50, 5


def ask(url: str, tenant: Tenant, method: str = "GET", body: object = None, **headers: str) -> tuple[int, Any]:
    """Status and body of an answer. Raises OSError where there is none."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Authorization": f"Bearer {tenant.keys['all']}", "Content-Type": "application/json", **PURPOSE, **named}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=30) as answered:
            return answered.status, json.loads(answered.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())


@contextmanager
def served(url: str, tenant: Tenant, people: list[dict[str, str]]) -> Iterator[list[int]]:
    """Fifty requests a second: contacts, charges, new customers; the status of each answer, 0 for none."""
    stop, answers = Event(), []

    def client(number: int) -> None:
        turn, due = number, time.monotonic()
        while not stop.is_set():
            turn, due = turn + CLIENTS, due + CLIENTS / PER_SECOND
            try:
                answers.append(one_call(url, tenant, people, turn))
            except OSError:
                answers.append(0)
            time.sleep(max(0.0, due - time.monotonic()))

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(client, number) for number in range(CLIENTS)]
        try:
            yield answers
        finally:
            stop.set()  # after a failure too: the pool waits for its clients
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
