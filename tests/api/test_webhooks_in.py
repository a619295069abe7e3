"""Webhooks in: genuine ones are kept and looked into, in any order and number; nothing else gets in."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_scene import problem, processor, work_until
from backups import backup, restore
from house import VISA, House, Tenant, serve, word
from sqlalchemy import delete, select, update
from stripe import WebhookSignature
from werkzeug.test import TestResponse

from rows.changes import write
from rows.engine import reading, transaction
from vault.errors import NeedsHuman
from vault.ids import new_id
from vault.lanes.money import hear_once
from vault.money.charge import aftermath
from vault.processing import inbox, intents
from vault.recovering import forgetting_old, webhooks_left
from vault.tables import audit_entries, charges, processor_accounts, webhook_inbox
from vault.tables import intents as intent_table

SECRET = "whsec_of_the_test_account"  # no secret of anybody's
DISPUTED = "4000000000000259"


@pytest.fixture
def shop(tenant: Tenant) -> Tenant:
    """A tenant whose processor account knows what its webhooks are signed with."""
    return known_to_webhooks(tenant)


def known_to_webhooks(tenant: Tenant) -> Tenant:
    path = f"/v1/processor-accounts/{tenant.account}"
    assert tenant.call("PATCH", path, {"webhook_secret": SECRET}).status_code == 200
    return tenant


def send(
    shop: Tenant,
    kind: str,
    about: dict[str, Any],
    *,
    event: str | None = None,
    secret: str = SECRET,
    ago: int = 0,
    account: str | None = None,
    tampered: bool = False,
) -> TestResponse:
    body = json.dumps({"id": event or f"evt_{word()}", "object": "event", "type": kind, "data": {"object": about}})
    header = WebhookSignature.generate_signature_header(body, secret, int(time.time()) - ago)
    sent = body.replace("evt_", "evt_x") if tampered else body
    path = f"/webhooks/{account or shop.account}"
    client = shop.house.app.test_client()
    return client.post(path, data=sent, headers={"Stripe-Signature": header, "Content-Type": "application/json"})


def stored(shop: Tenant) -> list[str]:
    with reading(shop.house.components.records) as connection:
        found = connection.execute(webhook_inbox.select().where(webhook_inbox.c.tenant_id == shop.id)).all()
    return sorted(row.state for row in found)


def shown(shop: Tenant, path: str) -> dict[str, Any]:
    found: dict[str, Any] = shop.call("GET", path).get_json()
    return found


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret": "whsec_another"},
        {"ago": 302},
        {"ago": -302},
        {"tampered": True},
        {"account": "pa_00aaaaaaaaaaaaaaaaaaaaaaaaaa"},
        {"account": "x"},
    ],
    ids=str,
)
def test_what_is_not_genuine(shop: Tenant, wrong: dict[str, Any]) -> None:
    """One and the same answer, whatever is wrong; nothing is kept."""
    answer = send(shop, "payment_intent.succeeded", {"id": "pi_1"}, **wrong)
    problem(answer, 400, "webhook_refused")
    assert stored(shop) == []


@pytest.mark.parametrize("ago", [0, 298, -290])
def test_what_is_genuine(shop: Tenant, ago: int) -> None:
    """Kept before it is answered; what is about nothing of ours is looked into and done."""
    assert send(shop, "payment_intent.succeeded", {"id": "pi_of_others"}, ago=ago).status_code == 204
    assert stored(shop) == ["pending"]
    shop.house.work()
    assert stored(shop) == ["applied"]


def test_an_account_without_a_secret(tenant: Tenant) -> None:
    """Takes no webhooks; neither does one with a forged signature by an empty secret."""
    problem(send(tenant, "payment_intent.succeeded", {"id": "pi_1"}), 400, "webhook_refused")


@pytest.mark.parametrize("path", ["%00", "pa_%00x", "%ED%A0%80", "x" * 3000, "pa_x", "cus_1"])
def test_a_path_that_is_no_account(tenant: Tenant, path: str) -> None:
    """Whatever it holds, it is answered like an account that is not there, and no database is asked about it."""
    answer = tenant.house.app.test_client().post(f"/webhooks/{path}", data=b"{}")
    problem(answer, 400, "webhook_refused")


def test_the_same_event_many_times(shop: Tenant) -> None:
    """Ten at once and one later: kept once, answered as the first."""
    about = {"id": "re", "payment_intent": "pi"}
    with ThreadPoolExecutor(5) as pool:
        answers = [*pool.map(lambda _: send(shop, "refund.updated", about, event="evt_1"), range(10))]
    assert {answer.status_code for answer in answers} == {204}
    shop.house.work()
    assert send(shop, "refund.updated", about, event="evt_1").status_code == 204
    assert stored(shop) == ["applied"]


def test_what_is_about_nothing_that_we_keep(shop: Tenant) -> None:
    """Kept as ignored, so that it is answered well and not sent again."""
    assert send(shop, "customer.subscription.created", {"id": "sub_1"}).status_code == 204
    assert stored(shop) == ["ignored"]


def test_a_body_that_is_no_event(shop: Tenant) -> None:
    """Signed or not."""
    body = b'{"a": 1}'
    header = WebhookSignature.generate_signature_header(body.decode(), SECRET, int(time.time()))
    client = shop.house.app.test_client()
    answer = client.post(f"/webhooks/{shop.account}", data=body, headers={"Stripe-Signature": header})
    problem(answer, 400, "webhook_refused")


def the_payment(shop: Tenant) -> str:
    """The one payment of this tenant, by the processor's name."""
    customers = processor(shop, "GET", "/v1/customers", limit="100")["data"]
    found = [
        each
        for customer in customers
        for each in processor(shop, "GET", "/v1/payment_intents", customer=customer["id"])["data"]
    ]
    assert len(found) == 1
    return str(found[0]["id"])


