"""What an erasure, a correction and a restore ask of the processor, before the sandbox."""

from collections.abc import Callable
from typing import Any

import pytest
from marked import marks
from stub_stripe import Stub, answer
from wire import Outside

from vault.personal import BillingContact, Card, Secret
from vault.processing.answers import (
    Approved,
    Corrected,
    CustomerOpened,
    Forgotten,
    Held,
    NotFound,
    Redaction,
    Refused,
    Stored,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor
from vault.processors.stripe.lists import PAGE

Open = Callable[[str], str]
CONTACT = BillingContact(
    name="Ada", email="ada@example.com", phone="+44 20 7946 0000", address={"line1": "12 Square", "city": "London"}
)


@pytest.fixture
def open_customer(stripe: StripeProcessor, credentials: Secret) -> Open:
    def call(tag: str) -> str:
        opened = stripe.open_customer(credentials, marks=marks(tag), key=f"key-{tag}")
        assert isinstance(opened, CustomerOpened)
        return opened.customer_reference

    return call


@pytest.fixture
def customer(open_customer: Open) -> str:
    return open_customer("a1")


@pytest.fixture
def stored(stripe: StripeProcessor, credentials: Secret, customer: str, card: Callable[..., Card]) -> str:
    it: dict[str, Any] = {"customer_reference": customer, "usage": "off_session", "marks": marks("t"), "key": "k-store"}
    outcome = stripe.store(credentials, source=card(), contact=CONTACT, **it)
    assert isinstance(outcome, Stored)
    return outcome.reference


def subscribe(outside: Outside, customer: str) -> str:
    return str(outside.call("POST", "/v1/subscriptions", customer=customer, **{"items[0][price]": "price_tea"})["id"])


def test_what_a_customer_holds_is_counted(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, open_customer: Open
) -> None:
    """Its own subscriptions, on any number of pages, without those that were cancelled."""
    customer = open_customer("a1")
    assert stripe.held(credentials, customer_reference=customer) == Held(subscriptions=0)
    names = [subscribe(outside, customer) for _ in range(PAGE + 2)]
    subscribe(outside, open_customer("b2"))
    outside.call("DELETE", f"/v1/subscriptions/{names[0]}")
    assert stripe.held(credentials, customer_reference=customer) == Held(subscriptions=PAGE + 1)


def test_a_customer_that_is_gone_holds_nothing(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, customer: str
) -> None:
    """Deleted, with its subscriptions; of one that the account does not have, nothing is known."""
    subscribe(outside, customer)
    assert stripe.forget_customer(credentials, customer_reference=customer, key="k") == Forgotten()
    assert stripe.held(credentials, customer_reference=customer) == Held(subscriptions=0)
    assert stripe.held(credentials, customer_reference="cus_none") == NotFound()


def test_a_customer_is_searched_by_its_tag(
    stripe: StripeProcessor, credentials: Secret, open_customer: Open, stored: str
) -> None:
    """Whenever it was made, and whatever hangs on it; nobody has another tag, nor one that was deleted."""
    assert stored
    customer, other = open_customer("a1"), open_customer("b2")
    assert stripe.search_customer(credentials, tag="a1") == CustomerOpened(customer_reference=customer)
    assert stripe.search_customer(credentials, tag="b2") == CustomerOpened(customer_reference=other)
    assert stripe.search_customer(credentials, tag="c3") == NotFound()
    stripe.forget_customer(credentials, customer_reference=customer, key="k")
    assert stripe.search_customer(credentials, tag="a1") == NotFound()


@pytest.mark.parametrize("tag", ['x" OR metadata["panless"]:"a1', 'a1"', ""])
def test_a_tag_that_is_none_finds_nobody(stripe: StripeProcessor, credentials: Secret, customer: str, tag: str) -> None:
    """Our tags are hexadecimal; whatever else stands in a query, no customer with another tag comes back."""
    assert customer
    assert not isinstance(stripe.search_customer(credentials, tag=tag), CustomerOpened)


@pytest.mark.parametrize(
    ("tag", "has_more", "outcome"),
    [("A1", False, NotFound()), ("A1", True, Unknown(reason="too_many_to_look_through"))],
    ids=["another's", "another page"],
)
def test_what_stripes_search_finds_is_looked_at_again(
    stub: Stub, connected: StripeProcessor, tag: str, *, has_more: bool, outcome: object
) -> None:
    """It disregards case; a customer with a tag like ours is not ours, and a page more is no proof of none."""
    row = {"object": "customer", "id": "cus_1", "metadata": {"panless": tag}}
    stub.plan.append(answer({"object": "search_result", "data": [row], "has_more": has_more}))
    assert connected.search_customer(Secret("sk_test_x"), tag="a1") == outcome


NEW = BillingContact(name="Ada King", phone="+44 1", address={"city": "Ockham", "floor": "2"})


@pytest.mark.parametrize(
    ("contact", "details", "address"),
    [
        (NEW, {"name": "Ada King", "email": None, "phone": "+44 1"}, {"city": "Ockham"}),
        (BillingContact(email="ada@king.example"), {"name": None, "email": "ada@king.example", "phone": None}, {}),
        (BillingContact(), {"name": None, "email": None, "phone": None}, {}),
    ],
    ids=["another", "no address", "nothing"],
)
def test_a_contact_is_corrected_as_a_whole(
    stripe: StripeProcessor,
    credentials: Secret,
    outside: Outside,
    stored: str,
    contact: BillingContact,
    details: dict[str, Any],
    address: dict[str, str],
) -> None:
    """What is new stands there, what is empty now is unset, and so it is when the same key comes again."""
    for _ in range(2):
        assert stripe.correct(credentials, reference=stored, contact=contact, key="k") == Corrected()
        kept = outside.call("GET", f"/v1/payment_methods/{stored}")["billing_details"]
        assert {name: kept[name] for name in details} == details
        assert {name: value for name, value in kept["address"].items() if value} == address


def test_a_card_that_is_gone_is_not_corrected(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, stored: str
) -> None:
    """Detached: nothing is changed, and that is no failure. One that the account does not have is not found."""
    assert stripe.forget(credentials, reference=stored, key="k1") == Forgotten()
    gone = Corrected(already_gone=True)
    assert stripe.correct(credentials, reference=stored, contact=NEW, key="k2") == gone
    assert stripe.correct(credentials, reference="pm_none", contact=NEW, key="k3") == NotFound()
    assert outside.call("GET", f"/v1/payment_methods/{stored}")["billing_details"]["name"] == "Ada"


def test_a_correction_that_is_refused_is_no_success(stripe: StripeProcessor, credentials: Secret, stored: str) -> None:
    """A key belongs to one correction; the card is there still."""
    assert stripe.correct(credentials, reference=stored, contact=NEW, key="k") == Corrected()
    again = stripe.correct(credentials, reference=stored, contact=CONTACT, key="k")
    assert again == Unknown(reason="idempotency_mismatch")


def begun(stripe: StripeProcessor, credentials: Secret, customer: str) -> str:
    job = stripe.redact(credentials, customer_reference=customer, key="k-redact")
    assert isinstance(job, Redaction)
    assert job.state == "validating"
    return job.job


@pytest.mark.parametrize("deleted", [False, True])
def test_a_customer_is_redacted(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, customer: str, stored: str, *, deleted: bool
) -> None:
    """Validated, run, redacted; the contact is gone then, even from a card that was detached before."""
    if deleted:
        stripe.forget_customer(credentials, customer_reference=customer, key="k")
    job = begun(stripe, credentials, customer)
    assert begun(stripe, credentials, customer) == job
    assert stripe.redaction(credentials, job=job) == Redaction(job=job, state="ready")
    assert outside.call("GET", f"/v1/payment_methods/{stored}")["billing_details"]["name"] == "Ada"
    for _ in range(2):
        assert stripe.run_redaction(credentials, job=job, key="k-run") == Redaction(job=job, state="redacting")
    assert stripe.redaction(credentials, job=job) == Redaction(job=job, state="succeeded")
    assert outside.call("GET", f"/v1/payment_methods/{stored}")["billing_details"]["name"] is None


def test_an_unfinished_payment_does_not_keep_a_customer_from_redaction(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, customer: str
) -> None:
    """Stripe gives up what waits for another card when the job runs."""
    types = {"allowed_payment_method_types[0]": "card"}
    waiting = outside.call("POST", "/v1/payment_intents", customer=customer, amount="100", currency="eur", **types)
    job = begun(stripe, credentials, customer)
    assert stripe.redaction(credentials, job=job) == Redaction(job=job, state="ready")
    stripe.run_redaction(credentials, job=job, key="k-run")
    assert outside.call("GET", f"/v1/payment_intents/{waiting['id']}")["status"] == "canceled"


def test_a_young_charge_keeps_a_customer_from_redaction(
    stripe: StripeProcessor, credentials: Secret, customer: str, stored: str
) -> None:
    """The job fails, and one that failed can't be run."""
    paid: dict[str, Any] = {
        "amount": 500,
        "currency": "eur",
        "capture": True,
        "reason": None,
        "network_transaction_id": None,
        "off_session": True,
        "statement_descriptor": None,
    }
    where: dict[str, Any] = {"reference": stored, "customer_reference": customer}
    assert isinstance(stripe.charge(credentials, marks=marks("t"), key="k-charge", **where, **paid), Approved)
    job = begun(stripe, credentials, customer)
    assert stripe.redaction(credentials, job=job) == Redaction(job=job, state="failed")
    assert stripe.run_redaction(credentials, job=job, key="k-run") == Refused(code="invalid_request_error")


def test_an_account_without_redaction_is_told_apart(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, customer: str
) -> None:
    """By its code, on every call; what is missing in an account that has it is another."""
    outside.break_next("*", "/v1/privacy/*", do="unknown_url", times=3)
    unavailable = Refused(code="redaction_unavailable")
    assert stripe.redact(credentials, customer_reference=customer, key="k") == unavailable
    assert stripe.run_redaction(credentials, job="prj_none", key="k") == unavailable
    assert stripe.redaction(credentials, job="prj_none") == unavailable
    for missing in (
        stripe.redact(credentials, customer_reference="cus_none", key="k-none"),
        stripe.run_redaction(credentials, job="prj_none", key="k-none-run"),
        stripe.redaction(credentials, job="prj_none"),
    ):
        assert isinstance(missing, Refused)
        assert missing.code == "resource_missing"


def test_no_repr_names_a_job() -> None:
    """It leads to a person, as every reference does."""
    assert "prj_secret" not in repr(Redaction(job="prj_secret", state="ready"))
