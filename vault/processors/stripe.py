"""Stripe behind the port, through the official SDK.

Rules and their source: docs.stripe.com/api (payment_methods, setup_intents, payment_intents, refunds, customers), in
the version that the SDK pins. What errors mean is in `stripe_errors`, what objects mean in `stripe_outcomes`, what
privacy asks in `stripe_forgetting` and `stripe_redaction`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import stripe

from vault.personal import BillingContact, Card, Secret
from vault.processing.processor import METADATA_KEY
from vault.processing.processor_answers import (
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Declined,
    Disputed,
    Failure,
    Forgotten,
    Held,
    NotedPage,
    NotFound,
    Notice,
    NotReached,
    PaymentPage,
    Redaction,
    RefundOutcome,
    RefundSeen,
    Stored,
    StoreOutcome,
    Unknown,
)
from vault.processors import stripe_forgetting as forgetting
from vault.processors import stripe_notes as notes
from vault.processors import stripe_outcomes as outcomes
from vault.processors import stripe_payments as payments
from vault.processors import stripe_redaction as jobs
from vault.processors import stripe_webhooks as webhooks
from vault.processors.stripe_contact import billing_details
from vault.processors.stripe_errors import Object
from vault.processors.stripe_lists import look_through
from vault.processors.stripe_outcomes import Outcome, definite, in_page, of_money, or_gone, outcome
from vault.processors.stripe_transport import Answer, Wire, segment

CLOCK_SKEW = timedelta(minutes=1)
LOST = ("timeout", "connection_lost")
CARDS: Object = {"allowed_payment_method_types": ["card"]}  # `payment_method_types` is a 400 since the version "endive"
WITH_CHARGE: Object = {"expand": ["latest_charge"]}
BY_PAGE: Object = {"use_stripe_sdk": True}  # the shop's page authenticates, with Stripe's script, and needs no address


class StripeProcessor:
    """Stripe (or what speaks its wire at `base_url`): one pool of at most `pool_size` connections for all accounts.

    Timeouts are seconds and bound each call to Stripe; `store` makes two, a look-up one for each page. Credentials are
    not kept. Thread-safe. `transport`: what sends instead of that pool.
    """

    abilities = frozenset(
        {"raw_cards", "processor_reference", "setup_authentication", "manual_capture", "partial_refund", "redaction"}
    )

    def __init__(
        self,
        *,
        kind: str = "stripe",
        base_url: str = "https://api.stripe.com",
        pool_size: int = 64,
        connect_timeout: float = 3.0,
        read_timeout: float = 20.0,
        transport: stripe.HTTPClient | None = None,
    ) -> None:
        self.kind = kind
        self._wire = Wire(
            base_url=base_url,
            pool_size=pool_size,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            transport=transport,
        )

    def open_customer(
        self, credentials: Secret, *, tag: str, key: str, note: str | None = None
    ) -> CustomerOpened | Failure:
        """Make an empty Customer that carries the tag."""
        answer = self._post(credentials, "/v1/customers", {"metadata": notes.marked(tag, note)}, key)
        return definite(outcome(answer, "customer", outcomes.customer_opened))

    def store(
        self,
        credentials: Secret,
        *,
        source: Card | str,
        contact: BillingContact | None,
        customer_reference: str,
        usage: str,
        tag: str,
        key: str,
        note: str | None = None,
    ) -> StoreOutcome:
        """PaymentMethod (of a raw card), then a SetupIntent confirmed at once, which attaches it to the customer."""
        method = source if isinstance(source, str) else self._tokenize(credentials, source, contact, tag, key + "-pm")
        if not isinstance(method, str):
            return method
        params = {
            "customer": customer_reference,
            "payment_method": method,
            "usage": usage,
            "confirm": True,
            **CARDS,
            **BY_PAGE,
            "expand": ["payment_method"],
            "metadata": notes.marked(tag, note),
        }
        answer = self._post(credentials, "/v1/setup_intents", params, key + "-setup")
        return outcome(answer, "setup_intent", outcomes.stored)

    def confirm(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:  # noqa: ARG002 - a read takes no key
        """Read the SetupIntent: the person authenticates with Stripe, not through us."""
        answer = self._get(credentials, f"/v1/setup_intents/{segment(reference)}", {"expand": ["payment_method"]})
        return outcome(answer, "setup_intent", outcomes.stored)

    def charge(
        self,
        credentials: Secret,
        *,
        reference: str,
        customer_reference: str,
        amount: int,
        currency: str,
        capture: bool,
        off_session: bool,
        reason: str | None,  # noqa: ARG002 - Stripe has no field for it on a stored card
        network_transaction_id: str | None,  # noqa: ARG002 - Stripe keeps the chain with the payment method
        statement_descriptor: str | None,
        tag: str,
        key: str,
        note: str | None = None,
    ) -> ChargeOutcome:
        """Make and confirm a PaymentIntent in one call. One that is `processing` is Unknown: a look-up will know."""
        params = {
            "amount": amount,
            "currency": currency,
            "customer": customer_reference,
            "payment_method": reference,
            "confirm": True,
            "capture_method": None if capture else "manual",
            **CARDS,
            **({"off_session": True} if off_session else BY_PAGE),
            "statement_descriptor_suffix": statement_descriptor,
            **WITH_CHARGE,
            "metadata": notes.marked(tag, note),
        }
        answer = self._post(credentials, "/v1/payment_intents", params, key)
        return of_money(outcome(answer, "payment_intent", outcomes.charged))

    def capture(self, credentials: Secret, *, reference: str, amount: int, key: str) -> ChargeOutcome:
        """Capture a PaymentIntent; what is not captured is released."""
        params = {"amount_to_capture": amount, **WITH_CHARGE}
        answer = self._post(credentials, f"/v1/payment_intents/{segment(reference)}/capture", params, key)
        return of_money(outcome(answer, "payment_intent", outcomes.charged))

    def void(self, credentials: Secret, *, reference: str, key: str) -> ChargeOutcome:
        """Cancel a PaymentIntent."""
        answer = self._post(credentials, f"/v1/payment_intents/{segment(reference)}/cancel", WITH_CHARGE, key)
        return of_money(outcome(answer, "payment_intent", outcomes.charged))

    def read_charge(self, credentials: Secret, *, reference: str) -> ChargeOutcome:
        """Retrieve a PaymentIntent."""
        answer = self._get(credentials, f"/v1/payment_intents/{segment(reference)}", WITH_CHARGE)
        return outcome(answer, "payment_intent", outcomes.charged)

    def refund(
        self,
        credentials: Secret,
        *,
        reference: str,
        amount: int | None,
        reason: str | None,
        tag: str,
        key: str,
        note: str | None = None,
    ) -> RefundOutcome:
        """Refund a PaymentIntent; `reason` is one of Stripe's three, any other is refused there."""
        about = {"amount": amount, "reason": reason, "metadata": notes.marked(tag, note)}
        params = {"payment_intent": reference, **about}
        return of_money(outcome(self._post(credentials, "/v1/refunds", params, key), "refund", outcomes.refunded))

    def find_customer(self, credentials: Secret, *, tag: str, since: datetime) -> CustomerOpened | NotFound | Failure:
        """Among the customers made since, give or take a minute between Stripe's clock and ours."""
        params = {"created": {"gte": int((since - CLOCK_SKEW).timestamp())}}
        return definite(self._find(credentials, "/v1/customers", params, tag, outcomes.customer_opened))

    def find_stored(self, credentials: Secret, *, tag: str, customer_reference: str) -> StoreOutcome | NotFound:
        """Among the customer's SetupIntents. A payment method without one was never attached, and is nothing."""
        params = {"customer": customer_reference, "expand": ["data.payment_method"]}
        return self._find(credentials, "/v1/setup_intents", params, tag, outcomes.stored)

    def find_charge(self, credentials: Secret, *, tag: str, customer_reference: str) -> ChargeOutcome | NotFound:
        """Among the customer's PaymentIntents."""
        params = {"customer": customer_reference, "expand": ["data.latest_charge"]}
        return self._find(credentials, "/v1/payment_intents", params, tag, outcomes.charged)

    def find_refund(self, credentials: Secret, *, tag: str, reference: str) -> RefundOutcome | NotFound:
        """Among the payment's refunds."""
        return self._find(credentials, "/v1/refunds", {"payment_intent": reference}, tag, outcomes.refunded)

    def read_refund(self, credentials: Secret, *, reference: str) -> RefundOutcome:
        """Retrieve a Refund."""
        return outcome(self._get(credentials, f"/v1/refunds/{segment(reference)}", {}), "refund", outcomes.refunded)

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, secret: Secret, now: datetime) -> Notice | None:
        """Check the Stripe-Signature."""
        return webhooks.parse(body, headers, secret, now)

    def read_stored(self, credentials: Secret, *, reference: str) -> Stored | Forgotten | Failure:
        """Retrieve a PaymentMethod."""
        answer = self._get(credentials, f"/v1/payment_methods/{segment(reference)}", {})
        return or_gone(Forgotten(already=True), outcome(answer, "payment_method", outcomes.still_stored))

    def refunds_of(self, credentials: Secret, *, reference: str) -> list[RefundSeen] | Failure:
        """List a PaymentIntent's Refunds."""
        params = {"payment_intent": reference}
        return definite(look_through(self._wire, credentials, "/v1/refunds", params, webhooks.gathered()))

    def read_dispute(self, credentials: Secret, *, reference: str) -> Disputed | Failure:
        """Retrieve a Dispute."""
        answer = self._get(credentials, f"/v1/disputes/{segment(reference)}", {})
        return definite(outcome(answer, "dispute", webhooks.disputed))

    def list_payments(
        self, credentials: Secret, *, since: datetime, until: datetime, after: str | None
    ) -> PaymentPage | Failure:
        """List PaymentIntents by when they were made."""
        made = {"gte": int(since.timestamp()), "lt": int(until.timestamp())}
        params = {"created": made, "limit": 100, "starting_after": after, "expand": ["data.latest_charge"]}
        return definite(outcome(self._get(credentials, "/v1/payment_intents", params), "list", payments.page))

    def list_noted(self, credentials: Secret, *, kind: str, since: datetime, after: str | None) -> NotedPage | Failure:
        """List Customers, SetupIntents, PaymentIntents or Refunds by when they were made."""
        made = {"created": {"gte": int((since - CLOCK_SKEW).timestamp())}, "limit": 100, "starting_after": after}
        return definite(outcome(self._get(credentials, notes.PATHS[kind], made), "list", notes.page))

    def forget(self, credentials: Secret, *, reference: str, key: str) -> Forgotten | Failure:
        """Detach the payment method."""
        return forgetting.forget(self._wire, credentials, reference, key)

    def search_customer(self, credentials: Secret, *, tag: str) -> CustomerOpened | NotFound | Failure:
        """By Stripe's search, which lags behind: good for what is older than an outage of it."""
        return forgetting.search_customer(self._wire, credentials, tag)

    def held(self, credentials: Secret, *, customer_reference: str) -> Held | Failure:
        """Count the Subscriptions that are not cancelled."""
        return forgetting.held(self._wire, credentials, customer_reference)

    def forget_customer(self, credentials: Secret, *, customer_reference: str, key: str) -> Forgotten | Failure:  # noqa: ARG002 - Stripe asks for no key on DELETE
        """Delete the Customer, which detaches its payment methods and cancels its subscriptions."""
        return forgetting.forget_customer(self._wire, credentials, customer_reference)

    def correct(self, credentials: Secret, *, reference: str, contact: BillingContact, key: str) -> Corrected | Failure:
        """Update the payment method's billing details."""
        return forgetting.correct(self._wire, credentials, reference, contact, key)

    def redact(self, credentials: Secret, *, customer_reference: str, key: str) -> Redaction | Failure:
        """Make a RedactionJob of the Customer, which Stripe validates next."""
        return jobs.redact(self._wire, credentials, customer_reference, key)

    def run_redaction(self, credentials: Secret, *, job: str, key: str) -> Redaction | Failure:
        """Run the RedactionJob."""
        return jobs.run(self._wire, credentials, job, key)

    def redaction(self, credentials: Secret, *, job: str) -> Redaction | Failure:
        """Read the RedactionJob."""
        return jobs.read(self._wire, credentials, job)

    def _tokenize(
        self, credentials: Secret, card: Card, contact: BillingContact | None, tag: str, key: str
    ) -> str | Declined | Failure:
        """A PaymentMethod of a raw card.

        A lost answer is NotReached here: all that may be there is an unattached payment method, which nothing can
        charge, and the same key brings it back. An answered 500 stays Unknown: Stripe replays it for as long as it
        knows the key, so that sending again could only loop; the look-up finds no SetupIntent and ends it.
        """
        number = {"number": card.number, "exp_month": card.exp_month, "exp_year": card.exp_year, "cvc": card.cvc}
        params = {"type": "card", "card": number, "metadata": {METADATA_KEY: tag}, **billing_details(contact)}
        answer = self._post(credentials, "/v1/payment_methods", params, key)
        method = outcome(answer, "payment_method", lambda created: str(created["id"]))
        if isinstance(method, Unknown) and method.reason in LOST:
            return NotReached(reason=method.reason)
        return method

    def _find(
        self, credentials: Secret, path: str, params: Object, tag: str, read: Callable[[Object], Outcome]
    ) -> Outcome | NotFound | Declined | Failure:
        """What `read` makes of the object with our tag, from the list: Stripe's search lags behind by up to an hour."""
        return look_through(self._wire, credentials, path, params, in_page(tag, read))

    def _post(self, credentials: Secret, path: str, params: Mapping[str, Any], key: str) -> Answer | Failure:
        return self._wire.send("post", path, params, credentials=credentials.value, key=key)

    def _get(self, credentials: Secret, path: str, params: Mapping[str, Any]) -> Answer | Failure:
        return self._wire.send("get", path, params, credentials=credentials.value)
