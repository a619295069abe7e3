"""What a process is set up with, on the record: names of what changed, and never a value."""

import json
import os
import subprocess
import sys
from typing import Any

from house import ROOT, House, serve
from records_scene import rows
from sqlalchemy import select

from rows.engine import reading
from vault import configurations
from vault.tables import audit_entries, deployment


def told(house: House) -> list[dict[str, Any]]:
    mine = {"tenant_id": house.components.keyring.deployment, "action": "configuration.changed"}
    return [json.loads(each.leaf)["details"] for each in rows(house, audit_entries, **mine)]


def note(house: House, kind: str, **values: str) -> list[str]:
    parts = house.components
    return configurations.note(parts.records, parts.keyring, kind, values, parts.clock())


def test_a_change_is_told_by_its_name(own_house: House) -> None:
    """What is new, other or gone, by kind of process; what is the same is not told again."""
    assert note(own_house, "server", A="1", B="secret-2") == ["A", "B"]
    assert note(own_house, "server", A="1", B="secret-2") == []
    assert note(own_house, "worker", A="1") == ["A"]
    assert note(own_house, "server", A="3", C="1") == ["A", "B", "C"]
    assert [each["changed"] for each in told(own_house)] == [["A", "B"], ["A"], ["A", "B", "C"]]
    with reading(own_house.components.records) as connection:
        kept = connection.execute(select(deployment.c.configurations)).scalar_one()
    assert "secret-2" not in kept + json.dumps(told(own_house))


def test_a_server_and_a_worker_tell_what_they_are_set_up_with(own_house: House, free_port: int) -> None:
    """Once a start, and again only when something differs."""
    for _ in range(2):
        with serve(own_house, free_port):
            pass
    worker = [sys.executable, "-m", "panless", "worker", "--once"]
    subprocess.run(worker, cwd=ROOT, env={"PATH": os.environ["PATH"], **own_house.environment}, check=True)
    with serve(own_house, free_port, PANLESS_KEK_TTL="60"):
        pass
    changed = [(each["kind"], each["changed"]) for each in told(own_house)]
    assert [kind for kind, _ in changed].count("server") == 2
    assert ("server", ["PANLESS_KEK_TTL"]) in changed
    assert "PANLESS_RECORDS_URL" in changed[0][1]
