"""A key that was burnt is known as burnt: its lists settle once, and the next look goes on from there."""

from dataclasses import replace

from house import Tenant
from records_scene import Interposed, end_leases, row

from vault.processing.answers import KeyTaken
from vault.tables import charges, intents


def test_a_used_key_is_kept(tenant: Tenant) -> None:
    """What the burn said is in the intent, with the moment from which a list counts; then the next key is burnt."""
    house = tenant.house
    house.sandbox.fault(path="/v1/payment_intents", method="POST", do="status", status=500)
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    taken = Interposed(house.components.processors["sandbox"], burn=lambda _: KeyTaken())
    elsewhere = replace(house, components=replace(house.components, processors={"sandbox": taken}))
    end_leases(house)
    assert elsewhere.work()[1] == []
    intent = row(house, intents, tenant_id=tenant.id, resource_id=charge)
    assert (intent.state, intent.burnt, intent.settles_at is not None) == ("pending", "used", True)
    end_leases(house)
    assert house.work()[1] == []
    assert row(house, charges, charge_id=charge).state == "failed"
    assert row(house, charges, charge_id=charge).key_number == 2
