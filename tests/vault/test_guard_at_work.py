import socket
import time
from collections import Counter

import pytest
from depth import deep
from house import House, Tenant, serve, token_order
from http_calls import ask
from records_scene import at_once
from running_worker import worker

from bench.standing import policy_for_many
from keys.keystore import BEGINNING
from vault.ledger.book import chain
from vault.ledger.guard import inspect

SECONDS = deep(60, at_least=15)
FINDINGS = ("records_restored", "keystore_restored", "ledger_cut", "_unavailable", "not_working", "heartbeat_failed")


@pytest.fixture
def other_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def erase_until(end: float, here: str, there: str, tenant: Tenant) -> Counter[tuple[int, ...]]:
    """Customers made and erased at one server and asked for at the other one; what was answered, how often."""
    seen: Counter[tuple[int, ...]] = Counter()
    while time.monotonic() < end:
        made, token = ask(f"{here}/v1/tokens", tenant, "POST", token_order())
        customer = f"/v1/customers/{token.get('customer')}"
        erased, _ = ask(here + customer, tenant, "DELETE")
        gone, _ = ask(f"{there}{customer}/billing-contact", tenant)
        ready, _ = ask(f"{there}/readyz", tenant)
        seen[made, erased, gone, ready] += 1
    return seen


def allow_any_rate(house: House) -> None:
    """A policy under which one person may erase as many as a fast machine does in a minute."""
    house.environment["PANLESS_POLICY"] = str(policy_for_many(house.home))


@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_the_guard_never_fires_by_itself(own_house: House, free_port: int, other_port: int) -> None:
    """Two servers and a worker erase as fast as they can, and the guard looks: nothing is ever refused."""
    tenant, parts = own_house.tenant(), own_house.components
    allow_any_rate(own_house)
    verdicts: Counter[str] = Counter()
    with serve(own_house, free_port) as (_, one), serve(own_house, other_port) as (_, two), worker(own_house) as log:
        end = time.monotonic() + SECONDS

        def act(number: int) -> Counter[tuple[int, ...]]:
            if number < 4:
                return erase_until(end, *((one, two) if number % 2 else (two, one)), tenant)
            while time.monotonic() < end:
                verdicts[inspect(parts.records, parts.ledger).code] += 1
            return Counter()

        seen: Counter[tuple[int, ...]] = sum(at_once(5, act), Counter())
    said = (own_house.home / "server.log").read_text() + log.read_text()
    found = [line for line in said.splitlines() if any(finding in line for finding in FINDINGS)]
    assert not found, "\n".join(found)
    assert (set(seen), set(verdicts)) == ({(201, 202, 410, 200)}, {"good"})
    kinds = Counter(entry.body["kind"] for entry in chain(parts.ledger, BEGINNING))
    assert kinds["erase.intent"] == seen.total() > SECONDS
    assert kinds["erase.done"] > 10
    assert verdicts.total() > SECONDS
