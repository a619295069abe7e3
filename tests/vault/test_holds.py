from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from holds_scene import ALL, ahead, ask, assert_blocked, entries, erase, hold, lift, listed, new
from house import House, Tenant
from records_scene import at_once, later, row, rows, work
from sqlalchemy import insert, update

from rows.engine import transaction
from vault.ids import new_id
from vault.people import holds
from vault.people.customer_rows import lone_row_of
from vault.tables import audit_entries, clients, customers
from vault.tables import holds as hold_table


def test_a_held_customer_is_not_erased(tenant: Tenant) -> None:
    """Blocked while any hold is in force but one on transactions alone; erased once the last one is lifted."""
    customer = new(tenant)
    hold(tenant, customer, reason="audit", classes=["transactions"])
    first, second = hold(tenant, customer), hold(tenant, customer, reason="audit", classes=["card"])
    assert_blocked(erase(tenant, customer), "hold")
    assert lift(tenant, first["id"]).get_json()["in_force"] is False
    assert_blocked(erase(tenant, customer), "hold")
    assert lift(tenant, second["id"]).status_code == 200
    assert erase(tenant, customer).status_code == 200


def test_what_a_hold_says(tenant: Tenant, house: House) -> None:
    """What, why, by which client and human, until when; all classes unless some are named, in the order of the list."""
    customer, until = new(tenant), ahead(days=30)
    whole = ask(tenant, customer)
    assert whole.headers["Location"] == f"/v1/holds/{whole.get_json()['id']}"
    order = {"reason": "dispute", "classes": ["metadata", "card", "card"], "until": until}
    part = tenant.call("POST", f"/v1/customers/{customer}/holds", order, Panless_Actor="counsel-7").get_json()
    author = {each.name: each.client_id for each in rows(house, clients, tenant_id=tenant.id)}
    common = {"object": "hold", "customer": customer, "in_force": True, "lifted_at": None}
    told = {**common, "reason": "litigation", "classes": ALL, "until": None, "client": author["privacy"], "actor": None}
    assert whole.get_json().items() >= told.items()
    assert part["classes"] == ["card", "metadata"]
    told = {**common, "reason": "dispute", "until": until, "client": author["all"], "actor": "counsel-7"}
    assert part.items() >= told.items()
    assert listed(tenant, customer) == [part, whole.get_json()]
    gone = lift(tenant, part["id"]).get_json()
    assert gone == {**part, "in_force": False, "lifted_at": gone["lifted_at"]}
    assert listed(tenant, customer) == [gone, whole.get_json()]


def test_a_hold_past_its_end_holds_nothing(tenant: Tenant) -> None:
    """Nobody has to do anything; the answer says until when it holds, and it may be lifted before or after."""
    customer, until = new(tenant), ahead(hours=2)
    held = hold(tenant, customer, until=until)
    assert_blocked(erase(tenant, customer), "hold", until=until)
    before, after = (replace(tenant, house=later(tenant.house, hours=hours)) for hours in (1.9, 2.1))
    assert_blocked(erase(before, customer), "hold", until=until)
    assert listed(after, customer) == [{**held, "in_force": False}]
    assert lift(after, held["id"]).get_json()["lifted_at"] is not None
    again = hold(tenant, customer, until=until)
    assert erase(after, customer).status_code == 200
    assert lift(after, again["id"]).status_code == 410


def test_the_last_end_counts(tenant: Tenant) -> None:
    """Of several holds the latest end is told; none while one of them has no end."""
    customer, soon, late = new(tenant), ahead(days=1), ahead(days=9)
    hold(tenant, customer, until=late)
    hold(tenant, customer, until=soon)
    assert_blocked(erase(tenant, customer), "hold", until=late)
    hold(tenant, customer)
    assert_blocked(erase(tenant, customer), "hold")


def test_a_hold_beside_an_open_charge(tenant: Tenant) -> None:
    """Both reasons are told, the date only of the one that has one."""
    token, until = tenant.token(), ahead(days=1)
    hold(tenant, token["customer"], until=until)
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    assert tenant.charge(token["id"]).status_code == 202
    assert_blocked(erase(tenant, token["customer"]), "open_charge", "hold", until=until)
    assert_blocked(tenant.call("DELETE", f"/v1/tokens/{token['id']}"), "open_charge", "hold", until=until)


@pytest.mark.parametrize("named", ALL)
def test_a_token_whose_records_are_held_stays(tenant: Tenant, named: str) -> None:
    """A deleted token takes card and metadata with it: it stays while one of them is held, and charges go on."""
    token = tenant.token(metadata={"note": "x"})
    path = f"/v1/tokens/{token['id']}"
    held = hold(tenant, token["customer"], classes=[named])
    if named in {"card", "metadata"}:
        assert_blocked(tenant.call("DELETE", path), "hold")
        assert tenant.call("GET", path).get_json()["card"] == token["card"]
        assert tenant.charge(token["id"]).status_code == 201
        lift(tenant, held["id"])
    assert tenant.call("DELETE", path).get_json()["status"] == "detached"


