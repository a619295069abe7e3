import hmac
import json
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from house import PURPOSE, House, Tenant
from records_scene import CONTACT, Crash, at_once, crash, interpose, rows, work
from sqlalchemy import Row, delete, text

from rows.engine import transaction
from vault import audit
from vault.tables import audit_entries, charges, tokens

CANARIES = (
    "Kanarie",
    "kanarie",
    "Ada",
    "ada@",
    "2079460958",
    "7946 0958",
    '"4242"',
    "Lovelace",
    '"visa',
    "pm_",
    "seti_",
    "pi_",
)
NAMES = {
    "v",
    "deployment",
    "tenant",
    "lane",
    "counter",
    "at",
    "client",
    "actor",
    "action",
    "customer",
    "resource",
    "purpose",
    "reference",
    "request_id",
    "details",
}


def entries(tenant: Tenant) -> list[Row[Any]]:
    return list(rows(tenant.house, audit_entries, tenant_id=tenant.id))


def actions(tenant: Tenant, before: int = 0) -> list[str]:
    """What was recorded, beyond the first `before` entries, in the order of the alphabet."""
    counted = defaultdict(int)
    for each in entries(tenant):
        counted[each.action] += 1
    return sorted(counted)[before:]


def recorded(tenant: Tenant, act: Callable[[], Any]) -> list[str]:
    """The actions that `act` added."""
    known = {(each.lane, each.counter) for each in entries(tenant)}
    act()
    return sorted(each.action for each in entries(tenant) if (each.lane, each.counter) not in known)


def gaps(tenant: Tenant) -> list[tuple[str, list[int]]]:
    """The lanes whose numbers don't run from 1 without a gap."""
    lanes: dict[str, list[int]] = defaultdict(list)
    for each in entries(tenant):
        lanes[each.lane].append(each.counter)
    return [(lane, sorted(seen)) for lane, seen in lanes.items() if sorted(seen) != list(range(1, len(seen) + 1))]


def assert_genuine(tenant: Tenant, entry: Row[Any]) -> None:
    """Canonical, its MAC right, its copies the same, nothing of a person in it."""
    leaf = entry.leaf.encode()
    body = json.loads(leaf)
    assert rfc8785.dumps(body) == leaf
    assert body.keys() == NAMES
    assert hmac.compare_digest(entry.mac, audit.leaf_mac(tenant.house.components.keyring, tenant.id, leaf))
    copies = (body["tenant"], body["lane"], body["counter"], body["action"], body["customer"], body["resource"])
    assert copies == (
        entry.tenant_id,
        entry.lane,
        entry.counter,
        entry.action,
        entry.customer_id,
        entry.resource_id,
    )
    assert (body["at"], body["client"]) == (entry.at.isoformat(timespec="microseconds"), entry.client_id or "")
    assert [canary for canary in CANARIES if canary in entry.leaf] == []


def test_everything_that_changes_or_looks_is_recorded(tenant: Tenant) -> None:
    """Each operation adds exactly its entries, and reading states adds none."""
    token: dict[str, Any] = {}
    order = {"customer": {"reference": "Kanarie-1", "billing_contact": CONTACT}, "metadata": {"k": "Kanarie"}}
    assert recorded(tenant, lambda: token.update(tenant.token(**order))) == ["customer.create", "token.create"]
    person, path = token["customer"], f"/v1/customers/{token['customer']}"
    again = recorded(tenant, lambda: tenant.token(customer=person))
    assert again == ["token.deduplicate"]
    assert recorded(tenant, lambda: tenant.tokenize("4000000000000002", customer=person)) == ["token.failed"]
    assert recorded(tenant, lambda: tenant.tokenize("4000002760003184", customer=person)) == ["token.requires_action"]
    assert recorded(tenant, lambda: tenant.call("POST", "/v1/customers", {"reference": "Kanarie-2"})) == [
        "customer.create"
    ]
    paid: dict[str, Any] = {}
    charge = lambda: paid.update(tenant.charge(token["id"], obligation="Kanarie-3").get_json())  # noqa: E731
    assert recorded(tenant, charge) == ["charge.succeeded"]
    refund = f"/v1/charges/{paid['id']}/refunds"
    assert recorded(tenant, lambda: tenant.call("POST", refund, {}, Idempotency_Key="r")) == ["refund.succeeded"]
    for reader in (path, f"/v1/tokens?customer={person}", "/v1/charges", f"/v1/charges/{paid['id']}"):
        assert recorded(tenant, lambda reader=reader: tenant.call("GET", reader)) == []
    assert recorded(tenant, lambda: tenant.call("GET", f"{path}/billing-contact", **PURPOSE)) == ["contact.read"]
    search = {"email": CONTACT["email"]}
    assert recorded(tenant, lambda: tenant.call("POST", "/v1/customers/search", search, **PURPOSE)) == [
        "customer.search"
    ]
    assert recorded(tenant, lambda: tenant.call("PATCH", f"{path}/billing-contact", {"name": "Kanarie"})) == [
        "contact.correct"
    ]
    gone = tenant.token("5555555555554444", customer=person)
    assert recorded(tenant, lambda: tenant.call("DELETE", f"/v1/tokens/{gone['id']}")) == ["token.delete"]
    assert recorded(tenant, lambda: tenant.erase(person)) == ["customer.erase", "customer.erased"]
    for entry in entries(tenant):
        assert_genuine(tenant, entry)
    assert gaps(tenant) == []


