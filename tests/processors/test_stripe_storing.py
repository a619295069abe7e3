"""Customers and cards, before the sandbox."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from marked import SINCE, marks
from wire import Outside

from vault.personal import BillingContact, Card, Secret
from vault.processing.answers import (
    ActionRequired,
    CustomerOpened,
    Declined,
    Failure,
    Forgotten,
    NotFound,
    Refused,
    Stored,
    StoreOutcome,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor

MakeCard = Callable[..., Card]
Store = Callable[..., StoreOutcome]


def opened(outcome: CustomerOpened | NotFound | Failure) -> str:
    assert isinstance(outcome, CustomerOpened)
    return outcome.customer_reference


@pytest.fixture
def customer(stripe: StripeProcessor, credentials: Secret) -> str:
    return opened(stripe.open_customer(credentials, marks=marks("tag-customer"), key="key-customer"))


@pytest.fixture
def store(stripe: StripeProcessor, credentials: Secret, customer: str, card: MakeCard) -> Store:
    def call(number: str = "4242424242424242", **changes: object) -> StoreOutcome:
        given: dict[str, Any] = {
            "source": card(number, cvc="1234" if number.startswith("37") else "123"),
            "contact": None,
            "customer_reference": customer,
            "usage": "off_session",
            "marks": marks("tag-store"),
            "key": "key-store",
        }
        return stripe.store(credentials, **given | changes)

    return call


def test_a_customer_is_opened_once_a_key(stripe: StripeProcessor, credentials: Secret, customer: str) -> None:
    """A repeated key with its marks brings back its customer; another key makes another."""
    assert opened(stripe.open_customer(credentials, marks=marks("tag-customer"), key="key-customer")) == customer
    assert opened(stripe.open_customer(credentials, marks=marks("tag-customer"), key="other")) != customer


def test_a_customer_is_found_by_its_id(stripe: StripeProcessor, credentials: Secret, customer: str) -> None:
    """Among those made since; an id that nobody used, or a later since, finds nobody."""
    now = datetime.now(UTC)
    assert opened(stripe.find_customer(credentials, id="id-tag-customer", since=now)) == customer
    assert stripe.find_customer(credentials, id="id-another", since=now) == NotFound()
    later = now + timedelta(hours=1)
    assert stripe.find_customer(credentials, id="id-tag-customer", since=later) == NotFound()


def test_a_look_up_reads_every_page(stripe: StripeProcessor, credentials: Secret, outside: Outside) -> None:
    """The oldest of more than two thousand is found, and what is not there is not found."""
    first = opened(stripe.open_customer(credentials, marks=marks("first"), key="first"))
    for _ in range(2001):
        outside.call("POST", "/v1/customers")
    assert opened(stripe.find_customer(credentials, id="id-first", since=SINCE)) == first
    assert stripe.find_customer(credentials, id="id-never", since=SINCE) == NotFound()


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242424242424242", "visa"),
        ("5555555555554444", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
    ],
)
@pytest.mark.parametrize("usage", ["off_session", "on_session"])
def test_a_card_is_stored(store: Store, outside: Outside, customer: str, number: str, brand: str, usage: str) -> None:
    """The answer names the payment method, attached to the customer, and describes the card."""
    stored = store(number, usage=usage)
    assert isinstance(stored, Stored)
    assert (stored.card.brand, stored.card.last4) == (brand, number[-4:])
    assert (stored.card.exp_month, stored.card.exp_year) == (12, 2035)
    assert (stored.card.funding, stored.card.country) == ("credit", "US")
    assert stored.card.fingerprint
    assert outside.call("GET", f"/v1/payment_methods/{stored.reference}")["customer"] == customer
    (setup,) = outside.call("GET", f"/v1/setup_intents?customer={customer}")["data"]
    assert (setup["usage"], setup["metadata"]) == (usage, {"panless": "tag-store", "panless_id": "id-tag-store"})


def test_the_contact_goes_along_with_a_raw_card(store: Store, outside: Outside) -> None:
    """As billing details; what Stripe has no place for stays with us."""
    contact = BillingContact(name="Ada", email="ada@example.com", address={"city": "London", "floor": "2"})
    stored = store(contact=contact)
    assert isinstance(stored, Stored)
    details = outside.call("GET", f"/v1/payment_methods/{stored.reference}")["billing_details"]
    assert (details["name"], details["email"], details["phone"]) == ("Ada", "ada@example.com", None)
    assert {name: value for name, value in details["address"].items() if value} == {"city": "London"}


def test_storing_again_with_the_same_key_brings_the_same_card(store: Store) -> None:
    """The processor's keys make a resend harmless."""
    assert store() == store()


