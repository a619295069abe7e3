from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running


def test_a_payment_in_one_call(
    client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """Created and confirmed at once; its charge carries the network's transaction id, and lists find both."""
    customer, method = attached()
    paid = pay(method, customer, off_session=True, expand=["latest_charge", "payment_method", "customer"])
    assert (paid.status, paid.amount_received, paid.amount_capturable) == ("succeeded", 2000, 0)
    assert paid.customer.email == "jo@example.com"
    assert paid.payment_method.id == method
    charge = paid.latest_charge
    assert (charge.captured, charge.paid, charge.payment_intent) == (True, True, paid.id)
    assert charge.payment_method_details.card.network_transaction_id
    assert [one.id for one in client.v1.charges.list({"customer": customer})] == [charge.id]
    assert [one.id for one in client.v1.charges.list({"payment_intent": paid.id})] == [charge.id]
    found = client.v1.payment_intents.list({"customer": customer, "expand": ["data.latest_charge"]}).data
    assert [one.latest_charge.id for one in found] == [charge.id]


def test_a_payment_in_three_calls(client: stripe.StripeClient) -> None:
    """Created without a method, given one, confirmed; each step has its state."""
    made = client.v1.payment_intents.create({"amount": 700, "currency": "usd", "metadata": {"a": "1"}})
    assert made.status == "requires_payment_method"
    changed: Any = {"payment_method": "pm_card_visa", "amount": 800, "metadata": {"b": "2"}}
    given = client.v1.payment_intents.update(made.id, changed)
    assert (given.status, given.amount, given.metadata.to_dict()) == (
        "requires_confirmation",
        800,
        {"a": "1", "b": "2"},
    )
    confirmed = client.v1.payment_intents.confirm(made.id, {"return_url": "https://shop.example/back"})
    assert confirmed.status == "succeeded"


@pytest.mark.parametrize("amount", [2000, 1500])
def test_authorize_and_capture(client: stripe.StripeClient, pay: Callable[..., Any], amount: int) -> None:
    """What is held can be taken in full or in part, once; what is not taken is released."""
    held = pay("pm_card_visa", capture_method="manual")
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 2000, 0)
    with pytest.raises(stripe.InvalidRequestError) as uncaptured:
        client.v1.refunds.create({"payment_intent": held.id})
    assert (uncaptured.value.http_status, uncaptured.value.code) == (400, None)
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        client.v1.payment_intents.capture(held.id, {"amount_to_capture": 2001})
    assert too_much.value.code == "amount_too_large"
    taken = client.v1.payment_intents.capture(held.id, {"amount_to_capture": amount})
    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", amount, 0)
    charge = client.v1.charges.retrieve(held.latest_charge)
    assert (charge.captured, charge.amount, charge.amount_captured) == (True, 2000, amount)
    with pytest.raises(stripe.InvalidRequestError) as again:
        client.v1.payment_intents.capture(held.id)
    assert again.value.code == "payment_intent_unexpected_state"
    assert again.value.json_body["error"]["payment_intent"]["id"] == held.id


def test_cancelling(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """A held payment is released; what succeeded or was cancelled cannot be cancelled."""
    held = pay("pm_card_visa", capture_method="manual")
    canceled = client.v1.payment_intents.cancel(held.id, {"cancellation_reason": "requested_by_customer"})
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "requested_by_customer")
    charge = client.v1.charges.retrieve(held.latest_charge)
    assert (charge.captured, charge.refunded, charge.amount_refunded) == (False, True, 2000)
    for intent in (held.id, pay("pm_card_visa").id):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.payment_intents.cancel(intent)
        assert refused.value.code == "payment_intent_unexpected_state"


def test_an_unattached_method_is_used_up(
    client: stripe.StripeClient, card: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """Without a customer a method pays once; with set-up for later it is attached instead."""
    method = client.v1.payment_methods.create(card()).id
    pay(method)
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        pay(method)
    customer = client.v1.customers.create().id
    kept = client.v1.payment_methods.create(card()).id
    pay(kept, customer, setup_future_usage="off_session")
    assert client.v1.payment_methods.retrieve(kept).customer == customer
    assert pay(kept, customer, off_session=True).status == "succeeded"


def test_a_method_pays_for_its_own_customer(
    client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """Another customer, or none, is a 400."""
    _, method = attached()
    for customer in (client.v1.customers.create().id, None):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            pay(method, customer)
        assert refused.value.http_status == 400


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"amount": 10}, "amount_too_small", "amount"),
        ({"amount": 10**9}, "amount_too_large", "amount"),
        ({"amount": None}, "parameter_missing", "amount"),
        ({"currency": "euro"}, None, "currency"),
        ({"confirm": False, "off_session": True}, None, "off_session"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({"capture_method": "later"}, None, "capture_method"),
        ({"statement_descriptor": "SHOP"}, None, "statement_descriptor"),
        ({"allowed_payment_method_types": None}, None, None),
        ({"payment_method": None}, None, "payment_method"),
    ],
)
def test_a_payment_that_cannot_be_made(
    client: stripe.StripeClient, pay: Callable[..., Any], change: dict[str, Any], code: str | None, param: str | None
) -> None:
    """A 400 that names the parameter, and no intent is left behind."""
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        pay(**{"method": "pm_card_visa", **change})
    assert (wrong.value.http_status, wrong.value.code, wrong.value.param) == (400, code, param)
    assert client.v1.payment_intents.list().data == []


