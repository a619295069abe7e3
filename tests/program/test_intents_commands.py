"""`panless intents`: what is open is listed and shown, looked up again, or ended on a human's word, on the record."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from commands import panless
from house import House, Tenant, word
from sqlalchemy import Row, update

from rows.clock import database_clock
from rows.engine import reading, transaction
from vault.processing.intents import LEASE_SECONDS
from vault.tables import audit_entries, charges, events, intents, refunds
from vault.tables.base import metadata

AWAY: dict[str, Any] = {"path": "/v1/payment_intents", "method": "GET", "do": "status", "status": 500, "times": 99}
SEEN = ("--evidence", "Dashboard of 3 December, Ada Lovelace's invoice: nothing there. Jo, support.")


@pytest.fixture
def shop(own_house: House) -> Iterator[Tenant]:
    yield own_house.tenant()
    own_house.sandbox.clear()


def run(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return panless("intents", *words, env=house.environment)


def refused(house: House, *words: str) -> str:
    done = run(house, *words)
    assert (done.returncode, done.stdout) == (1, ""), done
    return done.stderr


def rows(tenant: Tenant, table: str, **wanted: object) -> list[Row[Any]]:
    named = metadata.tables[table]
    statement = named.select().where(named.c.tenant_id == tenant.id)
    for name, value in wanted.items():
        statement = statement.where(named.c[name] == value)
    with reading(tenant.house.components.records) as connection:
        return [*connection.execute(statement)]


def change(tenant: Tenant, intent: str, **values: object) -> None:
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(intents).where(intents.c.intent_id == intent).values(**values))


def unknown_charge(tenant: Tenant, obligation: str, *, paid: bool = False, **order: object) -> tuple[str, str]:
    """A charge whose answer was lost, and its intent; `paid` has the processor carry it out."""
    fault = {"do": "lose_answer"} if paid else {"do": "status", "status": 500}
    tenant.house.sandbox.fault(path="/v1/payment_intents", method="POST", **fault)
    answer = tenant.charge(tenant.token()["id"], obligation=obligation, **order)
    assert answer.status_code == 202, answer.get_json()
    return answer.get_json()["id"], intent_of(tenant, answer.get_json()["id"])


def intent_of(tenant: Tenant, resource: str) -> str:
    [row] = [each for each in rows(tenant, "intents", resource_id=resource) if each.state != "done"]
    return str(row.intent_id)


def told(tenant: Tenant, kind: str) -> list[Any]:
    return [json.loads(row.data) for row in rows(tenant, "events", type=kind)]


def test_listed_and_shown(shop: Tenant) -> None:
    """The oldest first, those that need a human alone, those of a certain age; and each with all that is known."""
    house = shop.house
    (first, one), (_, other) = unknown_charge(shop, "INV-1"), unknown_charge(shop, "INV-2")
    change(shop, one, created_at=database_clock(-7200), state="manual")
    table = run(house, "list")
    assert [line.split()[0] for line in table.stdout.splitlines()] == ["INTENT", one, other]
    assert table.stderr == "2 open, of which 1 need a human.\n"
    assert other not in run(house, "list", "--manual").stdout
    assert other not in run(house, "list", "--older", "1h").stdout
    [line] = run(house, "list", "--older", "90m", "--json").stdout.splitlines()
    assert json.loads(line) == json.loads(line) | {
        "intent": one,
        "tenant": shop.id,
        "operation": "charge.create",
        "resource": first,
        "account": shop.account,
        "state": "manual",
    }
    assert run(house, "list", "--older", "1 week").returncode == 2
    shown = run(house, "show", one).stdout.splitlines()
    assert {f"resource: {first}", "state: manual", "being_worked_on: False", "key_burnt: -"} <= {*shown}
    assert "no such intent" in refused(house, "show", "int_none")


def test_retry(shop: Tenant) -> None:
    """A pending one and one that needs a human are due at once, as if never tried, and it is on the record."""
    house = shop.house
    charge, intent = unknown_charge(shop, "INV-1", paid=True)
    for state in ("pending", "manual"):
        change(shop, intent, state=state, attempts=40, exceptions=20, lease_until=database_clock(3000), word=None)
        assert run(house, "retry", intent).returncode == 0
        [row] = rows(shop, "intents", intent_id=intent)
        assert (row.state, row.attempts, row.exceptions) == ("pending", 0, 0)
    assert len(rows(shop, "audit_entries", action="intent.retry")) == 2
    house.work()
    assert shop.call("GET", f"/v1/charges/{charge}").get_json()["status"] == "succeeded"
    assert "no such open intent" in refused(house, "retry", intent)


def test_what_is_worked_on_is_left_alone(shop: Tenant) -> None:
    """While a lease lasts neither a retry nor a human's word touches it, and both say until when."""
    _, intent = unknown_charge(shop, "INV-1")
    change(shop, intent, lease_until=database_clock(LEASE_SECONDS), word=b"of somebody who ")
    [row] = rows(shop, "intents", intent_id=intent)
    for order in (("retry", intent), ("settle", intent, "--as", "failed", *SEEN)):
        assert f"until {row.lease_until:%H:%M:%S} UTC" in refused(shop.house, *order)
    [after] = rows(shop, "intents", intent_id=intent)
    assert after == row


