"""A PostgreSQL fails over to a standby that is 30 s behind, under load: no double charge, no orphan."""

import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from house import House, Tenant, build_house, run_sandbox, serve, word
from http_calls import ask
from money_scene import assert_money_is_true, assert_no_orphans, made, prepared
from records_scene import rows
from running_worker import worker
from standby import Pair, pair

from keys.database import reading
from vault.processing import intents
from vault.recovering import takeovers
from vault.tables import audit_entries, charges, heartbeat, processor_accounts
from vault.tables import intents as intent_table

LOST_SECONDS = 30
THREADS, PAUSE = 4, 0.3
KNOWN_WITHIN = 150.0
AGAIN = {500, 502, 503}
AGAIN_CODES = {"in_progress", "contended"}
"""Answers after which a client sends the same call once more."""


@dataclass
class Asked:
    """A call that a client made, and the last answer that it got."""

    order: dict[str, Any]
    status: int
    body: dict[str, Any]


@dataclass
class Shop:
    """A tenant over HTTP, with what it may capture, void and refund."""

    tenant: Tenant
    url: str
    ready: dict[str, list[dict[str, Any]]]

    def send(self, order: dict[str, Any]) -> Asked:
        try:
            status, body = ask(
                self.url + order["path"], self.tenant, order["method"], order["body"], Idempotency_Key=order["key"]
            )
        except OSError:
            status, body = 500, {}
        return Asked(order, status, body)

    def act(self, end: float) -> Iterator[Asked]:
        """Whatever clients do, until then: new people who pay at once, and all that can be done with money."""
        while time.monotonic() < end:
            operation = random.choice(("new", "charge", "charge", *self.ready))
            if operation == "new":
                stored = self.send(prepared(self.tenant, "tokenize"))
                yield stored
                if stored.status == 201:
                    order = prepared(self.tenant, "charge")
                    order["body"]["token"] = stored.body["id"]
                    yield self.send(order)
            elif operation == "charge":
                yield self.send(prepared(self.tenant, "charge"))
            elif self.ready[operation]:
                yield self.send(self.ready[operation].pop())
            time.sleep(random.uniform(0, PAUSE))

    def insist(self, asked: Asked) -> Asked:
        """What clients do afterwards: the same call again, another for the same purpose, or nothing."""
        choice = random.choice(("same", "fresh", "nothing"))
        if choice == "nothing":
            return asked
        order = dict(asked.order)
        if choice == "fresh" and order["path"] in {"/v1/charges", "/v1/tokens"}:
            order["key"] = word()
        end = time.monotonic() + KNOWN_WITHIN
        while time.monotonic() < end:
            again = self.send(order)
            if again.status not in AGAIN and again.body.get("code") not in AGAIN_CODES:
                return again
            time.sleep(1)
        raise AssertionError(f"no answer in all that time: {again.status} {again.body}")


@pytest.fixture
def both(postgresql: str) -> Iterator[Pair]:
    """A primary and its standby; the session's own server made the user that they run as."""
    assert postgresql
    with pair() as started:
        yield started


@contextmanager
def running(home: Path, both: Pair, port: int) -> Iterator[tuple[House, Shop]]:
    """A deployment over both servers with a sandbox of its own, its server and its worker."""
    with run_sandbox(home) as sandbox:
        house = build_house(home / "house", both.url, f"sqlite:///{home}/keystore.db", sandbox)
        tenant = house.tenant()
        ready = {name: [prepared(tenant, name) for _ in range(30)] for name in ("capture", "refund", "void")}
        with serve(house, port) as (_, url), worker(house):
            yield house, Shop(tenant, url, ready)
        house.components.close()


def test_failover(both: Pair, tmp_path: Path, free_port: int) -> None:
    """Half a minute of commits is gone. Who insists is not charged twice; what nobody asks for again is known too."""
    with running(tmp_path, both, free_port) as (house, shop), ThreadPoolExecutor(THREADS) as pool:
        time.sleep(1)  # until the standby has it all
        both.fall_behind()
        end = time.monotonic() + LOST_SECONDS
        house.sandbox.fault(path="/v1/*", method="POST", do="delay", seconds=0.2, when="after", times=100_000)
        before = [pool.submit(list, shop.act(end)) for _ in range(THREADS)]
        time.sleep(LOST_SECONDS - 0.5)
        both.fail_over()  # in the middle of calls
        house.components.records.dispose()
        house.sandbox.clear()
        asked = [each for one in before for each in one.result()]
        answers = [*pool.map(shop.insist, asked)]
        _until_known(house, shop.tenant)
        assert_money_is_true(shop.tenant)
        assert_no_orphans(shop.tenant)
        _assert_all_payments_are_known(house, shop.tenant)
        _assert_still_true(shop, [*asked, *answers])
        recovered = Counter(row.action for row in rows(house, audit_entries, tenant_id=shop.tenant.id))
        assert min(recovered[f"{kind}.recover"] for kind in ("card", "charge", "refund")) > 0


def _until_known(house: House, tenant: Tenant) -> None:
    end = time.monotonic() + KNOWN_WITHIN
    while time.monotonic() < end:
        [account] = rows(house, processor_accounts, tenant_id=tenant.id)
        if account.look_from is None and not rows(house, intent_table, tenant_id=tenant.id, state="pending"):
            return
        time.sleep(0.5)
    raise AssertionError("not caught up, or not at the end of all intents")


def _assert_all_payments_are_known(house: House, tenant: Tenant) -> None:
    """Every payment that the processor has is a charge of ours."""
    keyring = house.components.keyring
    ours = {intents.tag(keyring, tenant.id, row.charge_id) for row in rows(house, charges, tenant_id=tenant.id)}
    theirs = Counter(row["metadata"]["panless"] for row in house.sandbox.book()["charges"])
    assert set(theirs) <= ours
    assert max(theirs.values()) == 1


def _assert_still_true(shop: Shop, asked: list[Asked]) -> None:
    """What a client was told once is so: the charge that it holds is paid, the token is there."""
    told = {
        f"{each.order['path'].split('/')[2]}/{each.body['id']}": each.body["status"]
        for each in asked
        if each.status == 201 and each.order["path"] in {"/v1/charges", "/v1/tokens"}
    }
    assert len(told) > THREADS
    for path, status in told.items():
        found, body = ask(f"{shop.url}/v1/{path}", shop.tenant)
        assert (found, body.get("status")) == (200, status), path


def test_put_back_by_hand(own_house: House) -> None:
    """Where nothing tells that records were put back, a command does: nothing is sent before all was looked through."""
    tenant = own_house.tenant()
    assert made(tenant, prepared(tenant, "charge"))[0] == 201
    takeovers.doubt(own_house.components.workshop)
    assert len(rows(own_house, audit_entries, action="processors.catch_up")) == 1
    status, body = made(tenant, order := prepared(tenant, "charge"))
    assert (status, body["code"]) == (503, "catching_up")
    assert tenant.call("GET", "/v1/charges").status_code == 200
    assert own_house.work()[1] == []
    assert made(tenant, order)[0] == 201
    assert_money_is_true(tenant)


def test_alive(own_house: House) -> None:
    """While the records lie where they lay, the heartbeat goes on and nobody is behind."""
    records = own_house.components.records
    assert not takeovers.notice(records)
    with reading(records) as connection:
        before = connection.execute(heartbeat.select()).one()
    assert own_house.work()[1] == []
    with reading(records) as connection:
        assert connection.execute(heartbeat.select()).one().instance == before.instance
