"""Capture, void, confirm and abandonment, at the door, against the sandbox, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import HTTPError

import pytest
from api_scene import problem, processor, work_until
from house import Tenant, word
from sqlalchemy import update

from rows.clock import database_clock
from rows.engine import transaction
from vault.money.charge import looking
from vault.processing.answers import NotReached
from vault.tables import charges

ASKS_ALWAYS = "4000002760003184"
ACTED: dict[str, dict[str, Any]] = {
    "answer lost": {"do": "lose_answer"},
    "500 after acting": {"do": "status", "status": 500, "act": True},
    "garbage after acting": {"do": "garbage"},
}
NOT_DONE: dict[str, dict[str, Any]] = {
    "500, nothing done": {"do": "status", "status": 500},
    "reset": {"do": "reset"},
}
FAULTS = {**ACTED, **NOT_DONE}


def authorized(tenant: Tenant, **order: object) -> str:
    answer = tenant.charge(tenant.token()["id"], capture_method="manual", **order)
    shown = answer.get_json()
    assert (answer.status_code, shown["status"], shown["amount_captured"]) == (201, "authorized", 0)
    return str(shown["id"])


def step(tenant: Tenant, charge: str, name: str, body: object = None, *, key: str | None = None) -> Any:
    return tenant.call("POST", f"/v1/charges/{charge}/{name}", body, Idempotency_Key=key or word())


def challenged(tenant: Tenant, **order: object) -> tuple[str, str]:
    """A charge that waits for its person, and the processor's name of it."""
    token = tenant.token(ASKS_ALWAYS)
    setup = token["next_action"]["client_secret"].partition("_secret")[0]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": "succeed"})
    token = tenant.call("POST", f"/v1/tokens/{token['id']}/confirm").get_json()
    answer = tenant.charge(token["id"], initiator="customer", **order)
    assert (answer.status_code, answer.get_json()["status"]) == (201, "requires_action")
    return answer.get_json()["id"], answer.get_json()["next_action"]["client_secret"].partition("_secret")[0]


def answered(tenant: Tenant, payment: str, result: str) -> None:
    tenant.house.sandbox.hook("POST", f"/_authenticate/{payment}", {"result": result})


def money(tenant: Tenant) -> list[tuple[bool, int]]:
    """What the book says of this tenant's payments: captured, amount."""
    return [(each["captured"], each["amount"]) for each in tenant.charges_at_processor()]


def shown(tenant: Tenant, charge: str) -> dict[str, Any]:
    found: dict[str, Any] = tenant.call("GET", f"/v1/charges/{charge}").get_json()
    return found


@pytest.mark.parametrize(("amount", "taken"), [(None, 1234), (1000, 1000), (1234, 1234)])
def test_capture(tenant: Tenant, amount: int | None, taken: int) -> None:
    """All or a part of what was authorized is taken once; the obligation is paid; the key again answers the same."""
    charge, key = authorized(tenant, obligation="INV-1"), word()
    body = None if amount is None else {"amount": amount}
    answer = step(tenant, charge, "capture", body, key=key)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "captured")
    assert (answer.get_json()["amount_captured"], money(tenant)) == (taken, [(True, taken)])
    again = step(tenant, charge, "capture", body, key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert again.get_json() == answer.get_json()
    problem(step(tenant, charge, "capture", body), 409, "charge_not_capturable")
    problem(step(tenant, charge, "void"), 409, "charge_not_voidable")
    problem(tenant.charge(shown(tenant, charge)["token"], obligation="INV-1"), 409, "already_paid")


def test_capture_of_more_than_was_authorized(tenant: Tenant) -> None:
    """Refused before the processor is asked; so is another body under a known key, and no key."""
    charge = authorized(tenant)
    assert problem(step(tenant, charge, "capture", {"amount": 1235}), 422, "invalid_request")
    assert money(tenant) == [(False, 1234)]
    step(tenant, charge, "capture", {"amount": 1000}, key="K")
    problem(step(tenant, charge, "capture", {"amount": 999}, key="K"), 422, "idempotency_key_reused")
    problem(tenant.call("POST", f"/v1/charges/{charge}/capture"), 400, "idempotency_key_required")


def test_void(tenant: Tenant) -> None:
    """Nothing is taken, the obligation is free again, and what is voided is not captured any more."""
    charge = authorized(tenant, obligation="INV-1")
    answer = step(tenant, charge, "void")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "voided")
    problem(step(tenant, charge, "capture"), 409, "charge_not_capturable")
    problem(tenant.call("POST", f"/v1/charges/{charge}/refunds", Idempotency_Key=word()), 409, "charge_not_refundable")
    assert tenant.charge(shown(tenant, charge)["token"], obligation="INV-1").status_code == 201
    assert (True, 1234) in money(tenant)