def test_a_look_that_is_due_later_is_no_work(shop: Tenant) -> None:
    """What the worker has given back for a later look can be settled at once."""
    _, intent = unknown_charge(shop, "INV-1")
    shop.house.sandbox.fault(**AWAY)
    shop.house.work()
    [row] = rows(shop, "intents", intent_id=intent)
    assert (row.state, row.attempts) == ("pending", 2)
    assert run(shop.house, "settle", intent, "--as", "failed", *SEEN).returncode == 0


def test_a_charge_that_failed(shop: Tenant) -> None:
    """It is failed, told, on the record by ids alone; the obligation is free, and its key does not count as used up."""
    charge, intent = unknown_charge(shop, "INV-1")
    change(shop, intent, state="manual", lease_until=database_clock(3000), word=None)
    done = run(shop.house, "settle", intent, "--as", "failed", *SEEN)
    assert (done.returncode, done.stdout) == (0, f"Settled by hand: {charge} is failed.\n"), done
    [row] = rows(shop, "charges", charge_id=charge)
    assert (row.state, row.key_number, row.amount_captured) == ("failed", None, 0)
    [ended] = rows(shop, "intents", intent_id=intent)
    assert ended.state == "done"
    assert [each["id"] for each in told(shop, "charge.failed")] == [charge]
    [entry] = rows(shop, "audit_entries", action="charge.failed_by_hand")
    assert (entry.resource_id, "Ada" in entry.leaf) == (charge, False)
    again = shop.charge(shop.token()["id"], obligation="INV-1")
    assert (again.status_code, again.get_json()["status"]) == (201, "succeeded")
    [_, second] = sorted(rows(shop, "charges"), key=lambda each: each.created_at)
    assert (second.key_number, row.key_number) == (1, None)


def test_a_charge_that_was_wrongly_said_to_have_failed(shop: Tenant) -> None:
    """The next order for its obligation meets it at the processor: nothing is paid twice."""
    _, intent = unknown_charge(shop, "INV-1", paid=True)
    assert run(shop.house, "settle", intent, "--as", "failed", *SEEN).returncode == 0
    again = shop.charge(shop.token()["id"], obligation="INV-1").get_json()
    for _ in range(5):
        with transaction(shop.house.components.records) as tx:
            tx.execute(update(intents).where(intents.c.state == "pending").values(lease_until=database_clock(-1)))
        shop.house.work()
    [row] = [each for each in rows(shop, "charges") if each.charge_id == again.get("id", again.get("charge"))]
    assert row.state == "failed"
    assert len(shop.charges_at_processor()) == 1


def test_a_charge_that_succeeded(shop: Tenant) -> None:
    """It took its amount, and its obligation is taken; it is refunded at the processor, not here."""
    charge, intent = unknown_charge(shop, "INV-1")
    assert run(shop.house, "settle", intent, "--as", "succeeded", *SEEN).returncode == 0
    shown = shop.call("GET", f"/v1/charges/{charge}").get_json()
    assert (shown["status"], shown["amount_captured"]) == ("succeeded", 1234)
    assert [each["status"] for each in told(shop, "charge.succeeded")] == ["succeeded"]
    assert shop.charge(shop.token()["id"], obligation="INV-1").get_json()["code"] == "already_paid"
    back = shop.call("POST", f"/v1/charges/{charge}/refunds", {}, Idempotency_Key=word())
    assert (back.status_code, back.get_json()["code"]) == (409, "charge_not_refundable")
    assert "by hand" in back.get_json()["detail"]
    held, intent = unknown_charge(shop, "INV-2", capture_method="manual")
    assert f"{held} is captured" in run(shop.house, "settle", intent, "--as", "succeeded", *SEEN).stdout


