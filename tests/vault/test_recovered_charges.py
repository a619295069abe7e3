"""Charges and refunds whose commits are lost: written again from what the processor has, and counted once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import House, Tenant, word
from money_scene import assert_money_is_true, settled
from records_scene import LONG_AGO, at_processor, row, rows
from sqlalchemy import update

from rows.engine import reading, transaction
from vault.errors import NeedsHuman
from vault.money.charge.charges import open_retained
from vault.money.refund import elsewhere
from vault.processing import accounts, beats
from vault.processing.answers import Marks
from vault.processing.connecting import Connected, connect
from vault.tables import audit_entries, charges, refunds
from vault.tables import beats as beat_table


def remembered(house: House, tmp_path: Path) -> Callable[[], None]:
    """How the records stand now; calling it puts them back, as a program finds them that starts after a restore."""
    beats.beat(house.components.records)
    copy = backup(house.components.records, tmp_path / "copy")

    def put_back() -> None:
        restore(house.components.records, copy)
        beats.begin(house.components.records)

    return put_back


def walked(house: House) -> list[tuple[str, Exception]]:
    """A round of the worker once calls from before are over; what it reported."""
    beats.beat(house.components.records)
    with transaction(house.components.records) as tx:
        tx.execute(update(beat_table).values(since=LONG_AGO))
    return house.work()[1]


def connected(tenant: Tenant, charge: str) -> tuple[Connected, str]:
    """The processor of a charge, and its name there."""
    parts, found = tenant.house.components, row(tenant.house, charges, charge_id=charge)
    with reading(parts.records) as connection:
        account = accounts.by_id(connection, tenant.id, found.account_id)
    return connect(parts.processors, parts.keyring, tenant.id, account), open_retained(parts.keyring, found)[
        "reference"
    ]


def heard_of(tenant: Tenant, charge: str) -> None:
    """What a webhook about a charge's refunds has the worker do."""
    there, reference = connected(tenant, charge)
    account = row(tenant.house, charges, charge_id=charge).account_id
    elsewhere.follow(tenant.desk, there, account, charge, reference)


def refund_at_dashboard(tenant: Tenant, charge: str, amount: int) -> None:
    """Somebody gives money back at the processor, and we hear of it."""
    there, reference = connected(tenant, charge)
    marks = Marks(tag="elsewhere", id="")
    there.processor.refund(
        there.credentials, reference=reference, amount=amount, currency="eur", reason=None, marks=marks, key=word()
    )
    heard_of(tenant, charge)


def refund(tenant: Tenant, charge: str, amount: int, key: str) -> Any:
    return tenant.call("POST", f"/v1/charges/{charge}/refunds", {"amount": amount}, Idempotency_Key=key)


def refunded_there(tenant: Tenant) -> int:
    [payment] = tenant.charges_at_processor()
    return int(payment["refunded"])


def shown(tenant: Tenant, charge: str) -> dict[str, Any]:
    found: dict[str, Any] = tenant.call("GET", f"/v1/charges/{charge}").get_json()
    return found


def lost_with_its_customer(house: House, tmp_path: Path) -> tuple[Tenant, str]:
    """A tenant, and the charge of a customer who was new when the records were lost; after the walk."""
    tenant = house.tenant()
    put_back = remembered(house, tmp_path)
    charge = tenant.charge(tenant.token()["id"], key="k", obligation="I-1").get_json()["id"]
    put_back()
    assert tenant.call("GET", f"/v1/charges/{charge}").status_code == 404
    [(what, error)] = walked(house)
    assert (what, type(error)) == ("walk", NeedsHuman)  # a customer there who has paid, and whom nobody here knows
    [left] = rows(house, audit_entries, tenant_id=tenant.id, action="customer.left")
    assert left.resource_id in str(error)
    return tenant, charge


