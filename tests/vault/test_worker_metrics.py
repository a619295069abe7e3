"""The worker's own socket: that it lives, and figures of what it delivers."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from http.client import HTTPMessage

from events_scene import Receiver, deliver, endpoint, let_pass, queued, shop_of
from house import ROOT, House, Tenant
from running_worker import worker
from sqlalchemy import update

from panless.worker_metrics import WorkerMetrics
from rows.engine import transaction
from vault.events.watch import watch
from vault.outgoing import Posted
from vault.tables import webhook_endpoints


def get(address: str, path: str) -> tuple[HTTPMessage, str]:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return answer.headers, answer.read().decode()


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 40
    while True:
        try:
            if true():
                return
        except urllib.error.URLError:
            pass
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_worker_answers(own_house: House, free_port: int) -> None:
    """It says that it lives, what became of what it called for, and how much waits where, since when; no endpoint."""
    shop = shop_of(own_house.tenant(), Receiver())
    made = endpoint(shop, url="https://127.0.0.1/hooks")
    queued(shop, 3)
    address = f"127.0.0.1:{free_port}"
    with worker(own_house, PANLESS_WORKER_METRICS_BIND=address) as log:
        until(lambda: 'attempts_total{outcome="postponed"} 3.0' in get(address, "/metrics")[1])
        headers, figures = get(address, "/metrics")
        kind, alive = get(address, "/livez")
    assert (kind["Content-Type"], json.loads(alive)) == ("application/json", {"status": "alive"})
    assert headers["Content-Type"].startswith("text/plain")
    assert 'panless_deliveries_attempts_total{outcome="delivered"} 0.0' in figures
    waits = [f'panless_deliveries_waiting{{endpoints="{which}"}} 3.0' in figures for which in ("answering", "failing")]
    assert sum(waits) == 1  # it looks every few seconds
    assert 'panless_deliveries_oldest_seconds{endpoints="answering"}' in figures
    assert "panless_deliveries_seconds_count 0.0" in figures
    assert made["id"] not in figures
    assert "round_failed" not in log.read_text()


def test_what_waits_is_counted_by_whether_its_endpoint_answers(own_house: House) -> None:
    """Since it was queued or first tried; what a disabled endpoint has is nobody's backlog."""
    receiver = Receiver()
    shop = shop_of(own_house.tenant(), receiver)
    records = shop.house.components.records
    assert {name: (one.waiting, one.oldest) for name, one in watch(records).items()} == {
        "answering": (0, 0.0),
        "failing": (0, 0.0),
    }
    made = endpoint(shop)
    queued(shop, 5)
    assert (watch(records)["answering"].waiting, watch(records)["failing"].waiting) == (5, 0)
    receiver.answer = Posted(500)
    deliver(shop)
    let_pass(shop, 100)
    found = watch(records)
    assert (found["answering"].waiting, found["failing"].waiting) == (0, 5)
    assert 100 <= found["failing"].oldest < 130
    off = update(webhook_endpoints).where(webhook_endpoints.c.endpoint_id == made["id"]).values(state="disabled")
    with transaction(records) as tx:
        tx.execute(off)
    assert watch(records)["failing"].waiting == 0


def test_a_taken_address_is_one_sentence(own_house: House, free_port: int) -> None:
    """Before any work is begun."""
    address = f"127.0.0.1:{free_port}"
    env = {"PATH": os.environ["PATH"], **own_house.environment, "PANLESS_WORKER_METRICS_BIND": address}
    with worker(own_house, PANLESS_WORKER_METRICS_BIND=address):
        until(lambda: "alive" in get(address, "/livez")[1])
        command = [sys.executable, "-m", "panless", "worker"]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"{address} is in use. Stop what listens there, or set PANLESS_WORKER_METRICS_BIND."


def test_how_long_deliveries_take_is_measured(shop: Tenant, receiver: Receiver) -> None:
    """From the moment when it was queued to its arrival; what has not arrived is only counted."""
    metrics = WorkerMetrics()
    components = replace(shop.house.components, attempted=metrics.count)
    counted = replace(shop, house=replace(shop.house, components=components))
    endpoint(counted)
    queued(counted, 2)
    let_pass(counted, 4)
    receiver.answer = Posted(500)
    deliver(counted)
    let_pass(counted, 6)
    receiver.answer = Posted(200)
    deliver(counted)
    figures = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
    }
    assert figures["panless_deliveries_attempts_total", "postponed"] == 2
    assert figures["panless_deliveries_attempts_total", "delivered"] == 2
    assert figures["panless_deliveries_seconds_bucket", "5.0"] == 0
    assert figures["panless_deliveries_seconds_bucket", "30.0"] == 2
