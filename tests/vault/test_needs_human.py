"""An intent that can't be ended is given to a human, told, and still looked up; it is never guessed."""

from dataclasses import replace

from house import House, Tenant
from records_scene import Interposed, end_leases, later, row, rows, work
from sqlalchemy import update

from rows.engine import transaction
from vault.errors import NeedsHuman
from vault.recovering import open_intents
from vault.tables import intents


def unknown(tenant: Tenant) -> str:
    tenant.house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    charge: str = tenant.charge(tenant.token()["id"]).get_json()["id"]
    return charge


def test_a_processor_that_never_says(tenant: Tenant) -> None:
    """For a day it is asked; then it needs a human, is reported once, counted with its age, asked each hour."""
    house, records = tenant.house, tenant.house.components.records
    charge = unknown(tenant)
    house.sandbox.fault(path="/v1/payment_intents", method="GET", do="status", status=500, times=99)
    assert work(later(house, hours=23)) == []
    assert row(house, intents, tenant_id=tenant.id, resource_id=charge).state == "pending"
    reported = work(later(house, hours=25))
    assert [type(error) for _, error in reported] == [NeedsHuman]
    [intent] = [
        each for each in open_intents.listed(records, tenant.caller.at, manual=True) if each.resource_id == charge
    ]
    assert f"panless intents show {intent.intent_id}" in str(reported[0][1])
    watched = open_intents.watch(records, later(house, hours=25).components.clock())
    assert (watched.manual >= 1, watched.oldest_manual >= 25 * 3600) == (True, True)
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["status"] == "unknown"
    house.sandbox.clear()
    end_human_leases(house)
    assert house.work()[1] == []
    assert tenant.call("GET", f"/v1/charges/{charge}").get_json()["status"] == "succeeded"


def test_an_error_that_nobody_expected(tenant: Tenant) -> None:
    """Twenty times the same: a human is to see it, however young it is, and it is looked up all the same."""
    house = tenant.house
    charge = unknown(tenant)

    def broken(_: object) -> None:
        raise ValueError("what nobody thought of")

    real = house.components.processors["sandbox"]
    components = replace(house.components, processors={"sandbox": Interposed(real, list_payments=broken)})
    for _ in range(20):
        reported = work(replace(house, components=components))
    assert [type(error) for _, error in reported] == [ValueError, NeedsHuman]
    assert [each.state for each in rows(house, intents, tenant_id=tenant.id, resource_id=charge)] == ["manual"]


def end_human_leases(house: House) -> None:
    """An hour passes."""
    end_leases(house)
    with transaction(house.components.records) as tx:
        tx.execute(update(intents).where(intents.c.state == "manual").values(lease_until=intents.c.created_at))
