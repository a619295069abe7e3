"""The adapter before two processors that different people wrote: our sandbox, and localstripe as far as it goes.

Before localstripe run: open_customer, confirm, charge (approved, declined, authentication, refused), refund,
find_refund, forget, forget_customer, held (nothing) and correct (once each). It has no SetupIntent that is confirmed
when it is made, which `store` needs, no lists by customer or time, which the other look-ups need, no search and no
redaction, and ignores idempotency keys.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from marked import SINCE, charge_found, marks
from wire import Outside

from vault.personal import BillingContact, Card, Secret
from vault.processing.answers import (
    ActionRequired,
    Approved,
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Declined,
    Forgotten,
    Held,
    NotFound,
    Refunded,
    Refused,
    Stored,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor

Charge = Callable[..., ChargeOutcome]
PICKLE = Path("/tmp/localstripe.pickle")  # noqa: S108 - localstripe's own choice, which the launcher prevents


@pytest.fixture(params=["sandbox", "localstripe"])
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def anywhere(url: str, credentials: Secret) -> Outside:
    return Outside(url, credentials.value)


@pytest.fixture
def processor(url: str) -> StripeProcessor:
    return StripeProcessor(base_url=url)


@pytest.fixture
def customer(processor: StripeProcessor, credentials: Secret) -> str:
    opened = processor.open_customer(credentials, marks=marks("tag-customer"), key="key-customer")
    assert isinstance(opened, CustomerOpened)
    return opened.customer_reference


@pytest.fixture
def attached(anywhere: Outside, customer: str) -> Callable[[str], str]:
    def attach(number: str) -> str:
        method = anywhere.page_makes_method(number)
        anywhere.call("POST", f"/v1/payment_methods/{method}/attach", customer=customer)
        return method

    return attach


@pytest.fixture
def charge(processor: StripeProcessor, credentials: Secret, customer: str, attached: Callable[[str], str]) -> Charge:
    def call(number: str = "4242424242424242", **changes: object) -> ChargeOutcome:
        given: dict[str, Any] = {"customer_reference": customer, "amount": 1234, "currency": "eur"}
        given |= {
            "capture": True,
            "reason": None,
            "network_transaction_id": None,
            "off_session": False,
            "statement_descriptor": None,
            "marks": marks("tag-charge"),
            "key": "key-charge",
        }
        return processor.charge(credentials, **{"reference": attached(number), **given, **changes})

    return call


def test_a_customer_is_opened(anywhere: Outside, customer: str) -> None:
    """It is there, and carries the tag."""
    assert anywhere.call("GET", f"/v1/customers/{customer}")["metadata"] == {
        "panless": "tag-customer",
        "panless_id": "id-tag-customer",
    }


@pytest.mark.parametrize("off_session", [True, False])
def test_a_charge_is_approved(charge: Charge, *, off_session: bool) -> None:
    """With the amount that was asked."""
    approved = charge(off_session=off_session)
    assert isinstance(approved, Approved)
    assert approved.amount == 1234


def test_a_charge_is_declined(charge: Charge) -> None:
    """By its code."""
    declined = charge("4000000000000341")
    assert isinstance(declined, Declined)
    assert declined.code == "card_declined"


def test_a_charge_wants_authentication(charge: Charge) -> None:
    """With what the shop's page needs."""
    waiting = charge("4000002760003184")
    assert isinstance(waiting, ActionRequired)
    assert waiting.next_action["client_secret"].startswith(f"{waiting.reference}_secret_")


@pytest.mark.parametrize("wrong", [{"reference": "pm_none"}, {"customer_reference": "cus_none"}, {"amount": 0}])
def test_a_charge_is_refused(charge: Charge, wrong: dict[str, Any]) -> None:
    """What is wrong with the request is definite."""
    assert isinstance(charge(**wrong), Refused)


@pytest.mark.parametrize(("amount", "back"), [(None, 1234), (200, 200)])
def test_a_refund_is_made_and_found(
    processor: StripeProcessor, credentials: Secret, charge: Charge, amount: int | None, back: int
) -> None:
    """All of it or a part; by its id, and another id finds nothing."""
    approved = charge()
    assert isinstance(approved, Approved)
    payment = approved.reference
    refunded = processor.refund(
        credentials, reference=payment, amount=amount, reason=None, marks=marks("tag-refund"), key="k"
    )
    assert isinstance(refunded, Refunded)
    assert (refunded.amount, refunded.status) == (back, "succeeded")
    assert processor.find_refund(credentials, id="id-tag-refund", reference=payment) == refunded
    assert processor.find_refund(credentials, id="id-another", reference=payment) == NotFound()


