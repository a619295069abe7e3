"""Entries get their places, each checkpoint continues the one before, and what was changed meanwhile is not signed."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from house import PURPOSE, House, Tenant, make_app
from records_scene import CONTACT, at_once, rows
from rights_scene import approved, asked
from sequencing_scene import Older, put_back, rounds
from sqlalchemy import delete, select, update
from tlog_scene import exported, findings, in_records, log, look, place, settle

from rows.engine import reading, transaction
from vault.errors import LogBroken
from vault.tables import audit_entries, audit_logs, audit_tiles
from vault.tlog import lateness


@pytest.fixture
def tenant(tenant: Tenant) -> Iterator[Tenant]:
    """A tenant whose log goes with the test: a worker would report to others of this house what was broken here."""
    yield tenant
    with transaction(tenant.house.components.records) as tx:
        for table in (audit_entries, audit_logs, audit_tiles):
            tx.execute(delete(table).where(table.c.tenant_id == tenant.id))


@pytest.fixture
def older(tenant: Tenant) -> Older:
    """What the records had of this log when it was younger."""
    look(tenant, 5)
    rounds(tenant)
    tables = (audit_entries, audit_logs, audit_tiles)
    with reading(tenant.house.components.records) as connection:
        found = {each.name: connection.execute(select(each).where(each.c.tenant_id == tenant.id)) for each in tables}
        return {name: [dict(row) for row in result.mappings()] for name, result in found.items()}


def test_every_entry_gets_one_place(tenant: Tenant) -> None:
    """In any number of rounds: places 0, 1, 2 ...; a lane's numbers in their order; nothing wrong anywhere."""
    base = settle(tenant)
    look(tenant, 3)
    assert place(tenant) == 3
    look(tenant, 300)
    assert (place(tenant), place(tenant)) == (300, 0)
    entries = sorted(rows(tenant.house, audit_entries, tenant_id=tenant.id), key=lambda each: each.position)
    assert [each.position for each in entries] == list(range(base + 303))
    for lane in {each.lane for each in entries}:
        counters = [each.counter for each in entries if each.lane == lane]
        assert counters == list(range(1, len(counters) + 1))
    assert findings(tenant, in_records(tenant)) == []


def test_what_a_customer_does_is_in_the_log(tenant: Tenant, tmp_path: Path) -> None:
    """Through the door, with the worker's rounds: the exported log holds the look, and continues each checkpoint."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    notes = []
    for _ in range(5):
        answer = tenant.call("GET", f"/v1/customers/{token['customer']}/billing-contact", **PURPOSE)
        assert rounds(tenant) == []
        notes.append(log(tenant.house, tenant.id).checkpoint)
    assert findings(tenant, exported(tenant, tmp_path), *notes) == []
    [bundle] = tmp_path.glob("tile/entries/*.p/*")
    assert answer.headers["Request-Id"].encode() in bundle.read_bytes()


def test_two_workers_make_one_log(tenant: Tenant) -> None:
    """Many at once, while entries are written: one line of checkpoints, each entry in one place."""
    base = settle(tenant)

    def write_or_place(number: int) -> None:
        look(tenant, 5) if number % 2 else place(tenant)

    at_once(40, write_or_place, threads=8)
    while place(tenant):
        pass
    assert sorted(each.position for each in rows(tenant.house, audit_entries, tenant_id=tenant.id)) == list(
        range(base + 100)
    )
    assert findings(tenant, in_records(tenant)) == []


def test_a_backlog_is_placed_in_batches(tenant: Tenant) -> None:
    """More than one batch holds: the rest comes next, and at each checkpoint no lane lacks a number."""
    settle(tenant)
    at_once(20, lambda _number: look(tenant, 10), threads=4)
    placed = []
    while done := place(tenant, most=70):
        placed.append(done)
        assert findings(tenant, in_records(tenant)) == []
    assert placed == [70, 70, 60]


@pytest.mark.parametrize(("word", "other"), [("contact.read", "token.create"), ("x", "x")], ids=["forged", "copied"])
def test_a_forged_entry_gets_no_place(tenant: Tenant, word: str, other: str) -> None:
    """A writer of the database can have neither an entry of its own signed nor a copy, and holds up nobody's."""
    settle(tenant)
    look(tenant, 2)
    with transaction(tenant.house.components.records) as tx:
        mine = select(audit_entries).where(
            audit_entries.c.tenant_id == tenant.id, audit_entries.c.action == "contact.read"
        )
        first = tx.execute(mine.limit(1)).mappings().one()
        forged = {**first, "lane": "0" * 32, "counter": 1, "leaf": first["leaf"].replace(word, other)}
        tx.execute(audit_entries.insert(), forged)
    assert place(tenant) == 2
    [left] = [each for each in rows(tenant.house, audit_entries, tenant_id=tenant.id) if each.position is None]
    assert left.lane == "0" * 32