def test_evidence(shop: Tenant) -> None:
    """It is nowhere in clear, is read on the record, and goes with the customer; a card number in it is refused."""
    charge, intent = unknown_charge(shop, "INV-1")
    settle = ("settle", intent, "--as", "failed", "--evidence")
    for wrong, why in (
        ("  ", "1 to 2000 characters"),
        ("x" * 2001, "1 to 2000"),
        ("4242 4242 4242 4242", "card number"),
    ):
        assert why in refused(shop.house, *settle, wrong)
    assert "evidence: -" in run(shop.house, "show", intent, "--evidence").stdout
    assert run(shop.house, *settle, SEEN[1]).returncode == 0
    kept = [value for table in (charges, intents, events, audit_entries) for value in rows(shop, table.name)]
    assert "Ada Lovelace" not in repr(kept)
    assert "evidence" not in run(shop.house, "show", intent).stdout
    assert f"evidence: {SEEN[1]}" in run(shop.house, "show", intent, "--evidence").stdout
    [entry] = rows(shop, "audit_entries", action="intent.evidence_read")
    [row] = rows(shop, "charges", charge_id=charge)
    assert (entry.resource_id, entry.customer_id) == (intent, row.customer_id)
    assert shop.erase(row.customer_id).status_code == 200
    assert "evidence: -" in run(shop.house, "show", intent, "--evidence").stdout


@pytest.mark.parametrize(
    ("step", "how", "becomes"),
    [
        ("capture", "succeeded", ("captured", 1000, 1)),
        ("capture", "failed", ("authorized", 0, 1)),
        ("void", "succeeded", ("voided", 0, None)),
        ("void", "failed", ("authorized", 0, 1)),
    ],
)
def test_a_step(shop: Tenant, step: str, how: str, becomes: tuple[str, int, int | None]) -> None:
    """Taken, it is what the charge came to; not taken, it is free for another step. Its void's key is not used up."""
    charge = shop.charge(shop.token()["id"], capture_method="manual", obligation="INV-1").get_json()["id"]
    shop.house.sandbox.fault(path="/v1/payment_intents/*", method="POST", do="status", status=500)
    body = {"amount": 1000} if step == "capture" else None
    assert shop.call("POST", f"/v1/charges/{charge}/{step}", body, Idempotency_Key=word()).status_code == 202
    intent = intent_of(shop, charge)
    assert run(shop.house, "settle", intent, "--as", how, *SEEN).returncode == 0
    [row] = rows(shop, "charges", charge_id=charge)
    assert (row.state, row.amount_captured, row.key_number, row.step) == (*becomes, None)
    assert f"evidence: {SEEN[1]}" in run(shop.house, "show", intent, "--evidence").stdout
    action = f"charge.{step}_failed_by_hand" if how == "failed" else f"charge.{becomes[0]}_by_hand"
    assert [each.resource_id for each in rows(shop, "audit_entries", action=action)] == [charge]


@pytest.mark.parametrize(("how", "given_back"), [("succeeded", 500), ("failed", 0)])
def test_a_refund(shop: Tenant, how: str, given_back: int) -> None:
    """Its amount is given back, or is free to be given back again; it is told, its evidence kept with the charge."""
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    shop.house.sandbox.fault(path="/v1/refunds", method="POST", do="status", status=500)
    back = shop.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 500}, Idempotency_Key=word())
    refund = back.get_json()["id"]
    intent = intent_of(shop, refund)
    assert f"{refund} is {how}" in run(shop.house, "settle", intent, "--as", how, *SEEN).stdout
    assert shop.call("GET", f"/v1/charges/{charge}").get_json()["amount_refunded"] == given_back
    assert [each["id"] for each in told(shop, f"refund.{how}")] == [refund]
    assert [each.resource_id for each in rows(shop, "audit_entries", action=f"refund.{how}_by_hand")] == [refund]
    assert f"evidence: {SEEN[1]}" in run(shop.house, "show", intent, "--evidence").stdout
    assert [each.state for each in rows(shop, refunds.name)] == [how]


def test_what_is_not_settled_by_hand(shop: Tenant) -> None:
    """A card, what is to be forgotten, a contact: each is refused, says what to do instead, and stays open."""
    shop.house.sandbox.fault(path="/v1/setup_intents", method="POST", do="status", status=500)
    token = shop.tokenize().get_json()["id"]
    intent = intent_of(shop, token)
    said = {"token.create": "Delete the token", "token.forget": "intents retry", "contact.send": "intents retry"}
    for operation, instead in said.items():
        change(shop, intent, operation=operation)
        assert instead in refused(shop.house, "settle", intent, "--as", "failed", *SEEN)
    assert intent_of(shop, token) == intent


def test_without_a_key_for_the_evidence(shop: Tenant) -> None:
    """Where the customer's part of a charge is gone nothing is settled, and the command says so."""
    charge, intent = unknown_charge(shop, "INV-1")
    with transaction(shop.house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.charge_id == charge).values(details=None))
    assert "evidence would be kept" in refused(shop.house, "settle", intent, "--as", "failed", *SEEN)
    assert intent_of(shop, charge) == intent
