"""What somebody who writes to the records, and has none of our keys, tries against the audit log. Verify finds it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attacked_log import change, taken, write
from audit_commands_scene import run
from house import House, Tenant
from records_scene import rows
from sequencing_scene import put_back, rounds
from sqlalchemy import delete, insert, select, text, update
from tlog_scene import exported, findings, log, look

from rows.engine import transaction
from vault.errors import LogBroken
from vault.lanes.keeping import anchor_once, sequence_once
from vault.tables import audit_entries, audit_logs, audit_tiles

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
def tenant(own_house: House) -> Tenant:
    tenant = own_house.tenant()
    look(tenant, 5)
    rounds(tenant)
    return tenant


def restart(tenant: Tenant) -> None:
    """As in a worker that has just been started."""
    tenant.house.components.logs.logs.clear()


def verified(tenant: Tenant, *words: str) -> int:
    return run(tenant.house.environment, "verify", *words).returncode


@pytest.mark.parametrize("checkpoint", [b"garbage", None], ids=["garbage", "an older one"])
def test_no_anchor_is_written_that_the_log_is_not(tenant: Tenant, checkpoint: bytes | None) -> None:
    """A row that claims another size than is signed there is not anchored: nothing hides the anchors that there are."""
    old, note = taken(tenant), log(tenant.house, tenant.id).checkpoint
    look(tenant, 7)
    rounds(tenant, 2)
    now = log(tenant.house, tenant.id)
    change(tenant, size=10**15, checkpoint=note if checkpoint is None else checkpoint, waiting_since=LONG_AGO)
    assert LogBroken in {type(error) for _, error in rounds(tenant)}
    folder = tenant.house.components.settings.audit_anchor / tenant.id / "1"
    assert f"{10**15:020}.checkpoint" not in {path.name for path in folder.iterdir()}
    put_back(tenant, old)
    restart(tenant)
    assert verified(tenant) == 1
    look(tenant)
    rounds(tenant, 2)
    assert log(tenant.house, tenant.id).generation == 2
    assert now.size > 0
    assert (verified(tenant), verified(tenant, "--restored", "2")) == (1, 0)


def test_a_log_rolled_back_under_the_workers_hands(tenant: Tenant) -> None:
    """Between a worker's look and its signature: it holds what it signs against what it saw, under the lock."""
    old = taken(tenant)
    look(tenant, 4)
    rounds(tenant, 2)
    shop = tenant.house.components.workshop
    put_back(tenant, old)
    look(tenant)
    sequence_once(shop, lambda _what, _error: None)
    assert log(tenant.house, tenant.id).size == old["audit_logs"][0]["size"]
    assert shop.logs.of(tenant.id).is_unsure
    rounds(tenant, 2)
    assert log(tenant.house, tenant.id).generation == 2


def test_a_generation_is_not_taken_back(tenant: Tenant) -> None:
    """Who puts back a log from before an honest restore has a third one begun."""
    old = taken(tenant)
    look(tenant, 4)
    rounds(tenant, 2)
    put_back(tenant, old)
    restart(tenant)
    look(tenant)
    rounds(tenant, 3)
    assert log(tenant.house, tenant.id).generation == 2
    put_back(tenant, old)
    restart(tenant)
    assert verified(tenant) == 1
    look(tenant)
    rounds(tenant, 3)
    assert log(tenant.house, tenant.id).generation == 3
    assert verified(tenant, "--restored", "2") == 1


def test_a_generation_that_no_entry_began_is_not_signed(tenant: Tenant) -> None:
    """A number in the log's row is no restore."""
    restart(tenant)
    change(tenant, generation=2)
    look(tenant)
    assert LogBroken in {type(error) for _, error in rounds(tenant)}
    assert log(tenant.house, tenant.id).anchored_size == log(tenant.house, tenant.id).size


MINE: dict[str, Callable[[Tenant], list[Any]]] = {
    "empty checkpoint": lambda tenant: [
        update(audit_logs).where(audit_logs.c.tenant_id == tenant.id).values(checkpoint=b"")
    ],
    "log deleted": lambda tenant: [delete(audit_logs).where(audit_logs.c.tenant_id == tenant.id)],
    "all deleted": lambda tenant: [
        delete(table).where(table.c.tenant_id == tenant.id) for table in (audit_logs, audit_entries, audit_tiles)
    ],
    "hidden below": lambda tenant: [_placed(tenant, -1)],
    "hidden above": lambda tenant: [_placed(tenant, 10**12)],
}