def test_a_refund_that_was_made_there(shop: Tenant) -> None:
    """Counted once, whatever is sent how often; what is left can be refunded here, and no more."""
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    payment = the_payment(shop)
    made = processor(shop, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    for kind in ("charge.refunded", "refund.created", "charge.refund.updated", "refund.updated"):
        send(shop, kind, {"id": made["id"], "payment_intent": payment})
    shop.house.work()
    assert shown(shop, f"/v1/charges/{charge}")["amount_refunded"] == 234
    [refund] = shown(shop, f"/v1/charges/{charge}/refunds")["data"]
    assert (refund["origin"], refund["status"], refund["amount"]) == ("processor", "succeeded", 234)
    path = f"/v1/charges/{charge}/refunds"
    problem(shop.call("POST", path, {"amount": 1001}, Idempotency_Key="a"), 422, "invalid_request")
    assert shop.call("POST", path, {"amount": 1000}, Idempotency_Key="b").status_code == 201
    send(shop, "charge.refunded", {"id": "ch", "payment_intent": payment})
    shop.house.work()
    assert shown(shop, f"/v1/charges/{charge}")["amount_refunded"] == 1234


def test_a_refund_of_ours_is_not_counted_twice(shop: Tenant) -> None:
    """Told while its outcome is unknown here: its own intent ends it."""
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    shop.house.sandbox.fault(path="/v1/refunds", method="POST", do="lose_answer")
    made = shop.call("POST", f"/v1/charges/{charge}/refunds", {"amount": 400}, Idempotency_Key="r")
    assert made.status_code == 202
    send(shop, "charge.refunded", {"id": "ch", "payment_intent": the_payment(shop)})
    hear_once(shop.house.components.workshop, lambda *_: None)
    for _ in range(3):
        shop.house.work()
    found = shown(shop, f"/v1/charges/{charge}/refunds")["data"]
    assert [(each["origin"], each["status"], each["amount"]) for each in found] == [("panless", "succeeded", 400)]
    assert shown(shop, f"/v1/charges/{charge}")["amount_refunded"] == 400


def test_an_unknown_charge_that_is_told(shop: Tenant) -> None:
    """What the person did at the processor is known without anybody's asking."""
    token = shop.token("4000002760003184")
    setup = token["next_action"]["client_secret"].partition("_secret")[0]
    shop.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": "succeed"})
    shop.call("POST", f"/v1/tokens/{token['id']}/confirm")
    charge = shop.charge(token["id"], initiator="customer").get_json()
    payment = charge["next_action"]["client_secret"].partition("_secret")[0]
    shop.house.sandbox.hook("POST", f"/_authenticate/{payment}", {"result": "succeed"})
    for kind in ("payment_intent.succeeded", "payment_intent.created", "payment_intent.requires_action"):
        send(shop, kind, {"id": payment})
    shop.house.work()
    assert shown(shop, f"/v1/charges/{charge['id']}")["status"] == "succeeded"


def test_disputes(shop: Tenant) -> None:
    """Opened and closed as the processor says; while one is open its customer is not erased."""
    token = shop.token(DISPUTED)
    charge = shop.charge(token["id"]).get_json()["id"]
    [dispute] = processor(shop, "GET", "/v1/disputes", payment_intent=the_payment(shop))["data"]
    about = {"id": dispute["id"], "payment_intent": the_payment(shop)}
    for kind in ("charge.dispute.created", "charge.dispute.funds_withdrawn"):
        send(shop, kind, about)
    shop.house.work()
    [seen] = shown(shop, f"/v1/disputes?charge={charge}")["data"]
    assert (seen["status"], seen["amount"], seen["charge"]) == ("needs_response", 1234, charge)
    assert shown(shop, f"/v1/disputes/{seen['id']}") == seen
    blocked = problem(shop.call("DELETE", f"/v1/customers/{token['customer']}"), 409, "blocked")
    assert blocked["reasons"] == ["open_dispute"]
    plan = shown(shop, f"/v1/customers/{token['customer']}/erasure-plan")
    assert [each["reason"] for each in plan["blocked_by"]] == ["open_dispute"]
    processor(shop, "POST", f"/v1/disputes/{dispute['id']}/close")
    send(shop, "charge.dispute.closed", about)
    send(shop, "charge.dispute.created", about)
    shop.house.work()
    assert shown(shop, f"/v1/disputes/{seen['id']}")["status"] == "lost"
    told = shown(shop, f"/v1/events?resource={seen['id']}")["data"]
    assert [event["type"] for event in told] == ["dispute.closed", "dispute.opened"]


def test_a_card_that_its_issuer_replaced(shop: Tenant) -> None:
    """Last four and expiry follow; the card is recognized by its new face; charges go on."""
    token = shop.token(customer={"reference": "U-1"})
    [customer] = processor(shop, "GET", "/v1/customers", limit="100")["data"]
    [method] = processor(shop, "GET", "/v1/payment_methods", customer=customer["id"])["data"]
    shop.house.sandbox.hook("POST", f"/_update_card/{method['id']}", {"last4": "1881", "exp_year": 2041})
    for kind in ("payment_method.automatically_updated", "payment_method.updated"):
        send(shop, kind, {"id": method["id"]})
    shop.house.work()
    card = shown(shop, f"/v1/tokens/{token['id']}")["card"]
    assert (card["last4"], card["exp_year"]) == ("1881", 2041)
    assert shop.charge(token["id"]).status_code == 201
    again = shop.token(customer=token["customer"])  # the old number is another card now
    assert again["id"] != token["id"]


def test_a_card_that_was_detached_there(shop: Tenant) -> None:
    """Its token is detached, and charges nothing."""
    token = shop.token(customer={"reference": "U-1"})
    [customer] = processor(shop, "GET", "/v1/customers", limit="100")["data"]
    [method] = processor(shop, "GET", "/v1/payment_methods", customer=customer["id"])["data"]
    processor(shop, "POST", f"/v1/payment_methods/{method['id']}/detach")
    send(shop, "payment_method.detached", {"id": method["id"]})
    shop.house.work()
    assert shown(shop, f"/v1/tokens/{token['id']}")["status"] == "detached"
    problem(shop.charge(token["id"]), 409, "token_not_active")
    assert shop.token(customer=token["customer"])["status"] == "active"


def test_a_foreign_account_reaches_nothing(shop: Tenant) -> None:
    """What another tenant's account says of our payment changes nothing."""
    other = shop.house.tenant()
    other.call("PATCH", f"/v1/processor-accounts/{other.account}", {"webhook_secret": SECRET})
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    payment = the_payment(shop)
    processor(shop, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    send(other, "charge.refunded", {"id": "ch", "payment_intent": payment})
    shop.house.work()
    assert shown(shop, f"/v1/charges/{charge}")["amount_refunded"] == 0


def test_a_processor_that_is_away(shop: Tenant) -> None:
    """What was told is looked into once it is back."""
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    payment = the_payment(shop)
    processor(shop, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    shop.house.sandbox.fault(path="/v1/refunds", method="GET", do="status", status=500, times=3)
    send(shop, "charge.refunded", {"id": "ch", "payment_intent": payment})
    shop.house.work()
    assert stored(shop) == ["pending"]
    shop.house.sandbox.clear()
    due_now(shop)
    shop.house.work()
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["amount_refunded"]) == (["applied"], 234)


class Behind:
    """A processor whose list of refunds does not show yet what was done just now."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def refunds_of(self, *_: Any, **__: Any) -> list[Any]:
        return []


def test_a_list_that_is_behind(shop: Tenant) -> None:
    """A refund that was told and is not listed yet is looked for again, as long as a list may be behind."""
    parts = shop.house.components
    behind = replace(parts, processors={"sandbox": Behind(parts.processors["sandbox"])})
    charge = shop.charge(shop.token()["id"]).get_json()["id"]
    payment = the_payment(shop)
    processor(shop, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    send(shop, "charge.refunded", {"id": "ch", "payment_intent": payment})
    assert heard(replace(shop.house, components=behind)) == []
    assert stored(shop) == ["pending"]
    due_now(shop)
    assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["amount_refunded"]) == (["applied"], 234)
    send(shop, "refund.updated", {"id": "re", "payment_intent": payment})
    longer = replace(behind, clock=lambda: datetime.now(UTC) + timedelta(seconds=11))
    assert heard(replace(shop.house, components=longer)) == []
    assert stored(shop) == ["applied", "applied"]


def asked_of_person(shop: Tenant) -> tuple[str, str]:
    """A charge that waits for its person, who has just authenticated at the processor; with the payment's name."""
    token = shop.token("4000002760003184")
    setup = token["next_action"]["client_secret"].partition("_secret")[0]
    shop.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": "succeed"})
    shop.call("POST", f"/v1/tokens/{token['id']}/confirm")
    charge = shop.charge(token["id"], initiator="customer").get_json()
    payment = charge["next_action"]["client_secret"].partition("_secret")[0]
    shop.house.sandbox.hook("POST", f"/_authenticate/{payment}", {"result": "succeed"})
    return charge["id"], payment


def test_a_payment_that_could_not_be_looked_at(shop: Tenant) -> None:
    """The processor answered 500 once: the event is kept, and the charge is told as it stands at the next try."""
    charge, payment = asked_of_person(shop)
    shop.house.sandbox.fault(path="/v1/payment_intents/*", method="GET", do="status", status=500)
    send(shop, "payment_intent.succeeded", {"id": payment})
    shop.house.work()
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["status"]) == (["pending"], "requires_action")
    due_now(shop)
    shop.house.work()
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["status"]) == (["applied"], "succeeded")