def test_a_token_that_is_gone_answers_as_before(tenant: Tenant) -> None:
    """Deleted before the hold: deleting it again changes nothing and is not blocked."""
    token = tenant.token()
    path = f"/v1/tokens/{token['id']}"
    first = tenant.call("DELETE", path).get_json()
    hold(tenant, token["customer"])
    again = tenant.call("DELETE", path)
    assert (again.status_code, again.get_json()) == (200, first)


@pytest.mark.parametrize(
    "order",
    [
        {"reason": None},
        {"reason": "Smith v. Jones"},
        {"why": "x"},
        {"classes": []},
        {"classes": ["card", "pan"]},
        {"classes": "card"},
        {"classes": None},
        {"until": None},
        {"until": "2024-01-01T00:00:00Z"},
        {"until": "2098-01-01T00:00:00"},
        {"until": "2098-01-01"},
        {"until": "soon"},
        {"until": "0001-01-01T00:00:00+23:59"},
        {"until": "9999-12-31T23:59:59-23:59"},
    ],
)
def test_a_hold_is_made_of_codes_and_a_moment_to_come(tenant: Tenant, order: dict[str, object]) -> None:
    """Free text would end in the ledger and the audit log; an end that was is none: refused, and nothing is held."""
    customer = new(tenant)
    assert ask(tenant, customer, **order).status_code == 422
    assert tenant.call("POST", f"/v1/customers/{customer}/holds", {}).status_code == 422
    assert listed(tenant, customer) == []


def test_an_end_in_another_zone(tenant: Tenant) -> None:
    """It is the same moment, shown in UTC."""
    until = hold(tenant, new(tenant), until="2098-01-01T01:30:00+05:30")["until"]
    assert until == "2097-12-31T20:00:00Z"


def test_lifting_again_changes_nothing(own_house: House) -> None:
    """A repeated hold gets its first answer, and no second entry in ledger or audit log; ten at once are one."""
    tenant = own_house.tenant()
    customer = new(tenant)
    held = hold(tenant, customer)["id"]
    answers = at_once(10, lambda _: lift(tenant, held))
    assert {answer.status_code for answer in answers} == {200}
    assert {str(answer.get_json()) for answer in answers} == {str(lift(tenant, held).get_json())}
    assert [kind in each for each, kind in zip(entries(own_house), ("hold.set", "hold.lift"), strict=True)] == [
        True
    ] * 2
    assert len(rows(own_house, audit_entries, action="hold.lift")) == 1


def test_foreign_unknown_and_erased(tenant: Tenant, house: House) -> None:
    """404 for what is not theirs, the other mode's too; 410 for what was erased."""
    other = house.tenant()
    foreign = new(other)
    held = hold(other, foreign)["id"]
    assert (ask(tenant, foreign).status_code, lift(tenant, held).status_code) == (404, 404)
    assert tenant.call("GET", f"/v1/customers/{foreign}/holds").status_code == 404
    customer = new(tenant)
    lifted = hold(tenant, customer)["id"]
    lift(tenant, lifted)
    assert erase(tenant, customer).status_code == 200
    assert (ask(tenant, customer).status_code, lift(tenant, lifted).status_code) == (410, 410)
    assert tenant.call("GET", f"/v1/customers/{customer}/holds").status_code == 410


def test_one_key_is_one_hold(tenant: Tenant) -> None:
    """A repeated call is answered with the hold that it made, past its end too; another body is refused."""
    customer, until = new(tenant), ahead(hours=1)
    first = ask(tenant, customer, key="k", until=until)
    for when in (tenant, replace(tenant, house=later(tenant.house, hours=2))):
        again = ask(when, customer, key="k", until=until)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert again.headers["Location"] == first.headers["Location"]
    assert ask(tenant, customer, key="k").status_code == 422
    ids = {each.get_json()["id"] for each in at_once(8, lambda _: ask(tenant, customer, key="twins"))}
    assert len(ids) == 1
    assert len(listed(tenant, customer)) == 2


def test_a_hold_is_on_the_record(tenant: Tenant, house: House) -> None:
    """Setting and lifting are audit entries that name the hold; so does the ledger, with codes and ids only."""
    customer = new(tenant)
    held = hold(tenant, customer, classes=["card"], until="2098-01-01T00:00:00Z")
    lift(tenant, held["id"])
    found = {each.action: each for each in rows(house, audit_entries, resource_id=held["id"])}
    details = '"details":{"classes":["card"],"reason":"litigation","until":"2098-01-01T00:00:00+00:00"}'
    assert details in found["hold.set"].leaf
    assert found["hold.lift"].customer_id == customer
    terms = (
        f'"terms":{{"actor":null,"classes":["card"],"client":"{held["client"]}","customer":"{customer}",'
        '"reason":"litigation","until":"2098-01-01T00:00:00+00:00"}'
    )
    assert sum(terms in each for each in entries(house)) == 1


