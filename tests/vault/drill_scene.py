"""What drills share: clients that pay under load while the records change under the servers, and who judges it all."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Event
from typing import Any

from house import LONG_AGO, House, Tenant, word
from http_calls import ask
from money_scene import assert_money_is_true
from records_scene import rows, second_account
from sqlalchemy import and_, or_, select, update

from rows.clock import database_clock
from rows.engine import reading, transaction
from rows.instances import instance
from vault.money.charge.charges import obligation_digest
from vault.processing import intents
from vault.tables import beats as beat_table
from vault.tables import intents as intent_table
from vault.tables import processor_accounts, webhook_inbox

_log = logging.getLogger(__name__)
NONE = 0
"""The status of a call whose connection ended without an answer."""

AGAIN = {NONE, 502, 503}
AGAIN_CODES = {"in_progress", "contended", "in_doubt"}
"""Answers after which a client sends the same call once more."""

LATER_CODES = {"charge_not_capturable", "charge_not_refundable"}
"""Answers about a charge of which the client was told otherwise: it waits until these records know it, too."""

THREADS, PAUSE = 4, 0.05
AFTERWARDS = 5.0
"""Seconds for which the load goes on after the last thing that happens in it."""

KNOWN_WITHIN = 40.0
PAID = {"succeeded", "authorized", "captured"}


@dataclass(frozen=True)
class Asked:
    """A call that a client made, and the answer that it got."""

    order: dict[str, Any]
    status: int
    body: dict[str, Any]

    @property
    def wants_again(self) -> bool:
        """Whether the client is told to come again, or nothing."""
        return self.status in AGAIN or self.body.get("code") in AGAIN_CODES

    @property
    def is_known(self) -> bool:
        """Whether it is told how the call ended. What it has been told of can't be missing for good."""
        open_still = self.status in {202, 404} or self.body.get("status") in {"pending", "unknown"}
        too_early = self.body.get("code") in LATER_CODES and "is captured" not in self.body["detail"]
        return not (self.wants_again or open_still or too_early or self.body.get("step"))

    @property
    def pays(self) -> str | None:
        """The obligation of a charge."""
        return self.order["body"].get("obligation") if self.order["path"] == "/v1/charges" else None


def send(tenant: Tenant, url: str, order: dict[str, Any]) -> Asked:
    """Make a call over HTTP."""
    try:
        status, body = ask(url + order["path"], tenant, order["method"], order["body"], Idempotency_Key=order["key"])
    except (OSError, HTTPException):
        status, body = NONE, {}
    return Asked(order, status, body)