def test_another_card_under_the_same_key_is_unknown(store: Store) -> None:
    """A key belongs to one body: a call with it came there before, and what that did is to be looked up."""
    assert isinstance(store(), Stored)
    assert store("5555555555554444") == Unknown(reason="idempotency_mismatch")


def test_a_processor_reference_is_adopted(store: Store, outside: Outside, customer: str) -> None:
    """What the shop's page got from the processor is attached to the customer and described, again and again."""
    method = outside.page_makes_method("5555555555554444")
    stored = store(source=method)
    assert isinstance(stored, Stored)
    assert (stored.reference, stored.card.brand) == (method, "mastercard")
    assert outside.call("GET", f"/v1/payment_methods/{method}")["customer"] == customer
    assert store(source=method, key="key-again", marks=marks("tag-again")) == stored


def test_another_customers_card_is_refused(
    stripe: StripeProcessor, credentials: Secret, store: Store, outside: Outside
) -> None:
    """A payment method belongs to one customer."""
    other = opened(stripe.open_customer(credentials, marks=marks("tag-other"), key="key-other"))
    method = outside.page_makes_method()
    assert isinstance(store(source=method, customer_reference=other), Stored)
    outcome = store(source=method, key="key-2")
    assert isinstance(outcome, Refused)
    assert not outcome.credentials


@pytest.mark.parametrize("source", ["pm_nobodys", "cus_1", "", "pm_card_chargeDeclined?"])
def test_a_reference_to_nothing_is_refused(store: Store, source: str) -> None:
    """A 400, by its code."""
    assert isinstance(store(source=source), Refused)


DECLINES = [
    ("4000000000000002", "card_declined", "generic_decline", "try_again_later", "01"),
    ("4000000000009995", "card_declined", "insufficient_funds", "try_again_later", "51"),
    ("4000000000009987", "card_declined", "lost_card", "do_not_try_again", "41"),
    ("4000000000009979", "card_declined", "stolen_card", "do_not_try_again", "43"),
    ("4000000000000069", "expired_card", None, "confirm_card_data", "54"),
    ("4000000000000127", "incorrect_cvc", None, "confirm_card_data", "N7"),
    ("4000000000000119", "processing_error", None, "try_again_later", "06"),
]


@pytest.mark.parametrize(("number", "code", "decline_code", "advice", "network"), DECLINES)
def test_a_card_that_the_issuer_refuses_is_declined(
    stripe: StripeProcessor,
    credentials: Secret,
    store: Store,
    customer: str,
    number: str,
    code: str,
    decline_code: str | None,
    advice: str,
    network: str,
) -> None:
    """With all four codes and the SetupIntent it failed in, found again as the same outcome."""
    outcome = store(number)
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.decline_code) == (code, decline_code)
    assert (outcome.advice_code, outcome.network_decline_code) == (advice, network)
    assert str(outcome.reference).startswith("seti_")
    assert stripe.find_stored(credentials, id="id-tag-store", customer_reference=customer, since=SINCE) == outcome


def test_a_number_that_is_none_is_declined(store: Store) -> None:
    """Stripe answers a wrong check digit as a card error: definite, by its code."""
    assert store("4242424242424241") == Declined(code="incorrect_number")


@pytest.mark.parametrize("number", ["4000002500003155", "4000002760003184"])
def test_a_card_that_wants_authentication_waits_for_it(
    stripe: StripeProcessor, credentials: Secret, store: Store, outside: Outside, customer: str, number: str
) -> None:
    """ActionRequired with what the shop's page needs and no more, until the person did it; then Stored."""
    waiting = store(number)
    assert isinstance(waiting, ActionRequired)
    assert waiting.next_action["type"] == "use_stripe_sdk"
    assert waiting.next_action["client_secret"].startswith(f"{waiting.reference}_secret_")
    assert waiting.next_action.keys() == {"type", "client_secret"}
    assert stripe.confirm(credentials, reference=waiting.reference, key="k") == waiting
    outside.person_authenticates(waiting.reference)
    stored = stripe.confirm(credentials, reference=waiting.reference, key="k")
    assert isinstance(stored, Stored)
    assert stored.card.last4 == number[-4:]
    assert stripe.find_stored(credentials, id="id-tag-store", customer_reference=customer, since=SINCE) == stored


