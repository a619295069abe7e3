"""Holds through restored backups: what was set is in force again, what was lifted is lifted."""

from dataclasses import replace
from pathlib import Path

from backups import backup, restore
from holds_scene import ahead, assert_blocked, bring_back, entries, erase, hold, lift, listed, new
from house import House
from records_scene import later, row, rows, work

from vault.tables import customers
from vault.tables import holds as hold_table


def test_holds_survive_a_restore(own_house: House, tmp_path: Path) -> None:
    """Set after the backup: in force again, as it was. Lifted after the backup: lifted again, at the same moment."""
    tenant = own_house.tenant()
    set_later, lifted_later = new(tenant), new(tenant)
    old = hold(tenant, lifted_later)
    copy = backup(own_house.components.records, tmp_path / "r")
    order = {"reason": "regulatory", "classes": ["card", "contact"], "until": ahead(days=7)}
    made = tenant.call("POST", f"/v1/customers/{set_later}/holds", order, Panless_Actor="counsel-7").get_json()
    lifted = lift(tenant, old["id"]).get_json()
    before = rows(own_house, hold_table)
    restore(own_house.components.records, copy)
    assert own_house.components.guard.check().code == "records_restored"
    assert row(own_house, hold_table).lifted_at is None
    bring_back(own_house)
    assert sorted(rows(own_house, hold_table)) == sorted(before)
    assert (listed(tenant, set_later), listed(tenant, lifted_later)) == ([made], [lifted])
    assert_blocked(erase(tenant, set_later), "hold", until=order["until"])
    assert erase(tenant, lifted_later).status_code == 200
    assert lift(tenant, made["id"]).status_code == 200
    assert erase(tenant, set_later).status_code == 200


def test_set_and_lifted_since_the_backup(own_house: House, tmp_path: Path) -> None:
    """Both come back in their order; a restored keystore changes nothing about that."""
    tenant = own_house.tenant()
    customer = new(tenant)
    parts = own_house.components
    copies = [backup(engine, tmp_path / name) for engine, name in ((parts.records, "r"), (parts.keystore, "k"))]
    lifted = lift(tenant, hold(tenant, customer)["id"]).get_json()
    stays = hold(tenant, customer)
    for engine, copy in zip((parts.records, parts.keystore), copies, strict=True):
        restore(engine, copy)
    bring_back(own_house)
    assert listed(tenant, customer) == [stays, lifted]
    assert_blocked(erase(tenant, customer), "hold")


def test_a_lift_that_was_pending_in_the_backup(own_house: House, tmp_path: Path) -> None:
    """Decided before the backup, applied after it: it is no longer in force after the replay."""
    tenant = own_house.tenant()
    customer, someone = new(tenant), new(tenant)
    held = hold(tenant, customer)["id"]
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    assert lift(tenant, held).status_code == 503
    copy = backup(own_house.components.records, tmp_path / "r")
    away.rename(ledger)
    assert lift(tenant, held).status_code == 200
    other = hold(tenant, someone)["id"]
    restore(own_house.components.records, copy)
    assert row(own_house, hold_table, hold_id=held).lifted_at is None
    bring_back(own_house)
    assert row(own_house, hold_table, hold_id=held).lifted_at is not None
    assert row(own_house, hold_table, hold_id=other).lifted_at is None


def test_the_first_lift_counts(own_house: House, tmp_path: Path) -> None:
    """Lifted again in restored records, by a request let in before: after the replay the first lift counts."""
    tenant = own_house.tenant()
    held = hold(tenant, new(tenant))["id"]
    copy = backup(own_house.components.records, tmp_path / "r")
    first = lift(tenant, held).get_json()["lifted_at"]
    restore(own_house.components.records, copy)
    witness = own_house.components.ledger.witness
    witness.vouched, witness.alarm = None, lambda: None
    tomorrow = replace(tenant, house=later(own_house, days=1))
    assert lift(tomorrow, held).status_code >= 500
    bring_back(own_house)
    assert work(own_house) == []
    assert sum("hold.lift" in each for each in entries(own_house)) == 2
    assert lift(tenant, held).get_json()["lifted_at"] == first


def test_a_hold_of_a_customer_that_is_lost(own_house: House, tmp_path: Path) -> None:
    """The customer is newer than the backup: nothing is left to hold, the replay goes on, and lifting finds nothing."""
    copy = backup(own_house.components.records, tmp_path / "r")
    tenant = own_house.tenant()
    customer = new(tenant)
    lift(tenant, hold(tenant, customer)["id"])
    assert erase(tenant, customer).status_code == 200
    hold(tenant, new(tenant))
    restore(own_house.components.records, copy)
    bring_back(own_house)
    assert rows(own_house, hold_table) == []
    assert row(own_house, customers).state == "erased"
