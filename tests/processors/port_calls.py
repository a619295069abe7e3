"""Every call of the port, as simple as it gets, and the request of Stripe's that it is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from marked import SINCE, charge_found, marks

from vault.personal import BillingContact, Card, Secret
from vault.processors.stripe.adapter import StripeProcessor


@dataclass(frozen=True)
class World:
    """What there is before a call: a customer with a stored card, a setup, a charge, another's redaction job."""

    credentials: Secret
    customer: str
    card: Card
    method: str
    setup: str
    payment: str
    job: str


Call = Callable[[StripeProcessor, World], Any]


def open_customer(stripe: StripeProcessor, w: World) -> object:
    return stripe.open_customer(w.credentials, marks=marks("t"), key="k")


def store(stripe: StripeProcessor, w: World) -> object:
    it: dict[str, Any] = {"customer_reference": w.customer, "usage": "off_session", "marks": marks("t"), "key": "k"}
    return stripe.store(w.credentials, source=w.card, contact=None, **it)


def confirm(stripe: StripeProcessor, w: World) -> object:
    return stripe.confirm(w.credentials, reference=w.setup, key="k")


def charge(stripe: StripeProcessor, w: World) -> object:
    it: dict[str, Any] = {
        "amount": 100,
        "currency": "eur",
        "capture": True,
        "reason": None,
        "network_transaction_id": None,
        "off_session": True,
        "statement_descriptor": None,
    }
    where: dict[str, Any] = {"reference": w.method, "customer_reference": w.customer}
    return stripe.charge(w.credentials, marks=marks("t"), key="k", **it, **where)


def refund(stripe: StripeProcessor, w: World) -> object:
    return stripe.refund(w.credentials, reference=w.payment, amount=None, reason=None, marks=marks("t"), key="k")


def find_customer(stripe: StripeProcessor, w: World) -> object:
    return stripe.find_customer(w.credentials, id="id-t", since=SINCE)


def find_stored(stripe: StripeProcessor, w: World) -> object:
    return stripe.find_stored(w.credentials, id="id-t", customer_reference=w.customer, since=SINCE)


def find_charge(stripe: StripeProcessor, w: World) -> object:
    return charge_found(stripe, w.credentials, "id-t")


def burn(stripe: StripeProcessor, w: World) -> object:
    return stripe.burn(w.credentials, key="k", words={"for": "nothing"})


def identify(stripe: StripeProcessor, w: World) -> object:
    return stripe.identify(w.credentials)


def read_marks(stripe: StripeProcessor, w: World) -> object:
    return stripe.read_marks(w.credentials, customer_reference=w.customer)


def list_made(stripe: StripeProcessor, w: World) -> object:
    return stripe.list_made(w.credentials, kind="card", since=SINCE, after=None)


def capture(stripe: StripeProcessor, w: World) -> object:
    return stripe.capture(w.credentials, reference=w.payment, amount=100, currency="eur", key="k")


def void(stripe: StripeProcessor, w: World) -> object:
    return stripe.void(w.credentials, reference=w.payment, key="k")


def read_stored(stripe: StripeProcessor, w: World) -> object:
    return stripe.read_stored(w.credentials, reference=w.method)


def refunds_of(stripe: StripeProcessor, w: World) -> object:
    return stripe.refunds_of(w.credentials, reference=w.payment)


def find_refund(stripe: StripeProcessor, w: World) -> object:
    return stripe.find_refund(w.credentials, id="id-t", reference=w.payment)


def forget(stripe: StripeProcessor, w: World) -> object:
    return stripe.forget(w.credentials, reference=w.method, key="k")


def forget_detached(stripe: StripeProcessor, w: World) -> object:
    """Detached before, so that whose the payment method is has to be asked."""
    stripe.forget(w.credentials, reference=w.method, key="before")
    return stripe.forget(w.credentials, reference=w.method, key="k")


def forget_customer(stripe: StripeProcessor, w: World) -> object:
    return stripe.forget_customer(w.credentials, customer_reference=w.customer, key="k")


def search_customer(stripe: StripeProcessor, w: World) -> object:
    return stripe.search_customer(w.credentials, tag="t")


def held(stripe: StripeProcessor, w: World) -> object:
    return stripe.held(w.credentials, customer_reference=w.customer)


def correct(stripe: StripeProcessor, w: World) -> object:
    return stripe.correct(w.credentials, reference=w.method, contact=BillingContact(name="Ada"), key="k")


def correct_detached(stripe: StripeProcessor, w: World) -> object:
    """As with forgetting."""
    stripe.forget(w.credentials, reference=w.method, key="before")
    return correct(stripe, w)


def redact(stripe: StripeProcessor, w: World) -> object:
    return stripe.redact(w.credentials, customer_reference=w.customer, key="k")


def run_redaction(stripe: StripeProcessor, w: World) -> object:
    return stripe.run_redaction(w.credentials, job=w.job, key="k")


def redaction(stripe: StripeProcessor, w: World) -> object:
    return stripe.redaction(w.credentials, job=w.job)


CALLS: list[tuple[Call, str, str]] = [
    (open_customer, "POST", "/v1/customers"),
    (store, "POST", "/v1/setup_intents"),
    (confirm, "GET", "/v1/setup_intents/*"),
    (charge, "POST", "/v1/payment_intents"),
    (refund, "POST", "/v1/refunds"),
    (find_customer, "GET", "/v1/customers"),
    (find_stored, "GET", "/v1/setup_intents"),
    (find_charge, "GET", "/v1/payment_intents"),
    (find_refund, "GET", "/v1/refunds"),
    (burn, "POST", "/v1/setup_intents"),
    (read_marks, "GET", "/v1/customers/*"),
    (list_made, "GET", "/v1/setup_intents"),
    (capture, "POST", "/v1/payment_intents/*/capture"),
    (void, "POST", "/v1/payment_intents/*/cancel"),
    (read_stored, "GET", "/v1/payment_methods/*"),
    (refunds_of, "GET", "/v1/refunds"),
    (forget, "POST", "/v1/payment_methods/*/detach"),
    (forget_detached, "GET", "/v1/payment_methods/*"),
    (forget_customer, "DELETE", "/v1/customers/*"),
    (search_customer, "GET", "/v1/customers/search"),
    (held, "GET", "/v1/subscriptions"),
    (correct, "POST", "/v1/payment_methods/pm_*"),
    (correct_detached, "GET", "/v1/payment_methods/*"),
    (redact, "POST", "/v1/privacy/redaction_jobs"),
    (run_redaction, "POST", "/v1/privacy/redaction_jobs/*/run"),
    (redaction, "GET", "/v1/privacy/redaction_jobs/*"),
]
