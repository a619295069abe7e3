"""Charges and refunds, before the sandbox."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from marked import charge_found, marks
from wire import Outside

from vault.personal import Card, Secret
from vault.processing.answers import (
    ActionRequired,
    Approved,
    ChargeOutcome,
    CustomerOpened,
    Declined,
    NotFound,
    Refunded,
    RefundOutcome,
    Refused,
    Stored,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor

Charge = Callable[..., ChargeOutcome]
Refund = Callable[..., RefundOutcome]


@pytest.fixture
def customer(stripe: StripeProcessor, credentials: Secret) -> str:
    outcome = stripe.open_customer(credentials, marks=marks("tag-customer"), key="key-customer")
    assert isinstance(outcome, CustomerOpened)
    return outcome.customer_reference


@pytest.fixture
def stored(
    stripe: StripeProcessor, credentials: Secret, customer: str, card: Callable[..., Card], outside: Outside
) -> Callable[[str], str]:
    """A card of that number, authenticated where it wants that: its reference."""

    @cache
    def store(number: str) -> str:
        it: dict[str, Any] = {
            "customer_reference": customer,
            "usage": "off_session",
            "marks": marks("s"),
            "key": f"s{number}",
        }
        outcome = stripe.store(credentials, source=card(number), contact=None, **it)
        if isinstance(outcome, ActionRequired):
            outside.person_authenticates(outcome.reference)
            outcome = stripe.confirm(credentials, reference=outcome.reference, key="k")
        assert isinstance(outcome, Stored)
        return outcome.reference

    return store


@pytest.fixture
def charge(stripe: StripeProcessor, credentials: Secret, customer: str, stored: Callable[[str], str]) -> Charge:
    def call(number: str = "4242424242424242", **changes: object) -> ChargeOutcome:
        given: dict[str, Any] = {
            "capture": True,
            "reason": None,
            "network_transaction_id": None,
            "customer_reference": customer,
            "amount": 1234,
            "currency": "eur",
            "off_session": True,
            "statement_descriptor": "PANLESS 42",
            "marks": marks("tag-charge"),
            "key": "key-charge",
        }
        return stripe.charge(credentials, **{"reference": stored(number), **given, **changes})

    return call


@pytest.fixture
def refund(stripe: StripeProcessor, credentials: Secret) -> Refund:
    def call(approved: ChargeOutcome, **changes: object) -> RefundOutcome:
        assert isinstance(approved, Approved)
        given: dict[str, Any] = {"amount": None, "reason": None, "marks": marks("tag-refund"), "key": "key-refund"}
        return stripe.refund(credentials, **{"reference": approved.reference, **given, **changes})

    return call


@pytest.mark.parametrize("off_session", [True, False])
def test_a_charge_moves_money_once_a_key(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, customer: str, charge: Charge, *, off_session: bool
) -> None:
    """Approved with the amount and the network's transaction id; replayed and looked up it is the same one charge."""
    approved = charge(off_session=off_session)
    assert isinstance(approved, Approved)
    assert approved.amount == 1234
    assert approved.network_transaction_id
    assert charge(off_session=off_session) == approved
    assert charge_found(stripe, credentials, "id-tag-charge") == approved
    (booked,) = outside.charges(customer)
    assert (booked["amount"], booked["currency"], booked["payment_intent"]) == (1234, "eur", approved.reference)
    assert booked["captured"] is True


def test_another_amount_under_the_same_key_is_unknown(charge: Charge) -> None:
    """A key belongs to one body: a call with it came there before, so this is no failure that may be told."""
    assert isinstance(charge(), Approved)
    assert charge(amount=1235) == Unknown(reason="idempotency_mismatch")


@pytest.mark.parametrize(
    ("number", "decline_code"), [("4000000000000341", "generic_decline"), ("4000008260003178", "insufficient_funds")]
)
def test_a_charge_that_the_issuer_refuses_is_declined(
    stripe: StripeProcessor,
    credentials: Secret,
    outside: Outside,
    customer: str,
    charge: Charge,
    number: str,
    decline_code: str,
) -> None:
    """With its codes and the PaymentIntent, and looked up the same; no money moved. A replay of it decides nothing."""
    declined = charge(number)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.decline_code) == ("card_declined", decline_code)
    assert str(declined.reference).startswith("pi_")
    assert charge(number) == Unknown(reason="replayed")
    assert charge_found(stripe, credentials, "id-tag-charge") == declined
    assert not any(booked["captured"] for booked in outside.charges(customer))


def test_a_charge_that_wants_authentication_is_declined_when_nobody_is_there(
    stripe: StripeProcessor, credentials: Secret, charge: Charge
) -> None:
    """Off-session there is nobody to ask: `authentication_required`."""
    declined = charge("4000002760003184", off_session=True)
    assert isinstance(declined, Declined)
    assert declined.code == "authentication_required"
    assert charge_found(stripe, credentials, "id-tag-charge") == declined


