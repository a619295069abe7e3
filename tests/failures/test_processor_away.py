"""A payment processor is away, under load: its accounts wait, everybody else goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from failure_scene import WELL, ask, assert_paid_as_told, charge, outcomes, paid, read, row, under_load, until
from house import ROOT, House, Sandbox, Tenant, end_waits, open_house, serve, token_order, wait_for, word
from noticing import figure
from ports import free_port

NOT_REACHED = (503, "processor_not_reached")


class Processor:
    """A sandbox that stops and starts again where it was."""

    def __init__(self, home: Path) -> None:
        self._home, self.port = home, free_port()
        self.sandbox = Sandbox(f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port), "--state", str(self._home / "kept.json")]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        self._program = subprocess.Popen(command, cwd=self._home, env=environment, stdout=subprocess.DEVNULL)
        wait_for(f"{self.sandbox.url}/_ledger")

    def stop(self) -> None:
        self._program.terminate()
        self._program.wait(20)

    @contextmanager
    def gone(self) -> Iterator[None]:
        self.stop()
        try:
            yield
        finally:
            self.start()


@pytest.fixture
def processor(tmp_path: Path) -> Iterator[Processor]:
    made = Processor(tmp_path)
    made.start()
    yield made
    made.stop()


def at_another(tenant: Tenant) -> dict[str, Any]:
    """A token of the same tenant's account at another processor."""
    order = {"kind": "stripe", "label": "other", "credentials": {"api_key": f"sk_test_{word()}"}}
    account = tenant.call("POST", "/v1/processor-accounts", order).get_json()["id"]
    return tenant.token(processor_account=account)


@row("a payment processor")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_a_processor_is_away(own_house: House, processor: Processor, sandbox: Sandbox) -> None:
    """503 where nothing was sent, 202 where it was, which is looked up once it is back; other processors go on."""
    bind = f"127.0.0.1:{free_port()}"
    places = {"PANLESS_SANDBOX_URL": processor.sandbox.url, "PANLESS_STRIPE_URL": sandbox.url}
    house = open_house(own_house.home, own_house.environment | places, processor.sandbox)
    tenant, other = house.tenant(), house.tenant()
    key, token, elsewhere = tenant.keys["all"], tenant.token(), at_another(other)
    with (
        serve(house, free_port(), PANLESS_METRICS_BIND=bind, PANLESS_WORKERS="1") as (_, url),
        under_load(url, other.keys["all"], elsewhere) as load,
    ):
        before = charge(url, key, token["id"])
        processor.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
        sent = charge(url, key, token["id"])
        assert (sent.status, sent.body["status"]) == (202, "unknown")
        with processor.gone():
            until(lambda: charge(url, key, token["id"]).outcome == NOT_REACHED)
            told = [charge(url, key, token["id"]) for _ in range(4)]
            told.append(ask(f"{url}/v1/tokens", key, "POST", token_order()))
            refund = f"{url}/v1/charges/{before.body['id']}/refunds"
            told.append(ask(refund, key, "POST", {"amount": 1}, Idempotency_Key=word()))
            assert outcomes(told) == {NOT_REACHED}
            assert read(url, key, token["customer"]).status == 200
            assert ask(f"{url}/v1/charges/{sent.body['id']}", key).body["status"] == "unknown"
            until(lambda: figure(bind, 'panless_intents{which="pending"}') >= 1)
            assert outcomes(load.next()) == WELL
        end_waits(house)
        assert house.work()[1] == []
        assert ask(f"{url}/v1/charges/{sent.body['id']}", key).body["status"] == "succeeded"
        assert charge(url, key, token["id"]).status == 201
    assert paid(tenant, [before, sent]) == {before.obligation: 1, sent.obligation: 1}
    assert set(paid(tenant, told[:4]).values()) == {0}
    assert outcomes(load.told) == WELL
    assert_paid_as_told(replace(other, house=replace(house, sandbox=sandbox)), load.told)