def test_a_charge_whose_customer_is_lost_too(own_house: House, tmp_path: Path) -> None:
    """Its obligation is known as paid; it is listed without a customer, says so, and its money can be given back."""
    tenant, charge = lost_with_its_customer(own_house, tmp_path)
    [listed] = tenant.call("GET", "/v1/charges").get_json()["data"]
    assert (listed["id"], listed["status"], listed["amount"]) == (charge, "succeeded", 1234)
    assert (listed["customer"], listed["token"], listed["recovered"]) == (None, None, True)
    other = tenant.charge(tenant.token()["id"], obligation="I-1", amount=1000)
    assert (other.status_code, other.get_json()["code"]) == (409, "already_paid")
    assert other.get_json()["charge"] == charge
    assert refund(tenant, charge, 234, "r").status_code == 201
    assert (refunded_there(tenant), shown(tenant, charge)["amount_refunded"]) == (234, 234)
    assert_money_is_true(tenant)


@pytest.mark.parametrize("key", ["k", "another"])
def test_an_order_for_it_is_its_replay(own_house: House, tmp_path: Path, key: str) -> None:
    """An order of that amount and currency, under any key, charges nothing; the charge gets what the client knew."""
    tenant, charge = lost_with_its_customer(own_house, tmp_path)
    token = tenant.token()
    answer = tenant.charge(token["id"], key=key, obligation="I-1", metadata={"note": "x"})
    assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
    told = answer.get_json()
    assert (told["id"], told["recovered"], told["metadata"], told["obligation"]) == (
        charge,
        False,
        {"note": "x"},
        "I-1",
    )
    assert (told["token"], told["customer"]) == (token["id"], token["customer"])
    assert tenant.charge(token["id"], key=key, obligation="I-1", metadata={"note": "x"}).get_json() == told
    assert tenant.charge(token["id"], obligation="I-1").get_json()["code"] == "already_paid"
    assert len(tenant.charges_at_processor()) == 1
    assert_money_is_true(tenant)


def test_another_currency_is_no_replay(own_house: House, tmp_path: Path) -> None:
    """It pays something else, or was meant to: 409, and the charge stays as it is."""
    tenant, charge = lost_with_its_customer(own_house, tmp_path)
    answer = tenant.charge(tenant.token()["id"], obligation="I-1", currency="usd")
    assert (answer.status_code, answer.get_json()["charge"]) == (409, charge)
    assert shown(tenant, charge)["recovered"] is True
    assert len(tenant.charges_at_processor()) == 1


def test_a_charge_of_a_known_customer(own_house: House, tmp_path: Path) -> None:
    """Token and customer are found by the processor's names, and it is listed with them; so is what is only held."""
    tenant = own_house.tenant()
    token = tenant.token()
    put_back = remembered(own_house, tmp_path)
    paid = tenant.charge(token["id"], obligation="I-1").get_json()["id"]
    held = tenant.charge(token["id"], obligation="I-2", capture_method="manual").get_json()["id"]
    put_back()
    assert walked(own_house) == []
    found = tenant.call("GET", f"/v1/charges?customer={token['customer']}").get_json()["data"]
    assert {each["id"]: each["status"] for each in found} == {paid: "succeeded", held: "authorized"}
    assert {each["token"] for each in found} == {token["id"]}
    captured = tenant.call("POST", f"/v1/charges/{held}/capture", {"amount": 1000}, Idempotency_Key="c")
    assert captured.get_json()["status"] == "captured"
    assert_money_is_true(tenant)


def test_a_step_that_is_lost(own_house: House, tmp_path: Path) -> None:
    """Captured and voided there, authorized here: the walk looks at each that is open."""
    tenant = own_house.tenant()
    token = tenant.token()["id"]
    one, two = (tenant.charge(token, capture_method="manual").get_json()["id"] for _ in range(2))
    put_back = remembered(own_house, tmp_path)
    tenant.call("POST", f"/v1/charges/{one}/capture", {"amount": 1000}, Idempotency_Key="c")
    tenant.call("POST", f"/v1/charges/{two}/void", Idempotency_Key="v")
    put_back()
    assert walked(own_house) == []
    assert [shown(tenant, each)["status"] for each in (one, two)] == ["captured", "voided"]
    assert_money_is_true(tenant)


