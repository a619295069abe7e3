"""The worker is killed (SIGKILL) at each step of placing, signing and anchoring."""

from collections import Counter
from itertools import count

from house import House
from killing import dying
from records_scene import later, rows
from tlog_scene import findings, in_records, log, look, settle

from vault.tables import audit_entries

TIMES = 3


def test_killed_at_each_step(own_house: House) -> None:
    """Each entry has one place in the end, the log verifies, and continues every checkpoint that was ever anchored."""
    tenant, met = own_house.tenant(), Counter[str]()
    program = dying(tenant)
    for number in count(1):
        look(tenant, 300 if number < TIMES else 2)  # over the edge of a tile
        name, _ = program.die("place", number)
        met[name] += 1
        if met["finished"] == TIMES:
            break
    size = settle(tenant)
    later(own_house, seconds=60).work()
    assert met["before anchor write"] >= 1
    assert met["after anchor write"] >= 1
    assert met["before records commit"] >= 2
    entries = rows(own_house, audit_entries, tenant_id=tenant.id)
    assert sorted(each.position for each in entries) == list(range(size))
    row = log(own_house, tenant.id)
    anchors = own_house.components.settings.audit_anchor / tenant.id / "1"
    assert (row.generation, row.anchored_size) == (1, size)
    assert findings(tenant, in_records(tenant), *(each.read_bytes() for each in anchors.glob("*.checkpoint"))) == []
