"""What the law made us keep of an erased customer goes when its time is over."""

from datetime import UTC, datetime, timedelta

from holds_scene import hold, lift
from house import House, Tenant
from records_scene import rows
from sqlalchemy import update

from rows.engine import transaction
from vault.lanes.people import purge_once
from vault.tables import audit_entries, charges, customers, intents, refunds


def purge(house: House) -> int:
    """What one look of the worker finds and deletes, until nothing is found."""
    reported: list[Exception] = []
    gone = sum(iter(lambda: purge_once(house.components.workshop, lambda _, error: reported.append(error)), 0))
    assert reported == []
    return gone


def paid(tenant: Tenant) -> tuple[str, str]:
    """A customer with a charge that was refunded in part; their ids."""
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()["id"]
    answer = tenant.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 100}, Idempotency_Key=charge)
    assert answer.status_code == 201
    return token["customer"], charge


def made(house: House, charge: str, years: float) -> None:
    """As if the charge had been made so many years ago."""
    then = datetime.now(UTC) - timedelta(days=366 * years)
    with transaction(house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.charge_id == charge).values(created_at=then))


def test_transactions_go_at_their_end(tenant: Tenant) -> None:
    """With their refunds and their calls, on the record; younger ones, and those of the living, stay."""
    house, years = tenant.house, tenant.house.components.policy.retention["transactions"].years
    (customer, old), (_, of_living) = paid(tenant), paid(tenant)
    young = paid(tenant)
    for each in (customer, young[0]):
        assert tenant.erase(each).status_code == 200
    for each in (old, of_living):
        made(house, each, years + 0.01)
    made(house, young[1], years - 0.01)
    assert purge(house) == 1
    assert {each.charge_id for each in rows(house, charges, tenant_id=tenant.id)} == {of_living, young[1]}
    assert rows(house, refunds, charge_id=old) == []
    assert rows(house, intents, resource_id=old) == []
    [entry] = rows(house, audit_entries, customer_id=customer, action="retention.purge")
    assert '"records":1' in entry.leaf
    assert tenant.call("GET", f"/v1/charges/{old}").status_code == 404


def test_a_hold_on_transactions_outlives_the_erasure(tenant: Tenant) -> None:
    """It does not stand in the way of an erasure, it keeps what is retained past its time, and can be lifted then."""
    customer, charge = paid(tenant)
    order = hold(tenant, customer, classes=["transactions"])
    assert tenant.erase(customer).status_code == 200
    made(tenant.house, charge, 100)
    assert purge(tenant.house) == 0
    assert lift(tenant, order["id"]).status_code == 200
    assert purge(tenant.house) == 1


def test_a_restricted_customers_transactions_stay(tenant: Tenant) -> None:
    """Restriction keeps what it found until it is lifted, also of who was erased meanwhile."""
    customer, charge = paid(tenant)
    tenant.call("PUT", f"/v1/customers/{customer}/restriction", {"ground": "needed_for_claims"})
    assert tenant.erase(customer).status_code == 200
    made(tenant.house, charge, 100)
    assert purge(tenant.house) == 0
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(customers).where(customers.c.customer_id == customer).values(restricted=False))
    assert purge(tenant.house) == 1