@dataclass
class Shop:
    """A tenant over HTTP: the servers that it may call, a token for each of its accounts, and all that it asked."""

    tenant: Tenant
    urls: list[str]
    tokens: list[str]
    asked: list[Asked] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the charge that is authorized, the one call that captures it."""

    def ask(self, order: dict[str, Any], url: str | None = None) -> Asked:
        answer = send(self.tenant, url or random.choice(self.urls), order)
        self.asked.append(answer)
        if answer.pays and answer.status == 201 and answer.body["status"] == "succeeded":
            self.paid.append(answer.body["id"])
        if answer.body.get("status") == "authorized":
            charge = answer.body["id"]
            self.captures.setdefault(charge, _order(f"/v1/charges/{charge}/capture", {"amount": 1000}))
        return answer

    def act(self) -> None:
        """One thing of those that clients do: pay, insist on a payment, give back, authorize and capture."""
        choice = random.random()
        if choice < 0.25 and self.asked:
            self.insist(random.choice(self.asked[-20:]))
        elif choice < 0.4 and self.paid:
            refund = {"amount": random.randint(1, 100)}
            self.ask(_order(f"/v1/charges/{random.choice(self.paid)}/refunds", refund))
        elif choice < 0.55:
            charge = self.pay(capture_method="manual").body.get("id")
            if charge in self.captures:
                self.ask(self.captures[charge])
        else:
            self.pay()

    def pay(self, **more: object) -> Asked:
        """Something new; where two servers serve, at both of them at once, with the same key or with another."""
        body = {"token": random.choice(self.tokens), "amount": 1234, "currency": "eur", "obligation": word(), **more}
        order = _order("/v1/charges", body)
        if len(self.urls) == 1:
            return self.ask(order)
        rival = {**order, "key": random.choice((order["key"], word()))}
        with ThreadPoolExecutor(2) as both:
            return next(iter([*both.map(self.ask, (order, rival), self.urls)]))

    def insist(self, asked: Asked) -> None:
        """What impatient clients do: the same call again, or, for the same obligation, another, with any card."""
        order = dict(asked.order)
        if asked.pays and random.random() < 0.6:
            order |= {"key": word(), "body": {**order["body"], "token": random.choice(self.tokens)}}
        self.ask(order)

    @property
    def open(self) -> list[dict[str, Any]]:
        """Calls of which the client does not know how they ended, and captures that nobody has asked for yet."""
        asked = {each.order["key"] for each in self.last}
        captures = [order for order in self.captures.values() if order["key"] not in asked]
        return [*(each.order for each in self.last if not each.is_known), *captures]

    @property
    def last(self) -> list[Asked]:
        """The last answer to each call, the last of success where there was one."""
        ranked = sorted(self.asked, key=lambda each: each.is_known and each.status < 300)
        return [*{each.order["key"]: each for each in ranked}.values()]

    @property
    def told(self) -> Counter[str]:
        """How often each answer was given: its status, and its code where it has one."""
        return Counter(f"{each.status} {each.body.get('code', '')}".strip() for each in self.asked)


def _order(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"method": "POST", "path": path, "body": body, "key": word()}


def shop_with(house: House, url: str, *, accounts: int) -> Shop:
    """A new tenant with so many accounts, each with a token."""
    tenant = house.tenant()
    tokens = [tenant.token()["id"]]
    tokens += [tenant.token(processor_account=second_account(tenant))["id"] for _ in range(accounts - 1)]
    return Shop(tenant=tenant, urls=[url], tokens=tokens)


def under_load(
    house: House, shops: Sequence[Shop], *steps: tuple[float, Callable[[], object]], pause: float = PAUSE
) -> None:
    """Clients of all shops act while the steps are taken, each so many seconds after the one before.

    The processor is slow to answer, so that a step meets calls under way, and some of its answers are lost.
    """
    stop, begun = Event(), time.monotonic()
    slow = {"path": "/v1/*", "method": "POST"}
    for after in (10, 20, 30, 40):
        house.sandbox.fault(**slow, do="lose_answer", after=after)
    house.sandbox.fault(**slow, do="delay", seconds=0.1, when="after", times=100_000)

    def client(number: int) -> None:
        while not stop.is_set():
            shops[number % len(shops)].act()
            time.sleep(random.uniform(0, pause))

    with ThreadPoolExecutor(THREADS) as pool:
        clients = [pool.submit(client, number) for number in range(THREADS)]
        try:
            for seconds, step in steps:
                time.sleep(seconds)
                step()
            time.sleep(AFTERWARDS)
        finally:
            stop.set()
        for each in clients:
            each.result()
    house.sandbox.clear()
    for shop in shops:
        _log.info("%.1f s, %d accounts: %s", time.monotonic() - begun, len(shop.tokens), shop.told)


def let_go(house: House) -> None:
    """Drop the connections to a server that is gone."""
    house.components.records.dispose()
    house.components.keystore.dispose()


def until_known(house: House, shops: Sequence[Shop], within: float = KNOWN_WITHIN) -> None:
    """Clients insist on each call until they know how it ended, and the worker walks, while time is made to pass."""
    begun = time.monotonic()
    tenants = [shop.tenant.id for shop in shops]
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(1000):
            left = [(shop, order) for shop in shops for order in shop.open]
            said = [*pool.map(lambda one: one[0].ask(one[1]), left)]
            if not left and not _open(house, tenants):
                _log.info("%.1f s until all was known, %d rounds", time.monotonic() - begun, number)
                return
            assert time.monotonic() < begun + within, (said[:3], _open(house, tenants))
            _let_time_pass(house)
            time.sleep(0.5)


def _open(house: House, tenants: Sequence[str]) -> list[str]:
    """Accounts in doubt and intents that are open."""
    now, accounts = here(house), rows(house, processor_accounts)
    doubted = [row.account_id for row in accounts if row.known_on != now and row.tenant_id in tenants]
    left = [row for row in rows(house, intent_table) if row.state != "done" and row.tenant_id in tenants]
    unread = [row.type for row in rows(house, webhook_inbox, state="pending")]
    return [*doubted, *(f"{row.operation} {row.state}" for row in left), *unread]


def here(house: House) -> Any:
    """The instance in which the records lie."""
    with reading(house.components.records) as connection:
        return connection.scalar(select(instance()))


def _let_time_pass(house: House) -> None:
    """While no client waits: calls from before and their leases are over, lists have settled, what was put off is due.

    What the worker has had for less than some seconds stays its own.
    """
    is_old = intent_table.c.lease_until < database_clock(intents.LEASE_SECONDS - 10)
    put_off = and_(intent_table.c.state != "done", or_(intent_table.c.attempts == 1, is_old))
    with transaction(house.components.records) as tx:
        tx.execute(update(beat_table).values(since=LONG_AGO))
        tx.execute(update(intent_table).where(put_off).values(lease_until=LONG_AGO, settles_at=LONG_AGO))
        tx.execute(update(webhook_inbox).where(webhook_inbox.c.state == "pending").values(next_attempt_at=LONG_AGO))


def judge(house: House, shops: Sequence[Shop]) -> None:
    """Nothing is paid twice, nothing answered 500, and what clients were told is in the processor's book."""
    payments = house.sandbox.book()["charges"]
    for shop in shops:
        assert not [each for each in shop.asked if each.status == 500]
        _assert_paid_once(shop, payments)
        assert_money_is_true(shop.tenant)
        _assert_told_true(shop, payments)


