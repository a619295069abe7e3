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

from drill_scene import Asked, send
from house import House, Tenant, build_house, run_sandbox, serve, word
from http_calls import ask
from money_scene import assert_money_is_true, made, prepared
from records_scene import ask_sandbox, rows
from running_worker import worker
from sqlalchemy import select
from standby import Pair

from rows.engine import reading
from rows.instances import instance
from vault.processing import beats, intents
from vault.tables import audit_entries, charges, customers, processor_accounts
from vault.tables import beats as beat_table
from vault.tables import intents as intent_table

LOST_SECONDS = 30
THREADS, PAUSE = 4, 0.3
KNOWN_WITHIN = 150.0


@dataclass
class Shop:
    """A tenant over HTTP, with what it may capture, void and refund."""

    tenant: Tenant
    url: str
    ready: dict[str, list[dict[str, Any]]]

    def send(self, order: dict[str, Any]) -> Asked:
        return send(self.tenant, self.url, order)

    def act(self, end: float) -> Iterator[Asked]:
        """Whatever clients do, until then: new people, most of whom pay at once, and all that money can do."""
        while time.monotonic() < end:
            operation = random.choice(("new", "charge", "charge", *self.ready))
            if operation == "new":
                stored = self.send(prepared(self.tenant, "tokenize"))
                yield stored
                if stored.status == 201 and random.random() < 0.7:
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
            if not again.wants_again:
                return again
            time.sleep(1)
        raise AssertionError(f"no answer in all that time: {again.status} {again.body}")


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
        assert [each for each in (*asked, *answers) if each.status == 500] == []
        _until_known(house, shop.tenant)
        assert_money_is_true(shop.tenant)
        _assert_what_is_left_has_paid(shop.tenant)
        _assert_all_payments_are_known(house, shop.tenant)
        _assert_still_true(shop, [*asked, *answers])
        seen = Counter(row.action for row in rows(house, audit_entries, tenant_id=shop.tenant.id))
        assert min(seen["charge.recover"], seen["refund.made_elsewhere"], seen["customer.lost"] + seen["card.lost"]) > 0


def _until_known(house: House, tenant: Tenant) -> None:
    end = time.monotonic() + KNOWN_WITHIN
    while time.monotonic() < end:
        [account] = rows(house, processor_accounts, tenant_id=tenant.id)
        with reading(house.components.records) as connection:
            here = connection.scalar(select(instance()))
        if account.known_on == here and not rows(house, intent_table, tenant_id=tenant.id, state="pending"):
            return
        time.sleep(0.5)
    raise AssertionError("not walked through, or not at the end of all intents")


def _assert_what_is_left_has_paid(tenant: Tenant) -> None:
    """A customer there that these records have lost is gone from there too, unless something was paid with its card."""
    ours = {row.customer_id for row in rows(tenant.house, customers, tenant_id=tenant.id)}
    paid = {row["customer"] for row in _all_at_sandbox(tenant, "/v1/payment_intents")}
    for each in _all_at_sandbox(tenant, "/v1/customers"):
        assert each["metadata"]["panless_id"] in ours or each["id"] in paid


def _all_at_sandbox(tenant: Tenant, path: str) -> Iterator[dict[str, Any]]:
    page = ask_sandbox(tenant, f"{path}?limit=100")
    while page:
        yield from page
        page = ask_sandbox(tenant, f"{path}?limit=100&starting_after={page[-1]['id']}")


def _assert_all_payments_are_known(house: House, tenant: Tenant) -> None:
    """Every payment that the processor has is a charge of ours."""
    keyring = house.components.keyring
    ours = {intents.tag(keyring, tenant.id, row.charge_id) for row in rows(house, charges, tenant_id=tenant.id)}
    theirs = Counter(row["metadata"]["panless"] for row in house.sandbox.book()["charges"])
    assert set(theirs) <= ours
    assert max(theirs.values()) == 1


def _assert_still_true(shop: Shop, asked: list[Asked]) -> None:
    """What a client was told once is so: the charge that it holds is paid. A token that was lost must be made anew."""
    told = {
        each.body["id"]: each.body["status"]
        for each in asked
        if each.status == 201 and each.order["path"] == "/v1/charges"
    }
    assert len(told) > THREADS
    for charge, status in told.items():
        found, body = ask(f"{shop.url}/v1/charges/{charge}", shop.tenant)
        assert (found, body.get("status")) == (200, status), charge


def test_alive(own_house: House) -> None:
    """While the records lie where they lay, their beat goes on and no account is in doubt."""
    tenant, records = own_house.tenant(), own_house.components.records
    beats.beat(records)
    time.sleep(beats.BEAT_SECONDS + 0.1)
    with reading(records) as connection:
        before = connection.execute(select(beat_table)).one()
    assert own_house.work()[1] == []
    with reading(records) as connection:
        after = connection.execute(select(beat_table)).one()
    assert (after.instance, after.since) == (before.instance, before.since)
    assert after.at > before.at
    [account] = rows(own_house, processor_accounts, tenant_id=tenant.id)
    assert account.known_on == after.instance
    assert made(tenant, prepared(tenant, "charge"))[0] == 201