def test_an_entry_says_who_why_and_under_which_request(tenant: Tenant) -> None:
    """Client, human, purpose, ticket and the request id that the answer carries."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    path = f"/v1/customers/{token['customer']}/billing-contact"
    answer = tenant.call("GET", path, role="privacy", Panless_Actor="ops.7", Access_Purpose='fraud; ref="F-9"')
    [entry] = [each for each in entries(tenant) if each.action == "contact.read"]
    leaf = json.loads(entry.leaf)
    assert (leaf["actor"], leaf["purpose"], leaf["reference"]) == ("ops.7", "fraud", "F-9")
    assert leaf["request_id"] == answer.headers["Request-Id"]
    assert leaf["client"].startswith("cli_")


def test_a_look_that_is_not_recorded_is_not_given(own_house: House) -> None:
    """With the audit table away, contacts and searches answer an error and no personal data."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": CONTACT})
    with transaction(own_house.components.records) as tx:
        tx.execute(text("ALTER TABLE audit_entries RENAME TO audit_away"))
    path = f"/v1/customers/{token['customer']}/billing-contact"
    for answer in (
        tenant.call("GET", path, **PURPOSE),
        tenant.call("POST", "/v1/customers/search", {"email": CONTACT["email"]}, **PURPOSE),
    ):
        assert answer.status_code >= 500
        assert "Ada" not in answer.get_data(as_text=True)
        assert token["customer"] not in answer.get_data(as_text=True)
    assert tenant.call("PATCH", path, {"name": "X"}).status_code >= 500
    with transaction(own_house.components.records) as tx:
        tx.execute(text("ALTER TABLE audit_away RENAME TO audit_entries"))
    assert tenant.call("GET", path, **PURPOSE).get_json()["name"] == CONTACT["name"]
    assert tenant.charge(token["id"]).status_code == 201
    assert gaps(tenant) == []


def test_no_entry_without_its_change_and_no_change_without_its_entry(own_house: House) -> None:
    """A commit that fails takes both with it: the client is told that nobody knows, and the worker writes both."""
    tenant = own_house.tenant()
    token = tenant.token()["id"]

    def table_away(call: Callable[[], Any]) -> Any:
        outcome = call()
        with transaction(own_house.components.records) as tx:
            tx.execute(text("ALTER TABLE audit_entries RENAME TO audit_away"))
        return outcome

    answer = interpose(tenant, charge=table_away).charge(token)
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    with transaction(own_house.components.records) as tx:
        tx.execute(text("ALTER TABLE audit_away RENAME TO audit_entries"))
    [charge] = rows(own_house, charges, tenant_id=tenant.id)
    assert charge.state == "pending"
    assert "charge.succeeded" not in actions(tenant)
    assert work(own_house) == []
    assert [each.state for each in rows(own_house, charges, tenant_id=tenant.id)] == ["succeeded"]
    assert "charge.succeeded" in actions(tenant)
    assert gaps(tenant) == []


def test_lanes_have_no_gap_after_rollbacks_and_concurrency(tenant: Tenant) -> None:
    """Many threads, some of whose transactions fail after the entry was written: every lane counts from 1."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    path = f"/v1/customers/{token['customer']}/billing-contact"
    parts = tenant.house.components

    def look_or_fail(number: int) -> None:
        if number % 3:
            assert tenant.call("GET", path, **PURPOSE).status_code == 200
            return
        with pytest.raises(Crash):
            fail_late()

    def fail_late() -> None:
        with audit.transaction(parts.records) as tx:
            audit.record(tenant.desk, tx, "contact.read", customer=token["customer"])
            raise Crash

    # Each thread holds up to three connections, and the PostgreSQL of these tests has a hundred for all of them.
    at_once(300, look_or_fail, threads=100 if parts.records.dialect.name == "sqlite" else 20)
    assert gaps(tenant) == []
    looks = [each for each in entries(tenant) if each.action == "contact.read"]
    assert len(looks) == sum(1 for number in range(300) if number % 3)
    for entry in entries(tenant):
        assert_genuine(tenant, entry)


def test_a_deleted_entry_shows_as_a_gap(tenant: Tenant) -> None:
    """Whoever deletes a look from the middle leaves a number missing; whoever edits one breaks its MAC."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    path = f"/v1/customers/{token['customer']}/billing-contact"
    for _ in range(6):
        tenant.call("GET", path, **PURPOSE)
    lane = max((each.lane for each in entries(tenant)), key=lambda lane: sum(e.lane == lane for e in entries(tenant)))
    assert gaps(tenant) == []
    this = (audit_entries.c.tenant_id == tenant.id) & (audit_entries.c.lane == lane)
    with transaction(tenant.house.components.records) as tx:
        tx.execute(delete(audit_entries).where(this, audit_entries.c.counter == 2))
    [(found, counters)] = gaps(tenant)
    assert found == lane
    assert 2 not in counters
    edited = next(each for each in entries(tenant) if each.action == "contact.read")
    forged = edited.leaf.replace("contact.read", "token.create").encode()
    assert edited.mac != audit.leaf_mac(tenant.house.components.keyring, tenant.id, forged)


def test_one_tenants_entries_are_not_anothers(house: House, tenant: Tenant) -> None:
    """The MAC key is the tenant's: an entry moved to another tenant does not verify there."""
    other = house.tenant()
    tenant.token()
    entry = entries(tenant)[0]
    assert entry.mac != audit.leaf_mac(house.components.keyring, other.id, entry.leaf.encode())


def test_the_workers_deeds_are_recorded(tenant: Tenant) -> None:
    """What the worker ends is recorded under no client, with a request id of its own."""
    with pytest.raises(Crash):
        interpose(tenant, store=crash).tokenize()
    assert recorded(tenant, lambda: work(tenant.house)) == ["token.failed"]
    [entry] = [each for each in entries(tenant) if each.action == "token.failed"]
    assert entry.client_id is None
    assert json.loads(entry.leaf)["request_id"].startswith("req_")
    assert [each.state for each in rows(tenant.house, tokens, tenant_id=tenant.id)] == ["failed"]
