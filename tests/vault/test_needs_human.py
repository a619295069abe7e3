"""An intent that can't be ended is given to a human after a day, and told; it is not guessed."""

from house import Tenant
from records_scene import end_leases, later, rows, work

from vault.errors import NeedsHuman
from vault.recovering import open_intents
from vault.tables import audit_entries, intents


def test_a_processor_that_never_says(tenant: Tenant) -> None:
    """For a day it is asked; then it needs a human, is reported and counted, and can be given back to the worker."""
    house, records = tenant.house, tenant.house.components.records
    token = tenant.token()["id"]
    house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    charge = tenant.charge(token).get_json()
    house.sandbox.fault(path="/v1/payment_intents", method="GET", do="status", status=500, times=99)
    assert work(later(house, hours=23)) == []
    [row] = rows(house, intents, tenant_id=tenant.id, resource_id=charge["id"])
    assert row.state == "pending"
    reported = work(later(house, hours=25))
    assert [type(error) for _, error in reported] == [NeedsHuman]
    assert charge["id"] in str(reported[0][1])
    assert row.intent_id in {each.intent_id for each in open_intents.manual(records)}
    assert open_intents.watch(records, house.components.clock()).manual >= 1
    assert tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()["status"] == "unknown"
    house.sandbox.clear()
    assert open_intents.retry(house.components.workshop, row.intent_id)
    assert not open_intents.retry(house.components.workshop, row.intent_id)
    assert len(rows(house, audit_entries, tenant_id=tenant.id, action="intent.retry")) == 1
    end_leases(house)
    house.work()
    assert tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()["status"] == "succeeded"