def test_a_charge_that_wants_authentication_waits_for_the_person(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, charge: Charge
) -> None:
    """ActionRequired, found as that, until the person did it; then Approved."""
    waiting = charge("4000002760003184", off_session=False)
    assert isinstance(waiting, ActionRequired)
    assert waiting.next_action.keys() == {"type", "client_secret"}
    assert charge_found(stripe, credentials, "id-tag-charge") == waiting
    outside.person_authenticates(waiting.reference)
    found = charge_found(stripe, credentials, "id-tag-charge")
    assert isinstance(found, Approved)
    assert (found.reference, found.amount) == (waiting.reference, 1234)


def test_a_charge_whose_authentication_failed_is_declined(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, charge: Charge
) -> None:
    """The code says so."""
    waiting = charge("4000002760003184", off_session=False)
    assert isinstance(waiting, ActionRequired)
    outside.person_authenticates(waiting.reference, "fail")
    found = charge_found(stripe, credentials, "id-tag-charge")
    assert found == Declined(code="payment_intent_authentication_failure", reference=waiting.reference)


@pytest.mark.parametrize("number", ["4000002500003155", "4000003800000446"])
def test_a_card_that_was_set_up_is_charged_without_the_person(charge: Charge, number: str) -> None:
    """That is what storing with `usage=off_session` is for."""
    assert isinstance(charge(number), Approved)


@pytest.mark.parametrize(
    "wrong",
    [{"amount": 0}, {"currency": "euro"}, {"reference": "pm_none"}, {"customer_reference": "cus_none"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_charge_that_cannot_be_is_refused(
    outside: Outside, customer: str, charge: Charge, wrong: dict[str, Any]
) -> None:
    """The request itself is wrong: definite, and nothing happened."""
    outcome = charge(**wrong)
    assert isinstance(outcome, Refused)
    assert not outcome.credentials
    assert outside.charges(customer) == []


def test_a_charge_that_was_never_made_is_not_found(
    stripe: StripeProcessor, credentials: Secret, charge: Charge
) -> None:
    """NotFound only when the whole list was read: another charge of the customer is not it."""
    charge()
    assert charge_found(stripe, credentials, "id-another") == NotFound()


def test_a_refund_gives_back_what_was_asked_and_then_the_rest(
    stripe: StripeProcessor, credentials: Secret, charge: Charge, refund: Refund
) -> None:
    """Part, the rest, and then nothing is left; each is found by its id."""
    approved = charge()
    part = refund(approved, amount=200, reason="requested_by_customer")
    assert isinstance(part, Refunded)
    assert (part.amount, part.status) == (200, "succeeded")
    assert refund(approved, amount=200, reason="requested_by_customer") == part
    rest = refund(approved, marks=marks("tag-rest"), key="key-rest")
    assert isinstance(rest, Refunded)
    assert rest.amount == 1034
    assert refund(approved, marks=marks("t3"), key="key-3") == Refused(code="charge_already_refunded")
    assert isinstance(approved, Approved)
    assert stripe.find_refund(credentials, id="id-tag-refund", reference=approved.reference) == part
    assert stripe.find_refund(credentials, id="id-tag-rest", reference=approved.reference) == rest
    assert stripe.find_refund(credentials, id="id-another", reference=approved.reference) == NotFound()


def test_another_refund_under_the_same_key_is_unknown(charge: Charge, refund: Refund) -> None:
    """As with a charge: what came there with this key may have given money back."""
    approved = charge()
    assert isinstance(refund(approved, amount=200), Refunded)
    assert refund(approved, amount=300) == Unknown(reason="idempotency_mismatch")


def test_a_refund_of_more_than_was_paid_is_refused(charge: Charge, refund: Refund) -> None:
    """The parameter is named, the message is not repeated."""
    assert refund(charge(), amount=9999) == Refused(code="invalid_request_error", param="amount")


def test_a_refund_for_a_reason_of_ones_own_is_refused(charge: Charge, refund: Refund) -> None:
    """Stripe knows three."""
    assert isinstance(refund(charge(), reason="the goods were late"), Refused)


def test_a_refund_may_be_pending(charge: Charge, refund: Refund) -> None:
    """Taken on, and not there yet."""
    outcome = refund(charge("4000000000007726"))
    assert isinstance(outcome, Refunded)
    assert outcome.status == "pending"


def test_a_forgotten_card_is_not_charged(
    stripe: StripeProcessor, credentials: Secret, charge: Charge, stored: Callable[[str], str]
) -> None:
    """Detached is detached."""
    reference = stored("4242424242424242")
    stripe.forget(credentials, reference=reference, key="k")
    assert isinstance(charge(reference=reference), Refused)


def test_a_charge_is_refunded_after_its_card_and_customer_were_forgotten(
    stripe: StripeProcessor, credentials: Secret, customer: str, charge: Charge, refund: Refund
) -> None:
    """An erasure does not keep anybody's money."""
    approved = charge()
    stripe.forget_customer(credentials, customer_reference=customer, key="k")
    assert isinstance(refund(approved), Refunded)
