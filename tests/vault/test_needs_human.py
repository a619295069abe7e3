"""An intent that can't be ended is given to a human after a day, and told; it is not guessed."""

from datetime import timedelta

import pytest
from house import Tenant
from records_scene import interpose, later, rows, work

from vault.errors import NeedsHuman
from vault.recovering import ended_by_hand, open_intents
from vault.recovering.ended_by_hand import NotByHand
from vault.recovering.open_intents import listed
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
    assert row.intent_id in {each.intent_id for each in listed(records, house.components.clock(), manual=True)}
    assert open_intents.watch(records, house.components.clock()).manual >= 1
    assert tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()["status"] == "unknown"
    house.sandbox.clear()
    ended_by_hand.retry(house.components.workshop, row.intent_id)
    assert len(rows(house, audit_entries, tenant_id=tenant.id, action="intent.retry")) == 1
    house.work()
    assert tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()["status"] == "succeeded"
    with pytest.raises(NotByHand):
        ended_by_hand.retry(house.components.workshop, row.intent_id)


def test_what_needs_a_human_is_still_looked_at(tenant: Tenant) -> None:
    """Nobody came, and the processor says it after all: the worker ends it, nothing was guessed meanwhile."""
    house = tenant.house
    house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    charge = tenant.charge(tenant.token()["id"]).get_json()
    house.sandbox.fault(path="/v1/payment_intents", method="GET", do="status", status=500, times=99)
    work(later(house, hours=25))
    [row] = rows(house, intents, tenant_id=tenant.id, resource_id=charge["id"])
    assert (row.state, row.lease_until > house.components.clock() + timedelta(minutes=50)) == ("manual", True)
    house.sandbox.clear()
    assert work(later(house, hours=26)) == []
    assert tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()["status"] == "succeeded"


def test_what_can_never_be_read_is_told_sooner(tenant: Tenant) -> None:
    """Twenty unexpected errors with one intent, the next would be the same: a human sees it; outages do not count."""
    house = tenant.house
    house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    charge = tenant.charge(tenant.token()["id"]).get_json()

    def fall_over(_call: object) -> None:
        raise RuntimeError

    broken = interpose(tenant, read_charge=fall_over).house
    told = [[type(error) for _, error in work(broken)] for _ in range(20)]
    assert told == [[RuntimeError]] * 19 + [[RuntimeError, NeedsHuman]]
    [row] = rows(house, intents, tenant_id=tenant.id, resource_id=charge["id"])
    assert (row.state, row.exceptions) == ("manual", 20)
