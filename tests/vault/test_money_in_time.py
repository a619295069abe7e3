"""What is told unknown is known in time, and what a killed server left; by the worker as it runs, on the clock."""

import os
import subprocess
import sys
import time
from statistics import quantiles

from house import ROOT, House
from killing import dying
from money_scene import assert_money_is_true, assert_no_orphans, made, prepared
from records_scene import rows

from vault.tables import intents

PROMISED = 120.0
UNKNOWN, KILLED = 100, 8
OPERATIONS = ("charge", "capture", "refund", "void")


def test_unknown_and_killed(own_house: House) -> None:
    """A hundred that are told unknown (p99) and what eight dead servers left: at their end within 120 s, and true."""
    tenant = own_house.tenant()
    orders = [prepared(tenant, OPERATIONS[number % 4]) for number in range(UNKNOWN)]
    began: dict[str, float] = {}
    for number, order in enumerate(orders):
        own_house.sandbox.fault(path="/v1/*", method="POST", do="lose_answer" if number % 2 else "reset")
        status, body = made(tenant, order)
        own_house.sandbox.clear()
        assert status == 202, body
        began[body["id"] if order["path"].endswith(("charges", "refunds")) else order["path"].split("/")[3]] = (
            time.time()
        )
    program = dying(tenant)
    for step in range(KILLED):
        program.die("call", 2 + step % 3, **prepared(tenant, "charge"))
    killed = time.time()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **own_house.environment}
    command = [sys.executable, "-m", "panless", "worker"]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        ended = _ends(own_house, tenant.id, killed + PROMISED)
    finally:
        worker.terminate()
        worker.wait(30)
    told_unknown = [ended[ident] - at for ident, at in began.items()]
    assert quantiles(told_unknown, n=100)[98] < PROMISED
    assert max(ended.values()) - killed < PROMISED
    assert_money_is_true(tenant)
    assert_no_orphans(tenant)
    assert len(ended) >= UNKNOWN + KILLED - 1


def _ends(house: House, tenant: str, until: float) -> dict[str, float]:
    """When each resource's last intent was seen at its end."""
    ended: dict[str, float] = {}
    while time.time() < until:
        found = rows(house, intents, tenant_id=tenant)
        open_ones = {row.resource_id for row in found if row.state == "pending"}
        for row in found:
            if row.resource_id not in open_ones:
                ended.setdefault(row.resource_id, time.time())
        if not open_ones:
            return ended
        time.sleep(0.5)
    raise AssertionError(f"still open after {PROMISED} s: {len(open_ones)}")