def _assert_paid_once(shop: Shop, payments: Sequence[dict[str, Any]]) -> None:
    """Each obligation has one payment at most, and one where a client was told so, and only there."""
    found = Counter(_paying(payments))
    told: dict[str, bool] = {}
    for each in shop.asked:
        if each.pays:
            is_paid = each.body.get("status") in PAID or each.body.get("code") == "already_paid"
            told[each.pays] = told.get(each.pays, False) or is_paid
    assert sum(told.values()) > THREADS
    digests = {name: obligation_digest(shop.tenant.desk, name) or b"" for name in told}
    paid = {name: found[digests[name].hex()] for name in told}
    wrong = {name: number for name, number in paid.items() if number != told[name]}
    assert not wrong, [(each.status, each.body) for each in shop.asked if each.pays in wrong]


def _paying(payments: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The obligations of payments that took money or hold it."""
    for each in payments:
        if each["captured"] or each["refunded"] < each["amount"]:
            yield each["metadata"].get("panless_for", "")


def _assert_told_true(shop: Shop, payments: Sequence[dict[str, Any]]) -> None:
    """A charge of which a client was told is paid as it was told, and what was given back is what clients were told."""
    keyring = shop.tenant.house.components.keyring
    by_tag = {each["metadata"].get("panless"): each for each in payments}
    refunds: Counter[str] = Counter()
    for each in shop.asked:
        charge = each.body.get("charge" if each.order["path"].endswith("/refunds") else "id", "")
        there = by_tag.get(intents.tag(keyring, shop.tenant.id, charge), {})
        if each.status in {200, 201} and each.body["status"] in PAID:
            taken = each.body.get("amount_captured", 0)
            assert there, each
            assert there["captured"] or not taken, each
    for each in shop.last:
        if each.order["path"].endswith("/refunds") and each.body.get("status") == "succeeded":
            refunds[each.body["charge"]] += each.body["amount"]
    for charge in {*shop.paid, *refunds}:
        assert by_tag[intents.tag(keyring, shop.tenant.id, charge)]["refunded"] == refunds[charge], charge