def test_failed_authentication_is_declined(
    stripe: StripeProcessor, credentials: Secret, store: Store, outside: Outside
) -> None:
    """The code says so, and the reference is the SetupIntent."""
    waiting = store("4000002500003155")
    assert isinstance(waiting, ActionRequired)
    outside.person_authenticates(waiting.reference, "fail")
    outcome = stripe.confirm(credentials, reference=waiting.reference, key="k")
    assert outcome == Declined(code="setup_intent_authentication_failure", reference=waiting.reference)


def test_a_setup_that_was_given_up_is_declined(
    stripe: StripeProcessor, credentials: Secret, store: Store, outside: Outside
) -> None:
    """Canceled at the processor is definite."""
    waiting = store("4000002500003155")
    assert isinstance(waiting, ActionRequired)
    outside.call("POST", f"/v1/setup_intents/{waiting.reference}/cancel")
    canceled = Declined(code="canceled", reference=waiting.reference)
    assert stripe.confirm(credentials, reference=waiting.reference, key="k") == canceled


def test_a_setup_that_never_was_is_refused(stripe: StripeProcessor, credentials: Secret) -> None:
    """404: nothing to confirm."""
    assert stripe.confirm(credentials, reference="seti_none", key="k") == Refused(
        code="resource_missing", param="intent"
    )


def test_a_stored_card_is_found_by_its_id(
    stripe: StripeProcessor, credentials: Secret, store: Store, customer: str
) -> None:
    """Among the customer's; an id that nobody used finds nothing; a customer that is none is a failure."""
    stored = store()
    assert isinstance(store("5555555555554444", marks=marks("tag-2"), key="key-2"), Stored)
    assert stripe.find_stored(credentials, id="id-tag-store", customer_reference=customer, since=SINCE) == stored
    assert stripe.find_stored(credentials, id="id-tag-3", customer_reference=customer, since=SINCE) == NotFound()


def test_a_forgotten_card_is_gone(stripe: StripeProcessor, credentials: Secret, store: Store, outside: Outside) -> None:
    """Detached for good; a second time, with another key, it is gone already."""
    stored = store()
    assert isinstance(stored, Stored)
    assert stripe.forget(credentials, reference=stored.reference, key="k1") == Forgotten()
    assert outside.call("GET", f"/v1/payment_methods/{stored.reference}")["customer"] is None
    assert stripe.forget(credentials, reference=stored.reference, key="k1") == Forgotten()
    assert stripe.forget(credentials, reference=stored.reference, key="k2") == Forgotten(already=True)
    assert isinstance(store(source=stored.reference, key="key-again"), Refused)


def test_a_card_that_the_account_does_not_have_is_not_forgotten(stripe: StripeProcessor, credentials: Secret) -> None:
    """Another account's key would be told the same: a 404 is no proof that anything is gone."""
    assert stripe.forget(credentials, reference="pm_none", key="k") == NotFound()


def test_a_forgotten_customer_is_gone_with_its_cards(
    stripe: StripeProcessor, credentials: Secret, store: Store, customer: str
) -> None:
    """Deleted, not found any more, its cards detached; a second time it is gone already."""
    stored = store()
    assert isinstance(stored, Stored)
    assert stripe.forget_customer(credentials, customer_reference=customer, key="k") == Forgotten()
    assert stripe.forget_customer(credentials, customer_reference=customer, key="k") == Forgotten(already=True)
    assert stripe.find_customer(credentials, id="id-tag-customer", since=datetime.now(UTC)) == NotFound()
    assert stripe.forget(credentials, reference=stored.reference, key="k") == Forgotten(already=True)
    assert isinstance(store(source=stored.reference, key="key-2"), Refused)
