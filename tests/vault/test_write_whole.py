import time
from collections.abc import Sequence

from house import House, Tenant
from records_scene import at_once, row, rows, worker_of
from sqlalchemy import Connection, text

from rows.changes import Change, inserted, updated, write
from rows.engine import transaction
from vault import audit
from vault.ids import new_id
from vault.people.customer_rows import held
from vault.tables import audit_entries, ledger_outbox, tenants
from vault.tables import customers as customer_table


def _outbox(tenant: Tenant, entry_id: str) -> Change:
    row = {"tenant_id": tenant.id, "entry_id": entry_id, "decided_at": tenant.caller.at, "body": "{}"}
    return inserted(ledger_outbox, row | {"seq": 0}, if_absent=True)


def _write(tenant: Tenant, *changes: Change) -> bool:
    parts = tenant.house.components

    def make(tx: Connection) -> Sequence[Change]:
        return [*changes, audit.entry(parts.desk(worker_of(tenant)), tx, "test.note")]

    return audit.write_whole(parts.records, make)


def _lanes(tenant: Tenant) -> list[tuple[str, int]]:
    return [(each.lane, each.counter) for each in rows(tenant.house, audit_entries, tenant_id=tenant.id)]


def test_all_of_it_or_nothing(own_house: House) -> None:
    """One part that makes no row takes the others back, wherever it stands; no number is missing in any lane."""
    tenant = own_house.tenant()
    first, second, third = (new_id("led", tenant.id) for _ in range(3))
    absent = updated(tenants, {"tenant_id": "ten_nobody"}, {"name": "x"})
    assert _write(tenant, _outbox(tenant, first))
    assert not _write(tenant, _outbox(tenant, second), _outbox(tenant, first))
    assert not _write(tenant, absent, _outbox(tenant, third))
    assert not _write(tenant, _outbox(tenant, third), absent)
    assert _write(tenant, _outbox(tenant, second))
    assert {row.entry_id for row in rows(own_house, ledger_outbox, tenant_id=tenant.id)} == {first, second}
    lanes = _lanes(tenant)
    for lane in {lane for lane, _ in lanes}:
        counters = sorted(counter for each, counter in lanes if each == lane)
        assert counters == list(range(1, len(counters) + 1))


def test_what_must_be_there_and_is_not(own_house: House) -> None:
    """A customer that is not active, not this tenant's, or has another DEK or contact by now: nothing is written."""
    tenant, other = own_house.tenant(), own_house.tenant()
    person = other.call("POST", "/v1/customers", {}).get_json()["id"]
    found = row(own_house, customer_table, customer_id=person)
    dek, contact = found.dek_id, found.contact_version
    assert not _write(tenant, held(tenant.caller, person, dek, contact), _outbox(tenant, new_id("led", tenant.id)))
    assert not _write(other, held(other.caller, person, bytes(16), contact), _outbox(other, new_id("led", other.id)))
    assert not _write(other, held(other.caller, person, dek, contact + 1), _outbox(other, new_id("led", other.id)))
    assert _write(other, held(other.caller, person, dek, contact), _outbox(other, new_id("led", other.id)))
    assert other.call("DELETE", f"/v1/customers/{person}").status_code == 202
    assert not _write(other, held(other.caller, person, dek, contact), _outbox(other, new_id("led", other.id)))


def test_of_many_at_once_one_writes(own_house: House) -> None:
    """Twenty that would make the same row: one of them does, the others leave nothing."""
    tenant = own_house.tenant()
    entry, before = new_id("led", tenant.id), len(_lanes(tenant))
    assert sum(at_once(20, lambda _: _write(tenant, _outbox(tenant, entry)), threads=8)) == 1
    assert len(_lanes(tenant)) == before + 1


def test_the_victim_of_a_deadlock_is_made_once_more(own_house: House) -> None:
    """Another transaction takes the same rows the other way round: both are made, and no number is missing."""
    mine, other = own_house.tenant(), own_house.tenant()

    def named(tenant: Tenant, name: str) -> Change:
        return updated(tenants, {"tenant_id": tenant.id}, {"name": name})

    _be_patient(own_house)

    def act(which: int) -> bool:
        if which:
            time.sleep(0.2)
            return _write(mine, named(mine, "W"), named(other, "W"))
        with transaction(own_house.components.records) as tx:
            write(tx, named(other, "T"))
            time.sleep(0.6)
            return all(write(tx, named(mine, "T")))

    assert at_once(2, act) == [True, True]
    assert [each.name for tenant in (mine, other) for each in rows(own_house, tenants, tenant_id=tenant.id)] == [
        "W",
        "W",
    ]
    assert {counter for _, counter in _lanes(mine)} == {*range(1, 1 + max(counter for _, counter in _lanes(mine)))}


def _be_patient(house: House) -> None:
    """PostgreSQL looks for a deadlock once, when who waits has waited for so long, and ends who looks.

    After one second the other one might not wait yet on a busy machine, and would be the one that looks.
    """
    records = house.components.records
    if records.dialect.name == "postgresql":
        name = records.url.database
        with records.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"ALTER DATABASE \"{name}\" SET deadlock_timeout = '4s'"))
        records.dispose()  # what connects from now on has it
