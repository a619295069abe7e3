"""`kill -9` of the real server at the worst moments; then the worker. The sandbox's book is what counts."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from house import House, Tenant, serve, token_order
from records_scene import at_processor, row, rows, work

from vault.tables import charges, intents, refunds, tokens

HANGS = {"do": "delay", "seconds": 60}


def send(tenant: Tenant, url: str, path: str, body: object, key: str) -> None:
    """POST to the real server, which dies before it answers."""
    headers = {
        "Authorization": f"Bearer {tenant.keys['all']}",
        "Content-Type": "application/json",
        "Idempotency-Key": key,
    }
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    with suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(request, timeout=60) as answer:
        raise AssertionError(f"{path} was answered: {answer.status}")


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.05)


def killed_in_the_middle(
    house: House, port: int, calls: Callable[[str], list[Callable[[], None]]], acted: Callable[[], bool]
) -> None:
    """Send `calls` to a server, kill it with all its workers once they have `acted` at the processor."""
    with serve(house, port) as (program, url), ThreadPoolExecutor(8) as pool:
        sent: list[Future[None]] = [pool.submit(call) for call in calls(url)]
        until(acted)
        os.killpg(program.pid, signal.SIGKILL)
        for each in sent:
            each.result(30)


def charge_order(token: str, obligation: str) -> dict[str, object]:
    return {"token": token, "amount": 1234, "currency": "eur", "obligation": obligation}


def replayed(tenant: Tenant, path: str, body: object, key: str) -> Any:
    answer = tenant.call("POST", path, body, Idempotency_Key=key)
    assert answer.headers.get("Idempotent-Replayed") == "true", answer.get_data(as_text=True)
    return answer.get_json()


def test_killed_between_processor_and_commit(own_house: House, free_port: int) -> None:
    """A charge, a refund, cards of a known and of two new customers: each is what the processor's book says it is."""
    tenant, sandbox = own_house.tenant(), own_house.sandbox
    known = tenant.token("5555555555554444", customer={"reference": "known"})
    paid = tenant.charge(known["id"]).get_json()["id"]
    before = {method for methods in at_processor(tenant).values() for method in methods}
    for path in ("/v1/payment_intents", "/v1/refunds"):
        sandbox.fault(path=path, when="after", **HANGS)
    sandbox.fault(path="/v1/setup_intents", when="after", times=2, **HANGS)
    bodies = {
        "charge": ("/v1/charges", charge_order(known["id"], "i-1")),
        "refund": (f"/v1/charges/{paid}/refunds", {"amount": 1000}),
        "card": ("/v1/tokens", token_order(customer=known["customer"])),
        "new": ("/v1/tokens", token_order("6011111111111117", customer={"reference": "new"})),
    }

    def acted() -> bool:
        refunded = sum(each["refunded"] for each in tenant.charges_at_processor())
        stored = sum(len(methods) for methods in at_processor(tenant).values())
        return len(tenant.charges_at_processor()) == 2 and refunded == 1000 and stored == len(before) + 2

    killed_in_the_middle(
        own_house,
        free_port,
        lambda url: [lambda n=name: send(tenant, url, *bodies[n], n) for name in bodies],
        acted,
    )
    assert {each.state for each in rows(own_house, intents, tenant_id=tenant.id, state="pending")} == {"pending"}
    assert len(rows(own_house, intents, tenant_id=tenant.id, state="pending")) == 4
    assert work(own_house) == []
    assert rows(own_house, intents, tenant_id=tenant.id, state="pending") == []

    made = replayed(tenant, *bodies["charge"], "charge")
    assert made["status"] == "succeeded"
    assert row(own_house, charges, charge_id=made["id"]).amount_captured == 1234
    assert tenant.charge(known["id"], obligation="i-1").get_json()["code"] == "already_paid"
    assert replayed(tenant, *bodies["refund"], "refund")["status"] == "succeeded"
    assert row(own_house, refunds, charge_id=paid).state == "succeeded"
    adopted = [replayed(tenant, *bodies[name], name) for name in ("card", "new")]
    assert [token["status"] for token in adopted] == ["active", "active"]
    assert adopted[0]["customer"] == known["customer"]
    assert sorted(each["refunded"] for each in tenant.charges_at_processor()) == [0, 1000]
    for token in adopted:
        assert tenant.charge(token["id"]).status_code == 201
    assert len(tenant.charges_at_processor()) == 4
    held = at_processor(tenant)
    assert len(held) == 2
    assert sum(map(len, held.values())) == len(rows(own_house, tokens, tenant_id=tenant.id, state="active")) == 3
    for customer in (known["customer"], adopted[1]["customer"]):
        assert tenant.erase(customer).status_code == 200
    assert at_processor(tenant) == {}
    assert own_house.components.guard.check().is_good


def test_killed_before_the_processor_acts(own_house: House, free_port: int) -> None:
    """The calls are under way when the server dies, and act late: the worker burns their keys, and they are refused."""
    tenant, sandbox = own_house.tenant(), own_house.sandbox
    token = tenant.token("5555555555554444", customer={"reference": "known"})
    for path in ("/v1/payment_intents", "/v1/customers", "/v1/payment_methods"):
        sandbox.fault(path=path, do="delay", seconds=3)
    charge = ("/v1/charges", charge_order(token["id"], "i-1"))
    card = ("/v1/tokens", token_order(customer=token["customer"]))
    new = ("/v1/tokens", token_order("6011111111111117", customer={"reference": "new"}))
    calls = {f"k{number}": call for number, call in enumerate((charge, card, new))}
    killed_in_the_middle(
        own_house,
        free_port,
        lambda url: [lambda k=key: send(tenant, url, *calls[k], k) for key in calls],
        lambda: len(rows(own_house, intents, tenant_id=tenant.id, state="pending")) == len(calls),
    )
    assert work(own_house) == []
    assert len(tenant.charges_at_processor()) <= 1

    def ended() -> bool:
        assert work(own_house) == []
        return rows(own_house, intents, tenant_id=tenant.id, state="pending") == []

    until(ended)
    time.sleep(4)  # whatever was still under way has arrived by now
    assert work(own_house) == []
    ended_as = tenant.call("POST", *charge, Idempotency_Key="k0").get_json()
    paid = len(tenant.charges_at_processor())
    assert (paid, ended_as.get("status"), ended_as.get("code")) in {(1, "succeeded", None), (0, 409, "never_charged")}
    fresh = tenant.call("POST", *charge, Idempotency_Key="k9").get_json()
    assert fresh.get("code") == "already_paid" if paid else fresh["status"] == "succeeded"
    assert len(tenant.charges_at_processor()) == 1
    again = tenant.token("6011111111111117", customer={"reference": "new"})
    assert tenant.charge(again["id"]).status_code == 201
    held = at_processor(tenant)
    assert len(held) == 2
    assert sum(map(len, held.values())) == len(rows(own_house, tokens, tenant_id=tenant.id, state="active")) == 2
