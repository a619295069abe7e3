"""`panless webhooks`: what processors told and came to nothing is seen, and tried again."""

import subprocess

from commands import PLAIN
from house import House
from program_scene import PANLESS
from sqlalchemy import update

from rows.changes import write
from rows.engine import transaction
from vault.processing import inbox
from vault.tables import webhook_inbox


def run(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PANLESS, "webhooks", *words], env=PLAIN | house.environment, capture_output=True, text=True, check=False
    )


def test_what_came_to_nothing(own_house: House) -> None:
    """Listed with account, type and the processor's names; given back by account, once."""
    tenant = own_house.tenant()
    parts = own_house.components
    named = {"payment": "pi_1", "method": None, "dispute": "du_1", "setup": None}
    kind = "charge.dispute.created"
    with transaction(parts.records) as tx:
        write(
            tx,
            inbox.kept(
                parts.keyring, tenant.id, tenant.account, event="evt_1", kind=kind, named=named, at=parts.clock()
            ),
        )
    assert run(own_house, "left").stdout == ""
    with transaction(parts.records) as tx:
        tx.execute(update(webhook_inbox).values(state="unmatched"))
    [line] = run(own_house, "left").stdout.splitlines()
    assert line.split()[:3] == [tenant.account, kind, "unmatched"]
    assert line.endswith(": pi_1 du_1")
    again = run(own_house, "retry", tenant.account)
    assert (again.returncode, again.stdout.strip()) == (0, "The worker looks into 1 again.")
    assert run(own_house, "left").stdout == ""
    assert "no event" in run(own_house, "retry", tenant.account).stderr.lower()