def test_what_nobody_answers_for_is_listed(shop: Tenant) -> None:
    """After three days the worker asks no more; a human is told, sees it listed, and can have it tried again."""
    charge, payment = asked_of_person(shop)
    shop.house.sandbox.fault(path="/v1/payment_intents/*", method="GET", do="status", status=500, times=99)
    send(shop, "payment_intent.succeeded", {"id": payment})
    assert heard(later(shop.house, hours=71)) == []
    assert stored(shop) == ["pending"]
    due_now(shop)
    [(what, error)] = heard(later(shop.house, hours=73))
    assert (what, type(error)) == ("webhook", NeedsHuman)
    assert stored(shop) == ["given_up"]
    assert not forgetting_old.forget_webhooks(later(shop.house, hours=24 * 365).components.workshop)
    workshop = shop.house.components.workshop
    assert webhooks_left.watch(workshop.records).given_up >= 1
    assert [row.type for row in webhooks_left.listed(workshop.records) if row.tenant_id == shop.id] == [
        "payment_intent.succeeded"
    ]
    shop.house.sandbox.clear()
    assert webhooks_left.retry(workshop, shop.account) == 1
    assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["status"]) == (["applied"], "succeeded")
    assert webhooks_left.retry(workshop, shop.account) == 0


def later(house: House, hours: int) -> House:
    """The house with its worker's clock ahead by that much."""
    ahead = replace(house.components, clock=lambda: datetime.now(UTC) + timedelta(hours=hours))
    return replace(house, components=ahead)