@pytest.mark.parametrize("what", ["tile", "root", "size", "checkpoint"])
def test_what_was_changed_is_not_signed_over(tenant: Tenant, what: str) -> None:
    """A tile or the log's row differs from what was signed: nothing more is signed, and the worker says so."""
    look(tenant, 300 - settle(tenant))
    place(tenant)
    mine = audit_logs.c.tenant_id == tenant.id
    note = log(tenant.house, tenant.id).checkpoint
    changes = {
        "tile": update(audit_tiles).where(audit_tiles.c.tenant_id == tenant.id).values(hashes=bytes(32 * 256)),
        "size": update(audit_logs).where(mine).values(size=299),
        "root": update(audit_logs).where(mine).values(checkpoint=note.replace(b"\n300\n", b"\n301\n")),
        "checkpoint": update(audit_logs).where(mine).values(checkpoint=b""),
    }
    with transaction(tenant.house.components.records) as tx:
        tx.execute(changes[what])
    look(tenant)
    with pytest.raises(LogBroken, match="was changed"):
        place(tenant)
    assert rows(tenant.house, audit_entries, tenant_id=tenant.id, position=300) == []


def test_a_log_that_was_changed_holds_up_no_other(own_house: House) -> None:
    """It is reported once and then left alone for a while; others go on."""
    house = own_house
    broken, whole = house.tenant(), house.tenant()
    look(broken)
    place(broken)
    with transaction(house.components.records) as tx:
        tx.execute(update(audit_logs).where(audit_logs.c.tenant_id == broken.id).values(size=1))
    look(broken)
    look(whole)
    assert [type(error) for what, error in rounds(broken, 3) if what == "audit_log"] == [LogBroken]
    assert log(house, whole.id).size == len(rows(house, audit_entries, tenant_id=whole.id))


def test_anchors_follow_the_log(tenant: Tenant) -> None:
    """Each checkpoint that was anchored lies there unchanged, and what is anchored waits no longer."""
    rounds(tenant)
    first = log(tenant.house, tenant.id)
    look(tenant)
    rounds(tenant, 2)
    second = log(tenant.house, tenant.id)
    folder = tenant.house.components.settings.audit_anchor / tenant.id / "1"
    assert [path.name for path in sorted(folder.iterdir())] == [f"{row.size:020}.checkpoint" for row in (first, second)]
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [first.checkpoint, second.checkpoint]
    assert (second.anchored_size, second.waiting_since) == (second.size, None)


@pytest.mark.parametrize("again", [False, True], ids=["other worker", "same worker"])
def test_restored_records_begin_a_new_generation(tenant: Tenant, older: Older, tmp_path: Path, *, again: bool) -> None:
    """Nothing that was signed before is contradicted: the log says what it lost, and a verifier tells it so."""
    kept = log(tenant.house, tenant.id)
    look(tenant, 4)
    rounds(tenant)
    lost = log(tenant.house, tenant.id)
    put_back(tenant, older)
    look(tenant, 3)
    if not again:
        tenant.house.components.logs.logs.clear()
    assert rounds(tenant, 2) == []
    now = log(tenant.house, tenant.id)
    assert (now.generation, now.size) == (2, kept.size + 3 + 1)
    assert now.checkpoint.startswith(f"panless/{tenant.house.components.keyring.deployment}/{tenant.id}/2\n".encode())
    folder = exported(tenant, tmp_path)
    assert findings(tenant, folder, kept.checkpoint, now.checkpoint) == []
    [told] = findings(tenant, folder, lost.checkpoint)
    assert told.what.startswith(f"Entries {kept.size} to {lost.size - 1} are lost, generation 2 says so")
    assert told.told_by == 2


