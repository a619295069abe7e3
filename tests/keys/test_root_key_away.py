"""The provider of the root key goes away for a minute while clients are served, and comes back."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event

import pytest
from commands import panless
from house import PURPOSE, House, Tenant, serve
from transit_house import moved
from transit_standin import Transit

TTL, AWAY, BACK_WITHIN = 10, 60, 30
"""Seconds: how long KEKs stay in memory, how long the provider is gone, by when all is well again."""

EMAIL = "ada@lovelace.example"


@dataclass
class Answer:
    """What came back, and when."""

    at: float
    status: int
    body: str
    retry_after: str | None = None


@dataclass
class Client:
    """Asks for a contact and for a charge, ten times a second, until it is told to stop."""

    url: str
    tenant: Tenant
    token: dict[str, str]
    stop: Event = field(default_factory=Event)
    contacts: list[Answer] = field(default_factory=list)
    charges: list[Answer] = field(default_factory=list)

    def run(self) -> None:
        turn = 0
        while not self.stop.wait(0.1):
            turn += 1
            self.contacts.append(self.ask(f"/v1/customers/{self.token['customer']}/billing-contact"))
            order = {"token": self.token["id"], "amount": 100, "currency": "eur", "obligation": f"o-{turn}"}
            self.charges.append(self.ask("/v1/charges", order, f"k-{turn}"))

    def ask(self, path: str, body: object = None, key: str = "") -> Answer:
        sent = {"Authorization": f"Bearer {self.tenant.keys['all']}", "Content-Type": "application/json", **PURPOSE}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, sent | ({"Idempotency-Key": key} if key else {}))
        try:
            with urllib.request.urlopen(request, timeout=30) as answered:
                return Answer(time.monotonic(), answered.status, answered.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                told = refused.headers["Retry-After"]
                return Answer(time.monotonic(), refused.code, refused.read().decode(), told)


@pytest.fixture
def transit() -> Iterator[Transit]:
    made = Transit(["root"])
    yield made
    made.front.stop()


@contextmanager
def served(client: Client) -> Iterator[None]:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.run)
        try:
            yield
        finally:
            client.stop.set()  # after a failure too: the pool waits for it
        running.result()


def test_away_for_a_minute(own_house: House, free_port: int, transit: Transit) -> None:
    """Served from memory; then 503 with Retry-After, and readiness names the provider; then well again, by itself."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": {"name": "Ada Lovelace", "email": EMAIL}})
    house = moved(own_house, transit)
    with serve(house, free_port, PANLESS_KEK_TTL=str(TTL)) as (_, url):
        client = Client(url, tenant, token)
        with served(client):
            time.sleep(3)
            with transit.front.gone():
                gone_at = time.monotonic()
                time.sleep(AWAY - 5)
                ready = client.ask("/readyz")
                time.sleep(5)
            back_at = time.monotonic()
            asked = len(transit.seen)
            while time.monotonic() < back_at + BACK_WITHIN and client.charges[-1].status != 201:
                time.sleep(0.5)
            time.sleep(3)
            assert len(transit.seen) - asked < 20  # a KEK each for two tenants and two processes, not one a request
        assert client.ask("/readyz").status == 200
    house.components.close()
    assert (ready.status, ready.retry_after) == (503, "10")
    assert json.loads(ready.body)["detail"] == "No root key answers. Asked were: hashicorp-transit."
    for answers, good in ((client.contacts, 200), (client.charges, 201)):
        look_at(answers, good, gone_at, back_at)
    assert all(json.loads(each.body)["email"] == EMAIL for each in client.contacts if each.status == 200)
    amounts = {json.loads(each.body)["amount"] for each in client.charges if each.status == 201}
    assert amounts == {100}


def test_refused_until_it_is_mended(own_house: House, transit: Transit) -> None:
    """503 that says when to come back, no values that do not open; the log and the commands name the mend."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": {"name": "Ada Lovelace", "email": EMAIL}})
    house = moved(own_house, transit)
    tenant = replace(tenant, house=house)
    contact = f"/v1/customers/{token['customer']}/billing-contact"
    transit.keys["root"].soft_deleted = True
    for path in (contact, "/readyz"):
        refused = tenant.call("GET", path, Access_Purpose=PURPOSE["Access-Purpose"])
        assert (refused.status_code, refused.get_json()["code"]) == (503, "root_key_denied")
        assert refused.headers["Retry-After"] == "10"
    check = panless("keys", "check", env=house.environment)
    assert (check.returncode, check.stdout) == (1, "")
    assert "which is soft-deleted: write to its soft-delete-restore" in check.stderr
    transit.keys["root"].soft_deleted = False
    answer = tenant.call("GET", contact, Access_Purpose=PURPOSE["Access-Purpose"])
    assert (answer.status_code, answer.get_json()["email"]) == (200, EMAIL)
    house.components.close()


def look_at(answers: list[Answer], good: int, gone_at: float, back_at: float) -> None:
    """Right answers, or 503 that says when to come back and nothing else; each in its time."""
    assert {each.status for each in answers} == {good, 503}
    refused = [each for each in answers if each.status == 503]
    for each in refused:
        assert each.retry_after == "1"
        assert json.loads(each.body)["code"] == "root_key_unavailable"
        assert not any(secret in each.body for secret in (EMAIL, "Lovelace", "4242", "vault:v1", "pm_", "cus_"))
    served_from_memory = [each for each in answers if each.status == good and gone_at + 1 < each.at < back_at]
    assert served_from_memory
    assert max(each.at for each in served_from_memory) < gone_at + TTL + 5
    assert sum(each.at > gone_at + TTL + 5 for each in refused) > 20
    assert max(each.at for each in refused) < back_at + BACK_WITHIN