def heard(house: House) -> list[tuple[str, Exception]]:
    """What the worker reports of one round over what processors told."""
    reported: list[tuple[str, Exception]] = []
    hear_once(house.components.workshop, lambda what, error: reported.append((what, error)))
    return reported


def test_a_dispute_of_a_charge_that_is_not_known_yet(shop: Tenant) -> None:
    """The answer to our call was lost: what is told of its payment meanwhile waits until it is known whose it is."""
    token = shop.token(DISPUTED)
    shop.house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    charge = shop.charge(token["id"])
    assert charge.status_code == 202
    send(shop, "charge.dispute.created", the_dispute(shop))
    assert heard(shop.house) == []
    assert stored(shop) == ["pending"]
    shop.house.work()
    due_now(shop)
    shop.house.work()
    [seen] = shown(shop, f"/v1/disputes?charge={charge.get_json()['id']}")["data"]
    assert ({*stored(shop)}, seen["status"]) == ({"applied"}, "needs_response")
    problem(shop.call("DELETE", f"/v1/customers/{token['customer']}"), 409, "blocked")


def payment_made_there(shop: Tenant, **metadata: str) -> str:
    """A payment of the tenant's account that these records know nothing of."""
    form = {f"metadata[{name}]": value for name, value in metadata.items()}
    made = processor(shop, "POST", "/v1/payment_intents", amount="500", currency="eur", **form)
    return str(made["id"])