def test_steps_at_once(tenant: Tenant) -> None:
    """Of ten captures and voids at once one is taken; the book and the record agree on which."""
    charge = authorized(tenant)
    with ThreadPoolExecutor(10) as pool:
        names = ["capture", "void"] * 5
        answers = [*pool.map(lambda name: step(tenant, charge, name).status_code, names)]
    assert sorted(answers) == [200] + [409] * 9
    status = shown(tenant, charge)["status"]
    assert (status == "captured") == ((True, 1234) in money(tenant))
    assert shown(tenant, charge)["step"] is None


@pytest.mark.parametrize("name", ["capture", "void"])
@pytest.mark.parametrize("fault", FAULTS)
def test_step_of_unknown_outcome(tenant: Tenant, name: str, fault: str) -> None:
    """The charge stays authorized and names the step, 202. Done there, it is done; else it is free for another."""
    charge = authorized(tenant)
    tenant.house.sandbox.fault(path="/v1/payment_intents/*", method="POST", **FAULTS[fault])
    answer = step(tenant, charge, name)
    seen = answer.get_json()
    assert (answer.status_code, seen["status"], seen["step"]) == (202, "authorized", name)
    problem(step(tenant, charge, "void"), 409, "charge_in_progress")
    problem(tenant.call("DELETE", f"/v1/customers/{seen['customer']}"), 409, "blocked")
    tenant.house.sandbox.clear()
    work_until(tenant.house, lambda: shown(tenant, charge)["step"] is None)
    done = {"capture": "captured", "void": "voided"}[name]
    assert shown(tenant, charge)["status"] == (done if fault in ACTED else "authorized")
    assert ((True, 1234) in money(tenant)) == (name == "capture" and fault in ACTED)
    if fault in NOT_DONE:
        assert step(tenant, charge, name).get_json()["status"] == done


def test_step_that_did_not_reach_the_processor(tenant: Tenant) -> None:
    """503, nothing happened: the same key may begin again."""
    charge = authorized(tenant)
    tenant.house.sandbox.fault(path="/v1/payment_intents/*", do="status", status=429)
    problem(step(tenant, charge, "capture", key="K"), 503, "processor_not_reached")
    assert shown(tenant, charge)["step"] is None
    assert step(tenant, charge, "capture", key="K").get_json()["status"] == "captured"


def test_authorization_that_ended_at_the_processor(tenant: Tenant) -> None:
    """Called off there by somebody else: capture answers 409, and the charge says voided, its obligation free."""
    charge = authorized(tenant, obligation="INV-1")
    parts = tenant.house.components
    underway = looking.find(tenant.desk, parts.processors, charge)
    assert underway is not None
    connected = underway.connected
    off = connected.processor.void(connected.credentials, reference=underway.reference, key="elsewhere")
    assert not isinstance(off, NotReached)
    problem(step(tenant, charge, "capture"), 409, "charge_not_capturable")
    assert shown(tenant, charge)["status"] == "voided"
    assert tenant.charge(shown(tenant, charge)["token"], obligation="INV-1").status_code == 201