def test_it_holds_before_the_ledger_has_it_and_is_not_lifted_before(own_house: House) -> None:
    """The ledger away: 503, yet nothing goes; a retry is not told otherwise; lifted once the ledger has that too."""
    tenant = own_house.tenant()
    customer = new(tenant)
    ledger, away = own_house.home / "ledger", own_house.home / "away"
    ledger.rename(away)
    assert [ask(tenant, customer, key="k").status_code for _ in range(2)] == [503, 503]
    assert_blocked(erase(tenant, customer), "hold")
    [held] = listed(tenant, customer)
    assert [lift(tenant, held["id"]).status_code for _ in range(2)] == [503, 503]
    blocked = erase(tenant, customer)
    assert_blocked(blocked, "hold")
    tenant.call("DELETE", f"/v1/rights-requests/{blocked.get_json()['request']}")  # or the worker would erase
    away.rename(ledger)
    assert work(own_house) == []
    assert len(entries(own_house)) == 3  # the hold, its end, and that the erasure was withdrawn
    assert lift(tenant, held["id"]).get_json()["in_force"] is False
    assert erase(tenant, customer).status_code == 200


def test_a_hold_and_an_erasure_at_once(own_house: House) -> None:
    """One of them wins: erased without a hold, or held and there."""
    tenant = own_house.tenant()
    people = [new(tenant) for _ in range(12)]
    ways = (lambda customer: ask(tenant, customer), lambda customer: erase(tenant, customer))
    at_once(24, lambda number: ways[number % 2](people[number // 2]), threads=8)
    assert work(own_house) == []
    for customer in people:
        held = rows(own_house, hold_table, customer_id=customer)
        assert (row(own_house, customers, customer_id=customer).state, len(held)) in {("erased", 0), ("active", 1)}
    assert own_house.components.guard.check().is_good


@pytest.mark.parametrize("path", ["/v1/tokens/{id}", "/v1/customers/{customer}"])
def test_who_deletes_waits_for_a_hold_that_is_being_set(tenant: Tenant, house: House, path: str) -> None:
    """A deletion that begins while a hold is decided and not committed waits, and meets it."""
    token = tenant.token()
    terms = {"customer": token["customer"], "reason": "audit", "classes": ["card"], "until": None}
    held = holds.row_of_terms(
        tenant.id, new_id("hold", tenant.id), datetime.now(UTC), {**terms, "client": "", "actor": None}
    )
    with ThreadPoolExecutor(1) as pool:
        with transaction(house.components.records) as tx:
            lone_row_of(tx, tenant.caller, token["customer"])
            tx.execute(insert(hold_table), held)
            deletion = pool.submit(tenant.call, "DELETE", path.format(**token))
            assert wait([deletion], 0.5).done == set()
        assert_blocked(deletion.result(30), "hold")


def test_a_hold_waits_for_an_erasure_that_is_being_decided(tenant: Tenant, house: House) -> None:
    """It meets the erasure: a hold that came too late is neither acknowledged nor decided."""
    customer = new(tenant)
    with ThreadPoolExecutor(1) as pool:
        with transaction(house.components.records) as tx:
            lone_row_of(tx, tenant.caller, customer)
            tx.execute(update(customers).where(customers.c.customer_id == customer).values(state="erasing"))
            held = pool.submit(ask, tenant, customer)
            assert wait([held], 0.5).done == set()
        assert held.result(30).status_code == 410
    assert rows(house, hold_table, customer_id=customer) == []


def test_in_force_is_what_holds_now(tenant: Tenant, house: House) -> None:
    """What the erasure goes by: neither lifted holds nor those past their end, of this tenant and mode alone."""
    customer = new(tenant)
    stays = hold(tenant, customer, classes=["contact"])
    lift(tenant, hold(tenant, customer)["id"])
    ends = hold(tenant, customer, until=ahead(hours=1))
    other = replace(tenant.caller, tenant=house.tenant().id)

    def held(**changes: object) -> list[tuple[str, list[str]]]:
        caller = replace(tenant.caller, **{"at": datetime.now(UTC), **changes})
        with transaction(house.components.records) as tx:
            return [(one.id, list(one.classes)) for one in holds.in_force(tx, caller, customer)]

    assert held() == [(stays["id"], ["contact"]), (ends["id"], ALL)]
    assert held(at=datetime.now(UTC) + timedelta(hours=1)) == [(stays["id"], ["contact"])]
    assert held(live=True) == held(tenant=other.tenant) == []


def test_a_hold_of_the_other_mode_is_none(tenant: Tenant, house: House) -> None:
    """A live customer's hold is nothing to a test client."""
    customer = new(tenant)
    held = hold(tenant, customer)["id"]
    with transaction(house.components.records) as tx:
        tx.execute(update(customers).where(customers.c.customer_id == customer).values(live=True))
    assert (lift(tenant, held).status_code, ask(tenant, customer).status_code) == (404, 404)