def test_a_payment_of_somebody_else(shop: Tenant) -> None:
    """Without our tag it is not ours: ignored, whatever is told of it."""
    payment = payment_made_there(shop)
    for kind in ("payment_intent.succeeded", "charge.refunded"):
        send(shop, kind, {"id": payment, "payment_intent": payment})
    send(shop, "charge.dispute.created", {"id": "du_1", "payment_intent": payment})
    assert heard(shop.house) == []
    assert stored(shop) == ["ignored"] * 3


@pytest.mark.parametrize(("is_proven", "becomes"), [(True, "applied"), (False, "pending")])
def test_a_payment_that_the_account_does_not_have(shop: Tenant, *, is_proven: bool, becomes: str) -> None:
    """A proven account says that there is nothing to do; an unproven one may be another, and is asked again."""
    with transaction(shop.house.components.records) as tx:
        this = processor_accounts.c.account_id == shop.account
        tx.execute(update(processor_accounts).where(this).values(proven_at=datetime.now(UTC) if is_proven else None))
    send(shop, "payment_intent.succeeded", {"id": "pi_of_nobody"})
    assert heard(shop.house) == []
    assert stored(shop) == [becomes]
    with transaction(shop.house.components.records) as tx:  # nothing is left to who comes months later
        tx.execute(update(processor_accounts).where(this).values(proven_at=datetime.now(UTC)))
    due_now(shop)
    assert heard(shop.house) == []
    assert stored(shop) == ["applied"]


def lost_here(shop: Tenant, number: str) -> str:
    """A charge that was paid and that these records have lost, as one that an old primary took."""
    charge = str(shop.charge(shop.token(number)["id"]).get_json()["id"])
    with transaction(shop.house.components.records) as tx:
        tx.execute(delete(intent_table).where(intent_table.c.resource_id == charge))
        tx.execute(delete(charges).where(charges.c.charge_id == charge))
    return charge


