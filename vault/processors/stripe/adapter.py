"""Stripe behind the port, through the official SDK.

Rules and their source: docs.stripe.com/api (payment_methods, setup_intents, payment_intents, refunds, customers), in
the version that the SDK pins. What errors mean is in `errors`, what objects mean in `outcomes`, what amounts mean in
`units`; each other file has one kind of object of Stripe's. Every call that changes something is sent once.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import stripe

from vault.personal import BillingContact, Card, Secret
from vault.processing.answers import (
    Burnt,
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Disputed,
    Failure,
    Forgotten,
    Held,
    Identified,
    KeyTaken,
    MadePage,
    Marks,
    Misfit,
    NotFound,
    Notice,
    Payment,
    PaymentPage,
    Redaction,
    RefundOutcome,
    RefundSeen,
    Stored,
    StoreOutcome,
)
from vault.processors.stripe import accounts, forgetting, lists, payments, refunds, storing, units, webhooks
from vault.processors.stripe import marks as marking
from vault.processors.stripe import redaction as jobs
from vault.processors.stripe.outcomes import definite, outcome
from vault.processors.stripe.transport import Wire, segment


class StripeProcessor:
    """Stripe (or what speaks its wire at `base_url`): one pool of at most `pool_size` connections for all accounts.

    Timeouts are seconds and bound each call to Stripe; `store` makes two, a look-up one for each page. Credentials are
    not kept. Thread-safe. The kind `sandbox` has no modes. A `transport` of one's own takes the place of the pool.
    """

    abilities = frozenset(
        {
            "raw_cards",
            "processor_reference",
            "setup_authentication",
            "manual_capture",
            "partial_refund",
            "redaction",
            "burns_keys",
            "list_payments",
            "read_charge",
            "names_its_objects",
            "find_by_reference",
        }
    )
    key_lifetime: timedelta | None = timedelta(hours=24)
    """Source: docs.stripe.com/api/idempotent_requests: keys may be removed once they are at least 24 hours old."""

    def __init__(
        self,
        *,
        kind: str = "stripe",
        base_url: str = "https://api.stripe.com",
        pool_size: int = 64,
        connect_timeout: float = 3.0,
        read_timeout: float = 20.0,
        list_lag: timedelta = timedelta(seconds=10),
        transport: stripe.HTTPClient | None = None,
    ) -> None:
        self.kind = kind
        self.list_lag = list_lag
        self.call_timeout = 2 * connect_timeout + read_timeout
        """A free connection is waited for as long as connecting may take."""
        self._wire = Wire(
            base_url=base_url,
            pool_size=pool_size,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            has_modes=kind != "sandbox",
            transport=transport,
        )

    def identify(self, credentials: Secret) -> Identified | Failure:
        """Retrieve the Account."""
        return accounts.identify(self._wire.line(credentials))

    def mode_of(self, credentials: Secret) -> bool | None:
        """By the key's prefix."""
        return self._wire.mode_of(credentials.value)

    def read_marks(self, credentials: Secret, *, customer_reference: str) -> Marks | NotFound | Failure:
        """Retrieve the Customer."""
        return accounts.read_marks(self._wire.line(credentials), customer_reference)

    def misfit(self, *, amount: int, currency: str) -> Misfit | None:
        """By Stripe's own table of currencies."""
        return units.misfit(amount, currency)

    def open_customer(self, credentials: Secret, *, marks: Marks, key: str) -> CustomerOpened | Failure:
        """Make an empty Customer with our marks."""
        return accounts.open_customer(self._wire.line(credentials), marks, key)

    def store(
        self,
        credentials: Secret,
        *,
        source: Card | str,
        contact: BillingContact | None,
        customer_reference: str,
        usage: str,
        marks: Marks,
        key: str,
    ) -> StoreOutcome:
        """PaymentMethod (of a raw card), then a SetupIntent confirmed at once, which attaches it to the customer."""
        line, method = self._wire.line(credentials), source
        if isinstance(method, Card):
            made = storing.tokenize(line, method, contact, marks, key + "-pm")
            if not isinstance(made, str):
                return made
            method = made
        return storing.store(line, method, customer_reference, usage, marks, key)

    def confirm(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:  # noqa: ARG002 - a read takes no key
        """Read the SetupIntent: the person authenticates with Stripe, not through us."""
        return storing.read(self._wire.line(credentials), reference)

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
        marks: Marks,
        key: str,
    ) -> ChargeOutcome:
        """Make and confirm a PaymentIntent in one call. One that is `processing` is Unknown: a look-up will know."""
        params = {
            "customer": customer_reference,
            "payment_method": reference,
            "confirm": True,
            "capture_method": None if capture else "manual",
            **storing.CARDS,
            **({"off_session": True} if off_session else storing.BY_PAGE),
            "statement_descriptor_suffix": statement_descriptor,
            "metadata": marking.metadata(marks),
        }
        return payments.make(self._wire.line(credentials), amount, currency, params, key)

    def capture(
        self, credentials: Secret, *, reference: str, amount: int, key: str, currency: str | None = None
    ) -> ChargeOutcome:
        """Capture a PaymentIntent; what is not captured is released."""
        return payments.capture(self._wire.line(credentials), reference, amount, currency, key)

    def void(self, credentials: Secret, *, reference: str, key: str) -> ChargeOutcome:
        """Cancel a PaymentIntent."""
        return payments.void(self._wire.line(credentials), reference, key)

    def read_payment(self, credentials: Secret, *, reference: str) -> Payment | Failure:
        """Retrieve a PaymentIntent, as the list has it."""
        return payments.read_whole(self._wire.line(credentials), reference)

    def disputes_of(self, credentials: Secret, *, reference: str) -> list[Disputed] | Failure:
        """List a PaymentIntent's Disputes."""
        params = {"payment_intent": reference}
        return definite(lists.read_all(self._wire.line(credentials), "/v1/disputes", params, webhooks.disputed))

    def call_off(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:
        """Cancel a SetupIntent."""
        return storing.call_off(self._wire.line(credentials), reference, key)

    def read_charge(self, credentials: Secret, *, reference: str) -> ChargeOutcome:
        """Retrieve a PaymentIntent."""
        return payments.read(self._wire.line(credentials), reference)

    def refund(
        self,
        credentials: Secret,
        *,
        reference: str,
        amount: int | None,
        reason: str | None,
        marks: Marks,
        key: str,
        currency: str | None = None,
    ) -> RefundOutcome:
        """Refund a PaymentIntent; `reason` is one of Stripe's three, any other is refused there."""
        return refunds.make(self._wire.line(credentials), reference, amount, currency, reason, marks, key)

    def find_customer(self, credentials: Secret, *, id: str, since: datetime) -> CustomerOpened | NotFound | Failure:  # noqa: A002 - the mark's name
        """Among the customers made since, give or take a minute between Stripe's clock and ours."""
        return forgetting.find_customer(self._wire.line(credentials), id, since)

    def find_stored(
        self,
        credentials: Secret,
        *,
        id: str,  # noqa: A002 - the mark's name
        customer_reference: str,
        since: datetime,
    ) -> StoreOutcome | NotFound:
        """Among the customer's SetupIntents."""
        return storing.find(self._wire.line(credentials), id, customer_reference, since)

    def find_refund(self, credentials: Secret, *, id: str, reference: str) -> RefundOutcome | NotFound:  # noqa: A002 - the mark's name
        """Among the payment's Refunds."""
        return refunds.find(self._wire.line(credentials), id, reference)

    def read_refund(self, credentials: Secret, *, reference: str) -> RefundOutcome:
        """Retrieve a Refund."""
        return refunds.read(self._wire.line(credentials), reference)

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, secret: Secret, now: datetime) -> Notice | None:
        """Check the Stripe-Signature."""
        return webhooks.parse(body, headers, secret, now)

    def read_stored(self, credentials: Secret, *, reference: str) -> Stored | Forgotten | NotFound | Failure:
        """Retrieve a PaymentMethod."""
        return storing.read_stored(self._wire.line(credentials), reference)

    def refunds_of(self, credentials: Secret, *, reference: str) -> list[RefundSeen] | Failure:
        """List a PaymentIntent's Refunds."""
        return refunds.of_payment(self._wire.line(credentials), reference)

    def read_dispute(self, credentials: Secret, *, reference: str) -> Disputed | Failure:
        """Retrieve a Dispute."""
        answer = self._wire.line(credentials).get(f"/v1/disputes/{segment(reference)}", {})
        return definite(outcome(answer, "dispute", webhooks.disputed))

    def list_payments(
        self, credentials: Secret, *, since: datetime, until: datetime | None, after: str | None
    ) -> PaymentPage | Failure:
        """List PaymentIntents by when they were made."""
        return payments.list_made(self._wire.line(credentials), since, until, after)

    def list_made(self, credentials: Secret, *, kind: str, since: datetime, after: str | None) -> MadePage | Failure:
        """List Customers or SetupIntents by when they were made, give or take a minute."""
        return storing.list_made(self._wire.line(credentials), kind, since, after)

    def burn(self, credentials: Secret, *, key: str, words: Mapping[str, str]) -> Burnt | KeyTaken | Failure:
        """Make a SetupIntent of nothing, which is never confirmed."""
        return accounts.burn(self._wire.line(credentials), key, words)

    def forget(self, credentials: Secret, *, reference: str, key: str) -> Forgotten | NotFound | Failure:
        """Detach the payment method."""
        return forgetting.forget(self._wire.line(credentials), reference, key)

    def search_customer(self, credentials: Secret, *, tag: str) -> CustomerOpened | NotFound | Failure:
        """By Stripe's search, which lags behind: its NotFound proves nothing."""
        return forgetting.search_customer(self._wire.line(credentials), tag)

    def held(self, credentials: Secret, *, customer_reference: str) -> Held | NotFound | Failure:
        """Count the Subscriptions that are not cancelled."""
        return forgetting.held(self._wire.line(credentials), customer_reference)

    def forget_customer(
        self,
        credentials: Secret,
        *,
        customer_reference: str,
        key: str,  # noqa: ARG002 - Stripe takes no key on DELETE
    ) -> Forgotten | NotFound | Failure:
        """Delete the Customer, which detaches its payment methods and cancels its subscriptions."""
        return forgetting.forget_customer(self._wire.line(credentials), customer_reference)

    def correct(
        self, credentials: Secret, *, reference: str, contact: BillingContact, key: str
    ) -> Corrected | NotFound | Failure:
        """Update the payment method's billing details."""
        return forgetting.correct(self._wire.line(credentials), reference, contact, key)

    def redact(self, credentials: Secret, *, customer_reference: str, key: str) -> Redaction | Failure:
        """Make a RedactionJob of the Customer, which Stripe validates next."""
        return jobs.redact(self._wire.line(credentials), customer_reference, key)

    def run_redaction(self, credentials: Secret, *, job: str, key: str) -> Redaction | Failure:
        """Run the RedactionJob."""
        return jobs.run(self._wire.line(credentials), job, key)

    def redaction(self, credentials: Secret, *, job: str) -> Redaction | Failure:
        """Read the RedactionJob."""
        return jobs.read(self._wire.line(credentials), job)