def test_cards_that_are_lost_are_forgotten_there(own_house: House, tmp_path: Path) -> None:
    """Nobody has a token for them, and nothing was paid with them: deleted at the processor, on the record."""
    tenant = own_house.tenant()
    kept = tenant.token(customer={"reference": "known"})
    put_back = remembered(own_house, tmp_path)
    tenant.token(customer={"reference": "new"})
    lost = tenant.token("5555555555554444", customer=kept["customer"])
    put_back()
    assert walked(own_house) == []
    assert tenant.call("GET", f"/v1/tokens/{lost['id']}").status_code == 404
    assert tenant.charge(kept["id"]).status_code == 201
    [methods] = at_processor(tenant).values()
    assert len(methods) == 1
    told = {each.action for each in rows(own_house, audit_entries, tenant_id=tenant.id)}
    assert {"customer.lost", "card.lost"} <= told


@pytest.mark.parametrize("first", ["webhook", "walk", "neither"])
def test_a_lost_refund_is_made_once(own_house: House, tmp_path: Path, first: str) -> None:
    """Whoever hears of it first, its client's retry with the same key is its replay."""
    tenant = own_house.tenant()
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    put_back = remembered(own_house, tmp_path)
    made = refund(tenant, charge, 500, "r").get_json()["id"]
    put_back()
    assert shown(tenant, charge)["amount_refunded"] == 0
    if first == "webhook":
        heard_of(tenant, charge)
    elif first == "walk":
        assert walked(own_house) == []
    again = refund(tenant, charge, 500, "r")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert (again.get_json()["id"], again.get_json()["status"]) == (made, "succeeded")
    [found] = rows(own_house, refunds, charge_id=charge)
    assert (found.refund_id, found.origin) == (made, "panless")
    assert (refunded_there(tenant), shown(tenant, charge)["amount_refunded"]) == (500, 500)
    assert_money_is_true(tenant)


def test_a_fresh_key_in_doubt_is_no_second_refund(own_house: House, tmp_path: Path) -> None:
    """One of the same amount was made just before records were lost: 409 until the walk; another amount is another."""
    tenant = own_house.tenant()
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    put_back = remembered(own_house, tmp_path)
    assert refund(tenant, charge, 500, "r").status_code == 201
    put_back()
    doubtful = refund(tenant, charge, 500, "s")
    assert (doubtful.status_code, doubtful.get_json()["code"]) == (409, "refund_in_doubt")
    assert refund(tenant, charge, 34, "t").status_code == 201
    assert (refunded_there(tenant), shown(tenant, charge)["amount_refunded"]) == (534, 534)
    assert walked(own_house) == []
    assert refund(tenant, charge, 500, "s").status_code == 201  # both are known now: it is meant
    assert refunded_there(tenant) == 1034
    assert_money_is_true(tenant)


def test_a_refund_that_fails_beside_one_made_elsewhere(own_house: House) -> None:
    """Ours of 800 is unknown and 500 are given back at the dashboard: ours fails, and the rest can be refunded."""
    tenant = own_house.tenant()
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    own_house.sandbox.fault(path="/v1/refunds", do="reset")
    assert refund(tenant, charge, 800, "r").status_code == 202
    refund_at_dashboard(tenant, charge, 500)
    assert shown(tenant, charge)["amount_refunded"] == 1234  # never more than was taken
    settled(tenant)
    assert {each.amount: each.state for each in rows(own_house, refunds, charge_id=charge)} == {
        800: "failed",
        500: "succeeded",
    }
    assert (refunded_there(tenant), shown(tenant, charge)["amount_refunded"]) == (500, 500)
    assert refund(tenant, charge, 735, "s").status_code == 422
    assert refund(tenant, charge, 734, "s").status_code == 201
    assert (refunded_there(tenant), shown(tenant, charge)["amount_refunded"]) == (1234, 1234)
    assert_money_is_true(tenant)
