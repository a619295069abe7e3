from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running

DECLINES = [
    ("4000000000000002", "card_declined", "generic_decline", None, "try_again_later", "01", None),
    ("4000000000009995", "card_declined", "insufficient_funds", None, "try_again_later", "51", "02"),
    ("4000000000009987", "card_declined", "lost_card", None, "do_not_try_again", "41", "01"),
    ("4000000000009979", "card_declined", "stolen_card", None, "do_not_try_again", "43", "01"),
    ("4000000000000069", "expired_card", None, "exp_month", "confirm_card_data", "54", "03"),
    ("4000000000000127", "incorrect_cvc", None, "cvc", "confirm_card_data", "N7", "03"),
    ("4000000000000119", "processing_error", None, None, "try_again_later", "06", None),
]
SHORTCUTS = [
    ("pm_card_visa_chargeDeclined", "generic_decline"),
    ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ("pm_card_visa_chargeDeclinedLostCard", "lost_card"),
    ("pm_card_visa_chargeDeclinedStolenCard", "stolen_card"),
    ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc"),
    ("pm_card_chargeDeclinedProcessingError", "processing_error"),
    ("pm_card_chargeCustomerFail", "generic_decline"),
]


def error_of(refused: pytest.ExceptionInfo[stripe.CardError]) -> dict[str, Any]:
    assert refused.value.http_status == 402
    body: Any = refused.value.json_body
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("row", DECLINES, ids=[row[0] for row in DECLINES])
def test_a_declining_card_says_why(
    client: stripe.StripeClient, card: Callable[..., Any], pay: Callable[..., Any], row: tuple[str | None, ...]
) -> None:
    """Charging, attaching and setting up are all a 402 with the documented codes; what is embedded is whole."""
    number, code, decline_code, param, advice, network, network_advice = row
    method = client.v1.payment_methods.create(card(number))
    customer = client.v1.customers.create()
    with pytest.raises(stripe.CardError) as attaching:
        client.v1.payment_methods.attach(method.id, {"customer": customer.id})
    with pytest.raises(stripe.CardError) as setting_up:
        client.v1.setup_intents.create(
            {"customer": customer.id, "payment_method": method.id, "confirm": True, "use_stripe_sdk": True}
            | {"allowed_payment_method_types": ["card"]}
        )
    with pytest.raises(stripe.CardError) as charging:
        pay(method.id)
    for refused in (attaching, setting_up, charging):
        error = error_of(refused)
        assert (error["code"], error.get("decline_code"), error.get("param")) == (code, decline_code, param)
        assert error["advice_code"] == advice
        assert (error["network_decline_code"], error.get("network_advice_code")) == (network, network_advice)
    setup = error_of(setting_up)
    assert setup["setup_intent"]["status"] == "requires_payment_method"
    assert setup["setup_intent"]["last_setup_error"]["code"] == code
    assert setup["payment_method"]["id"] == method.id


