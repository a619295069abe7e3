import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backups import backup, restore
from house import House, Tenant
from records_scene import at_once, catch_up, row, rows, work

from vault.recovering.replay import replay
from vault.tables import audit_entries, customers

BILLING = {"Access_Purpose": 'billing; ref="I-1"'}
SUPPORT = {"Access_Purpose": 'support; ref="T-1"'}


def path(customer: str) -> str:
    return f"/v1/customers/{customer}/restriction"


def restrict(tenant: Tenant, customer: str, ground: str = "accuracy_contested") -> int:
    return tenant.call("PUT", path(customer), {"ground": ground}, role="privacy").status_code


def lift(tenant: Tenant, customer: str, notified_at: datetime | None = None) -> int:
    told = (notified_at or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return tenant.call("DELETE", f"{path(customer)}?notified_at={told}", role="privacy").status_code


def new(tenant: Tenant) -> tuple[str, str]:
    """A customer and its token."""
    token = tenant.token(customer={"billing_contact": {"name": "Ada Lovelace"}})
    return token["customer"], token["id"]


def used(tenant: Tenant, customer: str, token: str) -> list[int]:
    """What charging, tokenizing, and billing's and support's looks at the contact answer."""
    contact = f"/v1/customers/{customer}/billing-contact"
    return [
        tenant.charge(token).status_code,
        tenant.tokenize("5555555555554444", customer=customer).status_code,
        tenant.call("GET", contact, **BILLING).status_code,
        tenant.call("GET", contact, **SUPPORT).status_code,
    ]


def test_a_restricted_customer_is_kept_and_not_used(tenant: Tenant) -> None:
    """Charging, tokenizing and billing's look answer 423; support still looks; lifted, all goes on."""
    customer, token = new(tenant)
    charged = tenant.charge(token).get_json()["id"]
    shown = tenant.call("PUT", path(customer), {"ground": "objection"}).get_json()
    assert (shown["restricted"], shown["ground"], shown["customer"]) == (True, "objection", customer)
    assert used(tenant, customer, token) == [423, 423, 423, 200]
    assert tenant.call("GET", f"/v1/customers/{customer}").get_json()["restricted"] is True
    refund = tenant.call("POST", f"/v1/charges/{charged}/refunds", {}, Idempotency_Key="r")
    assert refund.status_code in {200, 201}
    assert lift(tenant, customer) == 200
    assert used(tenant, customer, token) == [201, 201, 200, 200]
    assert lift(tenant, customer) == 409


def test_a_second_ground_keeps_the_first_day(tenant: Tenant) -> None:
    """Restricting again changes why, not since when."""
    customer, _ = new(tenant)
    first = tenant.call("PUT", path(customer), {"ground": "unlawful"}).get_json()
    second = tenant.call("PUT", path(customer), {"ground": "needed_for_claims"}).get_json()
    assert (second["since"], second["ground"]) == (first["since"], "needed_for_claims")


def test_the_person_is_told_before(tenant: Tenant) -> None:
    """No notice, one from the future, or one from before the restriction: refused, and it stands."""
    customer, token = new(tenant)
    assert restrict(tenant, customer) == 200
    now = datetime.now(UTC)
    assert tenant.call("DELETE", path(customer)).status_code == 422
    assert tenant.call("DELETE", path(customer) + "?notified_at=2026-01-01T00:00:00").status_code == 422
    assert lift(tenant, customer, now + timedelta(hours=1)) == 422
    assert lift(tenant, customer, now - timedelta(hours=1)) == 422
    assert tenant.charge(token).status_code == 423


@pytest.mark.parametrize("body", [{}, {"ground": "because"}, {"ground": None}, {"ground": "objection", "why": "x"}])
def test_a_ground_is_one_of_the_laws(tenant: Tenant, body: dict[str, object]) -> None:
    """Free text would end in the ledger and the audit log: codes only."""
    customer, _ = new(tenant)
    assert tenant.call("PUT", path(customer), body).status_code == 422
    assert tenant.call("GET", f"/v1/customers/{customer}").get_json()["restricted"] is False


def test_foreign_unknown_and_erased_customers(tenant: Tenant, house: House) -> None:
    """404 for what is not theirs, 410 for what was erased."""
    foreign, _ = new(house.tenant())
    customer, _ = new(tenant)
    assert restrict(tenant, foreign) == 404
    assert lift(tenant, foreign) == 404
    assert tenant.erase(customer).status_code == 200
    assert (restrict(tenant, customer), lift(tenant, customer)) == (410, 410)


def test_a_restriction_is_on_the_record(tenant: Tenant, house: House) -> None:
    """Setting and lifting are audit entries with the ground and the notice."""
    customer, _ = new(tenant)
    restrict(tenant, customer)
    lift(tenant, customer)
    actions = {each.action: each.leaf for each in rows(house, audit_entries, customer_id=customer)}
    assert '"details":{"ground":"accuracy_contested"}' in actions["customer.restrict"]
    assert '"details":{"notified_at":' in actions["customer.unrestrict"]


def test_it_holds_before_the_ledger_has_it_and_is_not_lifted_before(own_house: House) -> None:
    """The ledger away: 503, yet nothing is charged; lifted only once the ledger has that too."""
    tenant = own_house.tenant()
    customer, token = new(tenant)
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    assert restrict(tenant, customer) == 503
    assert tenant.charge(token).status_code == 423
    assert lift(tenant, customer) == 503
    assert tenant.charge(token).status_code == 423
    away.rename(ledger)
    assert work(own_house) == []
    assert tenant.charge(token).status_code == 201


def test_a_late_lift_does_not_win(own_house: House) -> None:
    """Lifted and set again while the ledger was away: the set, which is newer, stands."""
    tenant = own_house.tenant()
    customer, token = new(tenant)
    assert restrict(tenant, customer) == 200
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    assert lift(tenant, customer) == 503
    assert restrict(tenant, customer, "objection") == 503
    away.rename(ledger)
    assert work(own_house) == []
    assert tenant.charge(token).status_code == 423
    assert row(own_house, customers, customer_id=customer).restriction_ground == "objection"


def test_restrictions_survive_a_restore(own_house: House, tmp_path: Path) -> None:
    """What was restricted after the backup is again, with its ground and day; what was lifted is lifted."""
    tenant = own_house.tenant()
    (set_later, token), (lifted_later, other) = new(tenant), new(tenant)
    restrict(tenant, lifted_later)
    copy = backup(own_house.components.records, tmp_path / "r")
    restrict(tenant, set_later, "unlawful")
    assert lift(tenant, lifted_later) == 200
    since = row(own_house, customers, customer_id=set_later).restricted_at
    restore(own_house.components.records, copy)
    assert not row(own_house, customers, customer_id=set_later).restricted
    replay(own_house.components.ledger, own_house.components.records, lambda _done, _total: None)
    assert own_house.components.guard.check().is_good
    found = row(own_house, customers, customer_id=set_later)
    assert (found.restricted, found.restriction_ground, found.restricted_at) == (True, "unlawful", since)
    catch_up(own_house)
    assert [tenant.charge(token).status_code, tenant.charge(other).status_code] == [423, 201]
    assert lift(tenant, set_later) == 200


def test_an_erasure_of_a_restricted_customer_goes_through(own_house: House) -> None:
    """A restriction keeps data from use, not from erasure, whose entry counts on from its version."""
    tenant = own_house.tenant()
    customer, _ = new(tenant)
    restrict(tenant, customer)
    assert tenant.erase(customer).status_code == 200
    assert row(own_house, customers, customer_id=customer).state == "erased"


def test_twelve_at_once(own_house: House) -> None:
    """Sets and lifts from all sides end in the state of the newest entry, the guard content."""
    tenant = own_house.tenant()
    customer, _ = new(tenant)
    at_once(12, lambda number: restrict(tenant, customer) if number % 2 else lift(tenant, customer))
    assert work(own_house) == []
    last = row(own_house, customers, customer_id=customer)
    entries = [json.loads(each.read_text()) for each in (own_house.home / "ledger").iterdir()]
    newest = max((each for each in entries if each["subject_id"] == customer), key=lambda each: each["version"])
    assert last.restricted is (newest["kind"] == "restrict.set")
    assert own_house.components.guard.check().is_good
