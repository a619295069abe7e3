"""What tests of docs/failures.md share: calls over HTTP while a part is away, and light load."""

import json
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import pytest
from house import PURPOSE, Tenant, word

from vault.money.charge.charges import obligation_digest

CLIENTS, PACE = 3, 0.15
"""Who charges and reads in the background, and how many seconds each rests between two calls."""

LONGEST = 60.0
"""Seconds after which what should have come will not, on a machine that has other things to do."""

row = pytest.mark.failure_row
"""Names the row of docs/failures.md that a test shows: its first cell. `test_each_row.py` holds both together."""


@dataclass(frozen=True)
class Told:
    """One call, when it was begun and answered, and with what; status 0 where there was no answer."""

    what: str
    obligation: str
    begun: float
    at: float
    status: int
    body: dict[str, Any]
    retry_after: str | None = None

    @property
    def outcome(self) -> tuple[int, str | None]:
        return self.status, self.body.get("code")


def ask(url: str, key: str, method: str = "GET", body: object = None, **headers: str) -> Told:
    """Status and body of an answer."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **PURPOSE, **named}
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=LONGEST) as good:
            shown = good.read() if "json" in good.headers["Content-Type"] else good.read() and b"{}"
            return Told("", "", begun, time.monotonic(), good.status, json.loads(shown))
    except urllib.error.HTTPError as bad:
        with bad:
            body_ = json.loads(bad.read())
            return Told("", "", begun, time.monotonic(), bad.code, body_, bad.headers["Retry-After"])
    except OSError:
        return Told("", "", begun, time.monotonic(), 0, {})


def charge(url: str, key: str, token: str, obligation: str | None = None) -> Told:
    """A charge for an obligation of its own unless one is named."""
    due = obligation or word()
    order = {"token": token, "amount": 1234, "currency": "eur", "obligation": due}
    told = ask(f"{url}/v1/charges", key, "POST", order, Idempotency_Key=word())
    return Told("charge", due, told.begun, told.at, told.status, told.body, told.retry_after)


def read(url: str, key: str, customer: str) -> Told:
    """A look at a contact, which needs the customer's key and is on the record."""
    told = ask(f"{url}/v1/customers/{customer}/billing-contact", key)
    return Told("read", "", told.begun, told.at, told.status, told.body, told.retry_after)


def patient(call: Callable[[], Told]) -> Told:
    """The answer to a client that comes again while it meets connections that have ended."""
    end = time.monotonic() + LONGEST
    while (told := call()).outcome == (503, "database_unavailable") and time.monotonic() < end:
        time.sleep(0.2)
    return told


@dataclass
class Load:
    """What the clients in the background were told so far."""

    told: list[Told] = field(default_factory=list)

    def next(self, count: int = 6) -> list[Told]:
        """As many charges and as many looks as are begun and answered from now on, and more."""
        now = time.monotonic()
        until(lambda: all(each >= count for each in map(self._since(now).count, ("charge", "read"))))
        return [each for each in self.told if each.begun >= now]

    def _since(self, moment: float) -> list[str]:
        return [each.what for each in self.told if each.begun >= moment]


@contextmanager
def under_load(url: str, key: str, token: dict[str, Any]) -> Iterator[Load]:
    """A few clients charge the token and look at its customer's contact, one call after the other."""
    load, stop = Load(), Event()

    def client() -> None:
        while not stop.wait(PACE):
            load.told.append(charge(url, key, token["id"]))
            load.told.append(read(url, key, token["customer"]))

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(client) for _ in range(CLIENTS)]
        try:
            yield load
        finally:
            stop.set()  # after a failure too: the pool waits for its clients
        for each in running:
            each.result()


def outcomes(told: list[Told], what: str | None = None) -> set[tuple[int, str | None]]:
    """Statuses and codes of what was told, of charges or looks alone where one is named."""
    return {each.outcome for each in told if what in {None, each.what}}


WELL: set[tuple[int, str | None]] = {(201, None), (200, None)}


def paid(tenant: Tenant, told: list[Told]) -> dict[str, int]:
    """How often the processor was paid for each obligation among these charges."""
    known = Counter(each["metadata"].get("panless_for") for each in tenant.house.sandbox.book()["charges"])
    charges = [each.obligation for each in told if each.what == "charge"]
    digests = {each: obligation_digest(tenant.desk, each) for each in charges}
    return {each: known[digest.hex()] for each, digest in digests.items() if digest is not None}


def assert_paid_as_told(tenant: Tenant, told: list[Told]) -> None:
    """What was told to be paid was paid once, what was refused was not paid, and nothing twice."""
    times = paid(tenant, told)
    for each in told:
        if each.what == "charge":
            allowed = {201: {1}, 202: {0, 1}, 0: {0, 1}}.get(each.status, {0})
            assert times[each.obligation] in allowed, (each, times[each.obligation])


def until(true: Callable[[], Any], seconds: float = LONGEST) -> float:
    """Wait for it; the seconds that it took."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"it did not come true within {seconds:.0f} s"
        time.sleep(0.05)
    return time.monotonic() - begun