@pytest.mark.parametrize(("method", "status"), [("automatic", "succeeded"), ("manual", "authorized")])
def test_confirm(tenant: Tenant, method: str, status: str) -> None:
    """Until the person authenticates confirm says what to do; then the charge is what it would have been."""
    charge, payment = challenged(tenant, capture_method=method, obligation="INV-1")
    before = step(tenant, charge, "confirm")
    assert (before.status_code, before.get_json()["status"]) == (200, "requires_action")
    answered(tenant, payment, "succeed")
    for _ in range(2):
        after = step(tenant, charge, "confirm")
        assert (after.status_code, after.get_json()["status"]) == (200, status)
        assert after.get_json().get("next_action") is None
    problem(
        tenant.charge(shown(tenant, charge)["token"], obligation="INV-1"),
        409,
        "already_paid" if method == "automatic" else "in_doubt",
    )


def test_confirm_of_a_failure(tenant: Tenant) -> None:
    """402; and the payment is called off at the processor first, so that the person's page can't pay it any more."""
    charge, payment = challenged(tenant, obligation="INV-1")
    answered(tenant, payment, "fail")
    for _ in range(2):
        problem(step(tenant, charge, "confirm"), 402, "declined")
    assert shown(tenant, charge)["status"] == "declined"
    with pytest.raises(HTTPError, match="400"):  # what the person's page would do next
        processor(tenant, "POST", f"/v1/payment_intents/{payment}/confirm", payment_method="pm_card_visa")
    assert money(tenant) == []
    assert tenant.charge(tenant.token()["id"], obligation="INV-1").status_code == 201


def test_void_of_what_waits_for_the_person(tenant: Tenant) -> None:
    """Nobody can pay it any more."""
    charge, payment = challenged(tenant)
    assert step(tenant, charge, "void").get_json()["status"] == "voided"
    with pytest.raises(Exception, match="400"):
        answered(tenant, payment, "succeed")


def test_void_of_what_the_person_has_just_paid(tenant: Tenant) -> None:
    """409, and the charge says succeeded: what is paid is paid."""
    charge, payment = challenged(tenant)
    answered(tenant, payment, "succeed")
    problem(step(tenant, charge, "void"), 409, "charge_not_voidable")
    assert shown(tenant, charge)["status"] == "succeeded"


def aged(tenant: Tenant, charge: str, hours: int) -> None:
    """Let a charge have been made so many hours ago."""
    then = {"created_at": database_clock(-hours * 3600), "updated_at": database_clock(-hours * 3600)}
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.charge_id == charge).values(then))


def test_abandoned(tenant: Tenant) -> None:
    """After 24 hours it is called off at the processor and told as a decline; an hour before that it still waits."""
    charge, payment = challenged(tenant, obligation="INV-1")
    aged(tenant, charge, 23)
    tenant.house.work()
    assert shown(tenant, charge)["status"] == "requires_action"
    aged(tenant, charge, 25)
    tenant.house.work()
    assert shown(tenant, charge)["status"] == "declined"
    assert shown(tenant, charge)["decline"]["code"] == "authentication_abandoned"
    with pytest.raises(Exception, match="400"):
        answered(tenant, payment, "succeed")
    assert tenant.charge(tenant.token()["id"], obligation="INV-1").status_code == 201


def test_paid_in_the_last_moment(tenant: Tenant) -> None:
    """What the person paid before it was called off is paid, and told so."""
    charge, payment = challenged(tenant)
    answered(tenant, payment, "succeed")
    aged(tenant, charge, 25)
    tenant.house.work()
    assert (shown(tenant, charge)["status"], money(tenant)) == ("succeeded", [(True, 1234)])


def test_abandoned_while_the_processor_is_away(tenant: Tenant) -> None:
    """It still waits, and is called off once the processor is back."""
    charge, _ = challenged(tenant)
    aged(tenant, charge, 25)
    tenant.house.sandbox.fault(path="/v1/payment_intents/*", do="status", status=429)
    tenant.house.work()
    assert shown(tenant, charge)["status"] == "requires_action"
    tenant.house.sandbox.clear()
    tenant.house.work()
    assert shown(tenant, charge)["status"] == "requires_action"  # its turn comes in five minutes
    aged(tenant, charge, 25)
    tenant.house.work()
    assert shown(tenant, charge)["status"] == "declined"