def the_dispute(shop: Tenant) -> dict[str, Any]:
    """What a webhook says of the dispute of the shop's only payment."""
    [dispute] = processor(shop, "GET", "/v1/disputes", payment_intent=the_payment(shop))["data"]
    return {"id": dispute["id"], "payment_intent": the_payment(shop)}


def test_a_payment_whose_charge_was_lost(shop: Tenant) -> None:
    """An old primary took it after the new one was through with its walk: the event alone has it written again."""
    charge = lost_here(shop, DISPUTED)
    send(shop, "charge.dispute.created", the_dispute(shop))
    assert heard(shop.house) == []
    assert stored(shop) == ["applied"]
    again = shown(shop, f"/v1/charges/{charge}")
    assert (again["status"], again["recovered"]) == ("succeeded", True)
    assert [each["charge"] for each in shown(shop, "/v1/disputes")["data"]] == [charge]


def test_a_refunded_payment_whose_charge_was_lost(shop: Tenant) -> None:
    """What went back of it meanwhile is booked too, whatever the event tells."""
    charge = lost_here(shop, VISA)
    processor(shop, "POST", "/v1/refunds", payment_intent=the_payment(shop), amount="234")
    send(shop, "payment_intent.succeeded", {"id": the_payment(shop)})
    assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/charges/{charge}")["amount_refunded"]) == (["applied"], 234)


def test_a_payment_whose_customer_was_lost_too(own_house: House, tmp_path: Path) -> None:
    """They were made by an old primary after the new one's walk: the audit log names them, as a walk would, once."""
    shop, records = known_to_webhooks(own_house.tenant()), own_house.components.records
    copy = backup(records, tmp_path / "copy")
    charge = shop.charge(shop.token(VISA)["id"]).get_json()
    restore(records, copy)
    for _ in range(2):
        send(shop, "payment_intent.succeeded", {"id": the_payment(shop)})
        assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/charges/{charge['id']}")["customer"]) == (["applied", "applied"], None)
    left = select(audit_entries.c.resource_id).where(audit_entries.c.action == "customer.left")
    with reading(records) as connection:
        assert connection.scalars(left).all() == [charge["customer"]]


def test_a_payment_that_is_not_kept_any_longer(shop: Tenant) -> None:
    """What is told of a payment from before the records' time is left to a human: its charge may have been deleted."""
    charge = lost_here(shop, DISPUTED)
    send(shop, "charge.dispute.created", the_dispute(shop))
    [(_, error)] = heard(later(shop.house, hours=24 * 366 * 11))
    assert (type(error), stored(shop)) == (NeedsHuman, ["unmatched"])
    problem(shop.call("GET", f"/v1/charges/{charge}"), 404, "not_found")


def test_a_payment_of_ours_that_stays_unknown(shop: Tenant) -> None:
    """Open and with our tag it waits for a day; then it is listed for a human, with what it names, and stays listed."""
    lost = new_id("chg", shop.id)
    words = {"panless": intents.tag(shop.house.components.keyring, shop.id, lost), "panless_id": lost}
    payment = payment_made_there(shop, **words)
    send(shop, "charge.dispute.created", {"id": "du_1", "payment_intent": payment})
    for hours in (0, 23):
        assert heard(later(shop.house, hours=hours)) == []
        assert stored(shop) == ["pending"]
        due_now(shop)
    [(_, error)] = heard(later(shop.house, hours=25))
    assert (type(error), stored(shop)) == (NeedsHuman, ["unmatched"])
    [row] = [row for row in webhooks_left.listed(shop.house.components.records) if row.tenant_id == shop.id]
    named = inbox.named_in(shop.house.components.keyring, row)
    assert (named["payment"], named["dispute"]) == (payment, "du_1")