def test_a_declined_payment_embeds_its_intent(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """The intent waits for another method, knows the failed charge, and its error holds the whole method."""
    with pytest.raises(stripe.CardError) as refused:
        pay("pm_card_visa_chargeDeclinedInsufficientFunds")
    error = error_of(refused)
    intent = error["payment_intent"]
    assert (intent["status"], intent["payment_method"]) == ("requires_payment_method", None)
    assert intent["last_payment_error"]["payment_method"]["object"] == "payment_method"
    assert intent["latest_charge"] == error["charge"]
    charge = client.v1.charges.retrieve(error["charge"])
    assert charge.outcome
    assert (charge.status, charge.outcome.type, charge.failure_code) == ("failed", "issuer_declined", "card_declined")
    assert charge.outcome.reason == "insufficient_funds"
    assert pay_again(client, intent["id"]).status == "succeeded"


def pay_again(client: stripe.StripeClient, intent: str) -> stripe.PaymentIntent:
    return client.v1.payment_intents.confirm(intent, {"payment_method": "pm_card_visa"})


@pytest.mark.parametrize(("shortcut", "reason"), SHORTCUTS)
def test_declining_shortcuts(pay: Callable[..., Any], shortcut: str, reason: str) -> None:
    """Each ``pm_card_`` id declines as its number does."""
    with pytest.raises(stripe.CardError) as refused:
        pay(shortcut)
    error = error_of(refused)
    assert error.get("decline_code", error["code"]) == reason


def test_a_card_that_declines_after_attaching(attached: Callable[..., Any], pay: Callable[..., Any]) -> None:
    """4000000000000341 attaches, and every charge of it declines."""
    customer, method = attached("4000000000000341")
    with pytest.raises(stripe.CardError) as refused:
        pay(method, customer, off_session=True)
    assert error_of(refused)["code"] == "card_declined"


def set_up(client: stripe.StripeClient, customer: str, method: str) -> stripe.SetupIntent:
    params: Any = {"customer": customer, "payment_method": method, "confirm": True}
    return client.v1.setup_intents.create(params | {"allowed_payment_method_types": ["card"]})


def test_a_card_that_wants_authentication_unless_set_up(
    sandbox: Running, client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """4000002500003155 off session is a 402 before its set-up and succeeds after; on session it always asks."""
    customer, method = attached("4000002500003155")
    with pytest.raises(stripe.CardError) as refused:
        pay(method, customer, off_session=True)
    error = error_of(refused)
    assert (error["code"], error["decline_code"]) == ("authentication_required", "authentication_required")
    setup = set_up(client, customer, method)
    assert setup.status == "requires_action"
    assert sandbox.hook("POST", f"/_authenticate/{setup.id}", {"result": "succeed"})["status"] == "succeeded"
    assert pay(method, customer, off_session=True).status == "succeeded"
    assert pay(method, customer).status == "requires_action"


def test_a_card_that_always_wants_authentication(
    sandbox: Running, client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """4000002760003184 is a 402 off session even when it was set up."""
    customer, method = attached("4000002760003184")
    setup = set_up(client, customer, method)
    sandbox.hook("POST", f"/_authenticate/{setup.id}", {"result": "succeed"})
    with pytest.raises(stripe.CardError) as refused:
        pay(method, customer, off_session=True)
    assert error_of(refused)["code"] == "authentication_required"
    assert pay(method, customer).status == "requires_action"


def test_a_card_that_works_off_session_at_once(attached: Callable[..., Any], pay: Callable[..., Any]) -> None:
    """4000003800000446 needs no set-up off session, and asks on session."""
    customer, method = attached("4000003800000446")
    assert pay(method, customer, off_session=True).status == "succeeded"
    assert pay(method, customer).status == "requires_action"


def test_a_card_that_authenticates_and_then_declines(
    sandbox: Running, client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """4000008260003178 has no funds, whether it was authenticated now or set up before."""
    customer, method = attached("4000008260003178")
    intent = pay(method, customer)
    declined = sandbox.hook("POST", f"/_authenticate/{intent.id}", {"result": "succeed"})
    assert declined["status"] == "requires_payment_method"
    assert declined["last_payment_error"]["decline_code"] == "insufficient_funds"
    setup = set_up(client, customer, method)
    assert sandbox.hook("POST", f"/_authenticate/{setup.id}", {"result": "succeed"})["status"] == "succeeded"
    with pytest.raises(stripe.CardError) as refused:
        pay(method, customer, off_session=True)
    assert error_of(refused)["decline_code"] == "insufficient_funds"


def test_a_card_that_is_disputed(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """4000000000000259 is paid, then disputed as fraudulent, and cannot be refunded."""
    paid = pay("pm_card_createDispute")
    (dispute,) = client.v1.disputes.list({"payment_intent": paid.id}).data
    assert (dispute.status, dispute.reason, dispute.is_charge_refundable) == ("needs_response", "fraudulent", False)
    assert client.v1.charges.retrieve(paid.latest_charge).disputed
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"


def test_a_card_that_is_inquired_about(client: stripe.StripeClient, pay: Callable[..., Any]) -> None:
    """4000000000001976 is paid, then inquired about, and can be refunded."""
    paid = pay("pm_card_createDisputeInquiry")
    (dispute,) = client.v1.disputes.list({"charge": paid.latest_charge}).data
    assert (dispute.status, dispute.is_charge_refundable) == ("warning_needs_response", True)
    assert client.v1.refunds.create({"payment_intent": paid.id}).status == "succeeded"


@pytest.mark.parametrize(
    ("shortcut", "first", "then", "refunded"),
    [("pm_card_pendingRefund", "pending", "succeeded", 2000), ("pm_card_refundFail", "succeeded", "failed", 0)],
)
def test_a_card_whose_refund_takes_its_course(
    launch: Callable[..., Running], shortcut: str, first: str, then: str, refunded: int
) -> None:
    """4000000000007726 is refunded later; 4000000000005126 has its refund fail, and its money back with the shop."""
    own = launch()
    client = own.client()
    types: Any = {"allowed_payment_method_types": ["card"]}
    paid = client.v1.payment_intents.create(
        {"amount": 2000, "currency": "eur", "confirm": True, "payment_method": shortcut} | types
    )
    refund = client.v1.refunds.create({"payment_intent": paid.id})
    assert refund.status == first
    own.hook("POST", "/_clock", {"advance_seconds": 60})
    assert client.v1.refunds.retrieve(refund.id).status == then
    charge = client.v1.charges.retrieve(str(paid.latest_charge))
    assert (charge.amount_refunded, charge.refunded) == (refunded, bool(refunded))
    assert own.hook("GET", "/_ledger")["charges"][0]["refunded"] == refunded
    assert ("refund.failed" in [one.type for one in client.v1.events.list()]) == (then == "failed")