def test_refunds_in_part_and_in_full(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """Parts add up to the whole and no further; lists find them by payment and by charge."""
    paid = pay("pm_card_visa")
    first = client.v1.refunds.create({"payment_intent": paid.id, "amount": 500, "reason": "duplicate"})
    assert (first.status, first.amount, first.reason) == ("succeeded", 500, "duplicate")
    with pytest.raises(stripe.InvalidRequestError) as too_much:
        client.v1.refunds.create({"charge": paid.latest_charge, "amount": 1501})
    assert (too_much.value.code, too_much.value.param) == (None, "amount")
    rest = client.v1.refunds.create({"charge": paid.latest_charge})
    assert rest.amount == 1500
    with pytest.raises(stripe.InvalidRequestError) as over:
        client.v1.refunds.create({"payment_intent": paid.id})
    assert over.value.code == "charge_already_refunded"
    for by in ({"payment_intent": paid.id}, {"charge": paid.latest_charge}):
        assert [one.id for one in client.v1.refunds.list(by)] == [rest.id, first.id]
    charge = client.v1.charges.retrieve(paid.latest_charge, {"expand": ["refunds"]})
    assert charge.refunds
    assert (charge.refunded, len(charge.refunds.data)) == (True, 2)
    assert client.v1.refunds.update(first.id, {"metadata": {"a": "1"}}).metadata.to_dict() == {"a": "1"}


def test_what_failed_cannot_be_refunded(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """A declined payment has nothing to give back."""
    with pytest.raises(stripe.CardError) as declined:
        pay("pm_card_visa_chargeDeclined")
    intent = declined.value.json_body["error"]["payment_intent"]["id"]
    with pytest.raises(stripe.InvalidRequestError, match="successful charge"):
        client.v1.refunds.create({"payment_intent": intent})


@pytest.mark.parametrize(("evidence", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")])
def test_evidence_decides_a_dispute(
    client: stripe.StripeClient, pay: Callable[..., Any], evidence: str, status: str
) -> None:
    """The documented texts win and lose; afterwards it is closed."""
    pay("pm_card_createDispute")
    (dispute,) = client.v1.disputes.list().data
    decided = client.v1.disputes.update(dispute.id, {"evidence": {"uncategorized_text": evidence}})
    assert (decided.status, client.v1.disputes.retrieve(dispute.id).status) == (status, status)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.disputes.close(dispute.id)


def test_a_dispute_can_be_accepted(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """Closing it loses it."""
    pay("pm_card_createDispute")
    (dispute,) = client.v1.disputes.list().data
    assert client.v1.disputes.close(dispute.id).status == "lost"


def test_the_ledger_is_the_book_over_all_accounts(launch: Callable[..., Running], card: Callable[..., Any]) -> None:
    """Money that moved, nothing that failed; customers and payment methods with what became of them."""
    own = launch()
    client = own.client()
    other = own.client().v1.customers.create()
    customer = client.v1.customers.create({"payment_method": "pm_card_visa"})
    method = client.v1.customers.payment_methods.list(customer.id).data[0].id
    loose = client.v1.payment_methods.create(card()).id
    base: Any = {"amount": 2000, "currency": "eur", "confirm": True, "allowed_payment_method_types": ["card"]}
    mine = {"customer": customer.id, "payment_method": method, "metadata": {"tag": "t"}}
    paid = client.v1.payment_intents.create(base | mine)
    with pytest.raises(stripe.CardError):
        client.v1.payment_intents.create(base | {"payment_method": "pm_card_visa_chargeDeclined"})
    client.v1.refunds.create({"payment_intent": paid.id, "amount": 300})
    client.v1.customers.delete(customer.id)
    ledger = own.hook("GET", "/_ledger")
    entry = {"id": paid.latest_charge, "payment_intent": paid.id, "amount": 2000, "currency": "eur"}
    assert ledger["charges"] == [entry | {"captured": True, "refunded": 300, "metadata": {"tag": "t"}}]
    assert ledger["customers"] == [{"id": other.id, "deleted": False}, {"id": customer.id, "deleted": True}] or (
        ledger["customers"] == [{"id": customer.id, "deleted": True}, {"id": other.id, "deleted": False}]
    )
    assert {"id": method, "customer": None} in ledger["payment_methods"]
    assert {"id": loose, "customer": None} in ledger["payment_methods"]