def _placed(tenant: Tenant, place: int) -> Any:
    mine = audit_entries.c.tenant_id == tenant.id
    return update(audit_entries).where(mine, audit_entries.c.position.is_(None)).values(position=place)


@pytest.mark.parametrize("how", MINE)
def test_what_is_gone_or_hidden_is_missed(tenant: Tenant, how: str) -> None:
    """A log without a row, or without a checkpoint; an entry with a place that no log has."""
    with transaction(tenant.house.components.records) as tx:
        mine = select(audit_entries).where(audit_entries.c.tenant_id == tenant.id).limit(1)
        one = {**tx.execute(mine).mappings().one(), "lane": "f" * 32, "position": None}
        if how.startswith("hidden"):
            tx.execute(insert(audit_entries), one)
    write(tenant, *MINE[how](tenant))
    assert verified(tenant) == 1


def test_a_place_that_nobody_gave_stops_the_log_and_is_named(tenant: Tenant) -> None:
    """The next place is taken: it is told as what it is, not as a database's error."""
    size = log(tenant.house, tenant.id).size
    look(tenant, 2)
    mine = audit_entries.c.tenant_id == tenant.id, audit_entries.c.position.is_(None), audit_entries.c.counter > 0
    with transaction(tenant.house.components.records) as tx:
        lane, counter = tx.execute(select(audit_entries.c.lane, audit_entries.c.counter).where(*mine).limit(1)).one()
        this = audit_entries.c.tenant_id == tenant.id, audit_entries.c.lane == lane, audit_entries.c.counter == counter
        tx.execute(update(audit_entries).where(*this).values(position=size))
    assert "has a place that nobody gave it" in str([error for _, error in rounds(tenant)])
    assert verified(tenant) == 1


def test_a_name_from_the_database_leads_nowhere(tenant: Tenant, tmp_path: Path) -> None:
    """A log of a tenant that is a path: no file is written outside of the anchors."""
    evil = tmp_path / "evil"
    for name in (str(evil), "../evil"):
        row = {"generation": 1, "size": 1, "checkpoint": b"x", "anchored_size": 0, "waiting_since": LONG_AGO}
        write(tenant, insert(audit_logs).values(tenant_id=name[:40], **row))
    reported: list[Exception] = []
    anchor_once(tenant.house.components.workshop, lambda _what, error: reported.append(error))
    assert len(reported) >= 2
    assert not evil.exists()
    assert not (tenant.house.components.settings.audit_anchor.parent / "evil").exists()


def test_a_row_that_somebody_holds_is_told(own_house: House, tenant: Tenant) -> None:
    """On PostgreSQL a lock on the log's row keeps it from being signed: after half a minute the worker says so."""
    if own_house.components.records.dialect.name == "sqlite":
        return  # there a lock on one row is a lock on all: nothing is written meanwhile
    look(tenant)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(own_house.components.records) as tx:
            tx.execute(text("SELECT * FROM audit_logs FOR UPDATE"))
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    parts, reported = own_house.components, list[Exception]()
    shop = replace(parts, logs=replace(parts.logs, rest=0.2)).workshop
    for _ in range(3):
        sequence_once(shop, lambda _what, error: reported.append(error))
        threading.Event().wait(0.3)
    done.set()
    holder.join()
    assert "Somebody holds the row" in str(reported)


def test_an_export_after_a_restore_is_whole(tenant: Tenant, tmp_path: Path) -> None:
    """Into a folder that has full tiles of what was lost: they are written again."""
    old = taken(tenant)
    look(tenant, 600)
    rounds(tenant, 2)
    exported(tenant, tmp_path)
    put_back(tenant, old)
    restart(tenant)
    look(tenant, 700)
    rounds(tenant, 3)
    assert findings(tenant, exported(tenant, tmp_path)) == []


@pytest.mark.parametrize(
    "place", ["0/x999/x999/x999/x999/x999/x999/x999/999", "entries/x099/x999/x999/x999/x999/x999/999"]
)
def test_numbers_that_no_log_reaches(tenant: Tenant, place: str) -> None:
    """404, and no database is asked."""
    assert tenant.call("GET", f"/v1/audit/tile/{place}", role="auditor").status_code == 404
    assert rows(tenant.house, audit_tiles, tenant_id=tenant.id) != []