def test_a_card_that_is_detached_before_it_is_known(shop: Tenant) -> None:
    """The answer to the storing was lost, and the card is detached there: the token is, once it is known."""
    shop.house.sandbox.fault(path="/v1/setup_intents", method="POST", do="lose_answer")
    token = shop.tokenize(customer={"reference": "U-1"}).get_json()
    assert token["status"] == "pending"
    [customer] = processor(shop, "GET", "/v1/customers", limit="100")["data"]
    [method] = processor(shop, "GET", "/v1/payment_methods", customer=customer["id"])["data"]
    processor(shop, "POST", f"/v1/payment_methods/{method['id']}/detach")
    send(shop, "payment_method.detached", {"id": method["id"]})
    assert heard(shop.house) == []
    assert stored(shop) == ["pending"]
    shop.house.work()
    due_now(shop)
    shop.house.work()
    assert (stored(shop), shown(shop, f"/v1/tokens/{token['id']}")["status"]) == (["applied"], "detached")


@pytest.mark.parametrize(
    ("result", "kind", "status"),
    [("succeed", "setup_intent.succeeded", "active"), ("fail", "setup_intent.setup_failed", "failed")],
)
def test_a_person_who_authenticated(shop: Tenant, result: str, kind: str, status: str) -> None:
    """The token is told as it stands, without anybody's asking; a look that failed once is taken again."""
    token = shop.token("4000002760003184")
    setup = token["next_action"]["client_secret"].partition("_secret")[0]
    send(shop, "setup_intent.requires_action", {"id": setup})
    assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/tokens/{token['id']}")["status"]) == (["applied"], "requires_action")
    shop.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": result})
    shop.house.sandbox.fault(path="/v1/setup_intents/*", method="GET", do="status", status=500)
    send(shop, kind, {"id": setup})
    assert heard(shop.house) == []
    assert stored(shop) == ["applied", "pending"]
    due_now(shop)
    assert heard(shop.house) == []
    assert stored(shop) == ["applied", "applied"]
    assert shown(shop, f"/v1/tokens/{token['id']}")["status"] == status
    [told, *_] = shown(shop, f"/v1/events?resource={token['id']}")["data"]
    assert told["type"] == f"token.{status}"


def test_a_setup_that_is_told_before_it_is_known(shop: Tenant) -> None:
    """The answer to the storing was lost, and the person authenticates: the token is active once it is known."""
    shop.house.sandbox.fault(path="/v1/setup_intents", method="POST", do="lose_answer")
    token = shop.tokenize("4000002760003184").get_json()
    assert token["status"] == "pending"
    [customer] = processor(shop, "GET", "/v1/customers", limit="100")["data"]
    [setup] = processor(shop, "GET", "/v1/setup_intents", customer=customer["id"])["data"]
    send(shop, "setup_intent.requires_action", {"id": setup["id"]})
    assert heard(shop.house) == []
    assert stored(shop) == ["pending"]
    shop.house.work()
    assert shown(shop, f"/v1/tokens/{token['id']}")["status"] == "requires_action"
    shop.house.sandbox.hook("POST", f"/_authenticate/{setup['id']}", {"result": "succeed"})
    due_now(shop)
    assert heard(shop.house) == []
    assert (stored(shop), shown(shop, f"/v1/tokens/{token['id']}")["status"]) == (["applied"], "active")


def test_a_card_that_is_not_ours(shop: Tenant) -> None:
    """Where no storing is open that could give it a row, it is ignored."""
    shop.token()
    for kind in ("payment_method.detached", "setup_intent.succeeded"):
        send(shop, kind, {"id": "of_others"})
    assert heard(shop.house) == []
    assert stored(shop) == ["ignored"] * 2


