"""`panless charges`: compared with the processors, and an exit code that tells."""

import json
import subprocess
from datetime import timedelta

from commands import PLAIN
from house import House, Tenant
from program_scene import PANLESS
from sqlalchemy import update

from rows.engine import transaction
from vault.tables import charges


def run(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PANLESS, "charges", *words], env=PLAIN | house.environment, capture_output=True, text=True, check=False
    )


def aged(tenant: Tenant, **values: object) -> None:
    """Give this tenant's charges these values."""
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.tenant_id == tenant.id).values(**values))


def test_reconcile(own_house: House) -> None:
    """0 where all is alike, 1 and a line for each where something is not, 2 where the processor does not answer."""
    tenant = own_house.tenant()
    tenant.charge(tenant.token()["id"])
    since = ("reconcile", "--since", f"{own_house.components.clock() - timedelta(days=1):%Y-%m-%d}")
    alike = run(own_house, *since)
    assert (alike.returncode, "0 differ" in alike.stdout) == (0, True), alike
    aged(tenant, created_at=own_house.components.clock() - timedelta(minutes=10))
    own_house.sandbox.fault(path="/v1/payment_intents/*", method="GET", do="unknown_url")
    differ = run(own_house, *since, "--json")
    assert (differ.returncode, json.loads(differ.stdout)["kind"]) == (1, "ours_only"), differ
    missing = run(own_house, *since, "--account", "pa_none")
    assert (missing.returncode, "no such processor account" in missing.stderr) == (1, True)
    assert run(own_house, "reconcile").returncode == 2
    own_house.sandbox.fault(path="/v1/payment_intents", method="GET", do="status", status=500, times=9)
    away = run(own_house, *since)
    assert (away.returncode, "not compared" in away.stderr) == (2, True)
    own_house.sandbox.clear()
