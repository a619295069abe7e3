"""What one worker knows of a log besides its row: how far others took it, and whether what it saw is anchored."""

from dataclasses import replace
from pathlib import Path

import pytest
from attacked_log import change, taken, write
from house import House, Tenant
from records_scene import later
from sqlalchemy import delete, insert, update
from tlog_scene import log, look

from vault.lanes.keeping import anchor_once, sequence_once
from vault.stores.directory import DirectoryStore
from vault.stores.kinds import ANCHORS
from vault.tables import audit_entries, audit_logs, audit_tiles
from vault.tlog.watched import LogWatch


@pytest.fixture
def tenant(own_house: House) -> Tenant:
    tenant = own_house.tenant()
    look(tenant, 5)
    return tenant


def place_of(house: House) -> Path:
    found = house.components.settings.audit_anchor
    assert isinstance(found, Path)
    return found


def seen(house: House, tenant: Tenant) -> int:
    """How far the worker that the house is saw the tenant's log."""
    found = house.components.logs.of(tenant.id).seen
    assert found is not None
    return found.size


def another_worker(house: House) -> House:
    store = DirectoryStore(place_of(house), ANCHORS)
    return replace(house, components=replace(house.components, logs=LogWatch(anchors=store)))


def turn(house: House, *lanes: str, seconds: float = 0) -> str:
    """These lanes once, so much later, of the worker that the house is; what it reported."""
    reported: list[Exception] = []
    shop = later(house, seconds=seconds).components.workshop
    for lane in lanes or ("look", "place", "anchor"):
        step = sequence_once if lane == "place" else anchor_once
        step(shop, lambda _what, error: reported.append(error))
    return str(reported)


def test_a_worker_follows_what_another_one_signs(tenant: Tenant) -> None:
    """A log that is put back to where the idle worker saw it last is not signed on by that one."""
    one, other = tenant.house, another_worker(tenant.house)
    assert turn(one) + turn(one, seconds=60) == "[][]"
    older = taken(tenant)
    look(tenant, 10)
    assert turn(other) + turn(other, seconds=60) == "[][]"
    size = log(one, tenant.id).size
    assert seen(one, tenant) < size
    one.components.logs.followed = 0.0
    turn(one, "place")
    assert seen(one, tenant) == size
    write(tenant, *(delete(table).where(table.c.tenant_id == tenant.id) for table in (audit_entries, audit_tiles)))
    write(tenant, delete(audit_logs).where(audit_logs.c.tenant_id == tenant.id))
    for table in (audit_logs, audit_entries, audit_tiles):
        write(tenant, insert(table).values(older[table.name]))
    look(tenant)
    turn(one, "place")
    assert log(one, tenant.id).size == older["audit_logs"][0]["size"]
    assert one.components.logs.of(tenant.id).is_unsure
    turn(one, "look")
    assert log(one, tenant.id).generation == 2


def test_a_row_that_says_it_is_anchored_is_not_believed(tenant: Tenant) -> None:
    """The worker anchors what it saw itself, whatever a writer of the database makes of its row."""
    turn(tenant.house)
    turn(tenant.house, seconds=30)
    before = {*place_of(tenant.house).rglob("*.checkpoint")}
    look(tenant, 3)
    for seconds in (31, 32, 80):
        turn(tenant.house, "place", seconds=seconds)
        change(tenant, waiting_since=None, anchored_size=10_000)
        turn(tenant.house, "anchor", seconds=seconds)
    [new] = {*place_of(tenant.house).rglob("*.checkpoint")} - before
    assert new.name == f"{log(tenant.house, tenant.id).size:020}.checkpoint"


def test_anchors_that_are_gone_are_missed(tenant: Tenant) -> None:
    """A log that was anchored, and has no anchor where a new worker looks: nothing is signed until they are back."""
    turn(tenant.house)
    turn(tenant.house, seconds=60)
    place, away = place_of(tenant.house) / tenant.id, place_of(tenant.house).parent / "away"
    place.rename(away)
    look(tenant)
    size = log(tenant.house, tenant.id).size
    new = another_worker(tenant.house)
    assert "there is no anchor of it" in turn(new, "look", "place")
    assert log(tenant.house, tenant.id).size == size
    away.rename(place)
    new.components.logs.of(tenant.id).rests_until = 0.0
    assert turn(new, "look", "place") == "[]"
    assert log(tenant.house, tenant.id).size == size + 1


class Overwriting(DirectoryStore):
    """A store that takes every write, as object stores do that do not know `If-None-Match`."""

    def within(self, folder: str) -> "Overwriting":
        return Overwriting(self._directory / folder, ANCHORS)

    def write(self, seq: int, entry: bytes) -> bool:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._file(seq).write_bytes(entry)
        return True


@pytest.mark.parametrize("is_first", [True, False], ids=["first anchor", "anchors there"])
def test_a_store_that_writes_over_what_it_has_is_refused(tenant: Tenant, *, is_first: bool) -> None:
    """Before anything there is relied on, and with the very first anchor."""
    if not is_first:
        turn(tenant.house)
        turn(tenant.house, seconds=60)
    place = place_of(tenant.house)
    (place / tenant.id / "1").mkdir(parents=True, exist_ok=True)
    look(tenant)
    house = replace(
        tenant.house, components=replace(tenant.house.components, logs=LogWatch(anchors=Overwriting(place, ANCHORS)))
    )
    said = turn(house) + turn(house, seconds=60)
    assert "writes over what it has" in said
    assert log(house, tenant.id).anchored_size == (0 if is_first else log(house, tenant.id).anchored_size)


def test_a_forged_entry_that_is_no_json_stops_nothing(tenant: Tenant) -> None:
    """However deep it nests: who has no key of ours gets no entry placed, and holds nobody's up."""
    turn(tenant.house)
    size = log(tenant.house, tenant.id).size
    row = dict(taken(tenant)["audit_entries"][0]) | {"position": None, "lane": "0" * 32, "counter": 1}
    write(tenant, insert(audit_entries).values(row | {"leaf": "[" * 100_000}))
    look(tenant, 2)
    assert turn(tenant.house, "place") == "[]"
    assert log(tenant.house, tenant.id).size == size + 2
    write(tenant, update(audit_entries).where(audit_entries.c.lane == "0" * 32).values(leaf="{}"))