def test_what_happened_while_a_charge_was_unknown(shop: Tenant) -> None:
    """Whoever brings a charge to its end by a look-up leaves word: its refunds and disputes are listed, once."""
    charge = shop.charge(shop.token("4000000000001976")["id"]).get_json()["id"]
    payment = the_payment(shop)
    processor(shop, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    parts = shop.house.components
    for _ in range(2):
        with transaction(parts.records) as tx:
            write(tx, aftermath.awaited(shop.desk, shop.account, payment))
    assert heard(shop.house) == []
    assert stored(shop) == ["applied"]
    assert shown(shop, f"/v1/charges/{charge}")["amount_refunded"] == 234
    [dispute] = shown(shop, f"/v1/disputes?charge={charge}")["data"]
    assert dispute["status"] == "warning_needs_response"


@pytest.mark.parametrize(
    ("kind", "about", "state"),
    [
        ("charge.succeeded", {"amount_refunded": 0, "disputed": False}, "ignored"),
        ("charge.updated", {}, "ignored"),
        ("charge.succeeded", {"amount_refunded": 5, "disputed": False}, "pending"),
        ("charge.succeeded", {"amount_refunded": 0, "disputed": True}, "pending"),
        ("charge.refunded", {"amount_refunded": 5}, "pending"),
        ("charge.captured", {"amount_refunded": 0}, "pending"),
    ],
    ids=str,
)
def test_what_needs_no_look(shop: Tenant, kind: str, about: dict[str, Any], state: str) -> None:
    """What comes with each charge and tells nothing of money that went back is done when it is received."""
    send(shop, kind, {"id": "ch", "payment_intent": "pi", **about})
    assert stored(shop) == [state]


def test_one_tenant_does_not_hold_up_another(shop: Tenant) -> None:
    """However many events of one account wait, and however long its looks take, another's is in the next round."""
    other = shop.house.tenant()
    other.call("PATCH", f"/v1/processor-accounts/{other.account}", {"webhook_secret": SECRET})
    shop.charge(shop.token()["id"])
    busy = the_payment(shop)
    for _ in range(110):
        send(shop, "charge.refunded", {"id": "ch", "payment_intent": busy})
    charge = other.charge(other.token()["id"]).get_json()["id"]
    payment = the_payment(other)
    processor(other, "POST", "/v1/refunds", payment_intent=payment, amount="234")
    shop.house.sandbox.fault(path="/v1/refunds", method="GET", do="delay", seconds=0.15, times=400)
    send(other, "charge.refunded", {"id": "ch", "payment_intent": payment})
    began = time.monotonic()
    assert heard(shop.house) == []
    assert shown(other, f"/v1/charges/{charge}")["amount_refunded"] == 234
    assert time.monotonic() - began < 15
    assert "pending" in stored(shop)


def due_now(shop: Tenant) -> None:
    """Let what is to be tried again be due."""
    with transaction(shop.house.components.records) as tx:
        mine = update(webhook_inbox).where(webhook_inbox.c.tenant_id == shop.id)
        tx.execute(mine.values(next_attempt_at=datetime(2020, 1, 1, tzinfo=UTC)))


@pytest.fixture
def served(own_house: House, free_port: int) -> Iterator[tuple[Tenant, str]]:
    tenant = own_house.tenant()
    with serve(own_house, free_port) as (_, url):
        yield tenant, url


@pytest.mark.parametrize("order", [None, "twice", "reverse"])
def test_as_the_processor_sends_them(served: tuple[Tenant, str], order: str | None) -> None:
    """The sandbox's own webhooks to a served Panless: once, twice, in the wrong order, the record is the book."""
    shop, url = served
    here = {"url": f"{url}/webhooks/{shop.account}", "enabled_events[]": "*"}
    endpoint = processor(shop, "POST", "/v1/webhook_endpoints", **here)
    shop.call("PATCH", f"/v1/processor-accounts/{shop.account}", {"webhook_secret": endpoint["secret"]})
    shop.house.sandbox.hook("POST", "/_faults", {"webhooks": order})
    token = shop.token(DISPUTED)
    charge = shop.charge(token["id"]).get_json()["id"]
    work_until(shop.house, lambda: bool(shown(shop, f"/v1/disputes?charge={charge}")["data"]), rounds=200)
    processor(shop, "POST", f"/v1/disputes/{_dispute(shop)}/close")
    work_until(
        shop.house, lambda: shown(shop, f"/v1/disputes?charge={charge}")["data"][0]["status"] == "lost", rounds=200
    )
    assert len(shown(shop, f"/v1/disputes?charge={charge}")["data"]) == 1
    shop.house.sandbox.clear()


def _dispute(shop: Tenant) -> str:
    [found] = processor(shop, "GET", "/v1/disputes", payment_intent=the_payment(shop))["data"]
    return str(found["id"])