@pytest.mark.parametrize(
    ("number", "kind"), [("4242424242424242", Stored), ("4000002760003184", ActionRequired)], ids=["done", "waiting"]
)
def test_a_setup_is_confirmed(
    processor: StripeProcessor, credentials: Secret, anywhere: Outside, customer: str, number: str, kind: type
) -> None:
    """Where the SetupIntent stands, with the card described once it is done."""
    types = {"allowed_payment_method_types[0]": "card"}
    setup = anywhere.call("POST", "/v1/setup_intents", customer=customer, usage="off_session", **types)["id"]
    method = anywhere.page_makes_method(number)
    anywhere.call("POST", f"/v1/setup_intents/{setup}/confirm", payment_method=method)
    outcome = processor.confirm(credentials, reference=setup, key="k")
    assert isinstance(outcome, kind)
    if isinstance(outcome, Stored):
        assert (outcome.reference, outcome.card.brand, outcome.card.last4) == (method, "visa", "4242")


def test_a_card_is_forgotten(
    processor: StripeProcessor, credentials: Secret, anywhere: Outside, attached: Callable[[str], str]
) -> None:
    """It is on no customer any more."""
    method = attached("4242424242424242")
    assert processor.forget(credentials, reference=method, key="k") == Forgotten()
    assert anywhere.call("GET", f"/v1/payment_methods/{method}")["customer"] is None


def test_a_customer_is_forgotten(processor: StripeProcessor, credentials: Secret, customer: str) -> None:
    """Deleted."""
    assert processor.forget_customer(credentials, customer_reference=customer, key="k") == Forgotten()


def test_a_contact_is_corrected(
    processor: StripeProcessor, credentials: Secret, anywhere: Outside, attached: Callable[[str], str]
) -> None:
    """What is new stands in the card's billing details, and nothing does of what is empty now."""
    method = attached("4242424242424242")
    for contact in (BillingContact(email="ada@example.com", address={"city": "London"}), BillingContact(name="Ada")):
        corrected = processor.correct(credentials, reference=method, contact=contact, key=f"k-{contact.name}")
        assert corrected == Corrected()
    details = anywhere.call("GET", f"/v1/payment_methods/{method}")["billing_details"]
    assert details["name"] == "Ada"
    assert not details["email"]
    assert "London" not in str(details)


def test_a_customer_without_subscriptions_holds_nothing(
    processor: StripeProcessor, credentials: Secret, customer: str
) -> None:
    """An empty list is none."""
    assert processor.held(credentials, customer_reference=customer) == Held(subscriptions=0)


def test_credentials_that_are_none_are_refused(processor: StripeProcessor) -> None:
    """The account is set up wrong; the request was not looked at."""
    outcome = processor.open_customer(Secret("pk_nobody"), marks=marks("t"), key="k")
    assert outcome == Refused(code="processor_credentials_refused", credentials=True)


def test_what_localstripe_lacks_is_refused_and_never_taken_for_nothing(
    localstripe_url: str, credentials: Secret, card: Callable[..., Card]
) -> None:
    """A look-up that the processor cannot make does not say NotFound, and a card that it cannot store is not stored."""
    lacking = StripeProcessor(base_url=localstripe_url)
    opened = lacking.open_customer(credentials, marks=marks("t"), key="k")
    assert isinstance(opened, CustomerOpened)
    it: dict[str, Any] = {"customer_reference": opened.customer_reference}
    refused = Refused(code="invalid_request_error")
    storing: dict[str, Any] = it | {"usage": "off_session", "marks": marks("t"), "key": "k"}
    assert lacking.store(credentials, source=card(), contact=None, **storing) == refused
    assert lacking.find_stored(credentials, id="id-t", since=SINCE, **it) == refused
    assert charge_found(lacking, credentials, "id-t") == refused
    assert lacking.find_customer(credentials, id="id-t", since=datetime.now(UTC)) == refused
    assert lacking.search_customer(credentials, tag="t") == refused
    redacting = lacking.redact(credentials, customer_reference=opened.customer_reference, key="k")
    assert redacting == Unknown(reason="http_404_unreadable")  # not Stripe's way to say that there is no such address


def test_localstripe_stays_on_this_machine_and_off_its_disk(localstripe_url: str, credentials: Secret) -> None:
    """The launcher keeps it to loopback, and its pickle of card numbers is not written."""
    Outside(localstripe_url, credentials.value).page_makes_method()
    port = int(localstripe_url.rsplit(":", 1)[1])
    listening = [c for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.laddr.port == port]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}
    (owner,) = {c.pid for c in listening}
    started = psutil.Process(owner).create_time()
    assert not PICKLE.exists() or PICKLE.stat().st_mtime < started