def test_a_database_writer_can_not_roll_the_log_back(tenant: Tenant, older: Older, tmp_path: Path) -> None:
    """Who puts back the log from before a look has it told in a new generation; the anchor still names the look."""
    look(tenant, 1)
    rounds(tenant)
    seen = log(tenant.house, tenant.id).checkpoint
    put_back(tenant, older)
    assert findings(tenant, in_records(tenant), seen) != []
    look(tenant, 1)
    rounds(tenant, 2)
    assert [each.action for each in rows(tenant.house, audit_entries, tenant_id=tenant.id)].count("log.restored") == 1
    assert len(findings(tenant, exported(tenant, tmp_path), seen)) == 1


def test_an_anchor_of_somebody_else_is_no_anchor(tenant: Tenant) -> None:
    """What lies among the anchors and is none of ours neither stops the log nor hides what is there of ours."""
    rounds(tenant)
    base = log(tenant.house, tenant.id).size
    folder = tenant.house.components.settings.audit_anchor / tenant.id / "1"
    (folder / f"{99:020}.checkpoint").write_bytes(b"panless/x/y\n99\n\n")
    look(tenant)
    tenant.house.components.logs.logs.clear()  # as in a worker that has just been started
    assert rounds(tenant, 2) == []
    assert log(tenant.house, tenant.id).size == base + 1
    assert log(tenant.house, tenant.id).generation == 1


def test_what_must_be_provable_waits_for_a_stale_anchor(tenant: Tenant) -> None:
    """Export, package and certificate: 503 once nothing was anchored for five minutes. Charging: never."""
    house = tenant.house
    tenant = replace(tenant, house=replace(house, app=make_app(house.components, anchored=True)))
    token = tenant.token(customer={"billing_contact": CONTACT})
    gone = tenant.token()
    request = tenant.call("DELETE", f"/v1/customers/{gone['customer']}").get_json()["id"]
    while tenant.house.work()[0]:
        pass
    ordered = approved(tenant, asked(tenant, "access", customers=[token["customer"]])["id"])["id"]
    while tenant.house.work()[0]:
        pass
    provable = {
        f"/v1/customers/{token['customer']}/export": PURPOSE,
        f"/v1/rights-requests/{request}/certificate": {},
        f"/v1/rights-requests/{ordered}/package": {},
    }
    assert {
        path: tenant.call("GET", path, **headers).status_code for path, headers in provable.items()
    } == dict.fromkeys(provable, 200)
    folder = tenant.house.components.settings.audit_anchor
    away = folder.rename(folder.with_name("away"))
    look(tenant)
    parts = tenant.house.components
    with transaction(parts.records) as tx:
        tx.execute(
            update(audit_logs)
            .where(audit_logs.c.tenant_id == tenant.id)
            .values(waiting_since=parts.clock() - lateness.STALE - timedelta(seconds=1))
        )
    for path, headers in provable.items():
        answer = tenant.call("GET", path, **headers)
        assert (answer.status_code, answer.get_json()["code"]) == (503, "audit_anchor_stale")
    assert tenant.charge(token["id"]).status_code == 201
    assert tenant.call("GET", f"/v1/customers/{token['customer']}/billing-contact", **PURPOSE).status_code == 200
    away.rename(folder)
    assert rounds(tenant) == []
    assert {
        path: tenant.call("GET", path, **headers).status_code for path, headers in provable.items()
    } == dict.fromkeys(provable, 200)
