"""The port to a payment processor: small enough that the weakest one can keep it.

Business outcomes are returned values, never exceptions; no vendor type or exception crosses the port. Every method
sends the idempotency key that the intent fixed (a method of several calls appends a phase to it), puts `tag` into the
processor object's metadata under `panless` and `note` beside it, and has a stated timeout, shorter than an intent's
lease. A note has at most 2,500 characters, which a processor only keeps for us.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from vault.personal import BillingContact, Card, Secret
from vault.processing.processor_answers import (
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Disputed,
    Failure,
    Forgotten,
    Held,
    NotedPage,
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

METADATA_KEY = "panless"
"""Where our tag stands in the metadata of the processor's objects."""


class Processor(Protocol):
    """One kind of processor. `credentials` is the account's secret key, `key` the intent's idempotency key."""

    kind: str
    abilities: frozenset[str]
    """Declared, never faked: some of `raw_cards`, `processor_reference`, `setup_authentication`, `manual_capture`,
    `partial_refund` and `redaction`, of which one account may lack what its processor has: it is Refused with
    `redaction_unavailable`."""

    def open_customer(
        self, credentials: Secret, *, tag: str, key: str, note: str | None = None
    ) -> CustomerOpened | Failure:
        """Make the processor's customer that cards will hang on. Sends no personal data."""

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
        """Keep a card (or adopt the processor's own reference to one) for `usage` `on_session` or `off_session`."""

    def confirm(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:
        """Where a storing that needed authentication stands now."""

    def call_off(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:
        """End a storing that waits for its person: Declined once nobody can complete it; Refused if over."""

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
        reason: str | None,
        network_transaction_id: str | None,
        statement_descriptor: str | None,
        tag: str,
        key: str,
        note: str | None = None,
    ) -> ChargeOutcome:
        """Charge `amount` (minor units of `currency`, ISO 4217 lower-case), captured at once if `capture` says so.

        `off_session`: the merchant initiates it, for a `reason` (`recurring`, `installment`, `unscheduled`);
        `network_transaction_id` names the first charge of the card, for processors that do not keep it themselves.
        """

    def capture(self, credentials: Secret, *, reference: str, amount: int, key: str) -> ChargeOutcome:
        """Take `amount` of an authorized payment, once; the rest of it is released."""

    def void(self, credentials: Secret, *, reference: str, key: str) -> ChargeOutcome:
        """Call off a payment that is authorized or waits for the person."""

    def read_charge(self, credentials: Secret, *, reference: str) -> ChargeOutcome:
        """Where the payment stands now. One that is not there is Refused."""

    def read_payment(self, credentials: Secret, *, reference: str) -> Payment | Failure:
        """A payment as the account's list has it, whoever made it."""

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
        """Give back `amount` of the payment `reference`; all that is left where it is None."""

    def find_customer(self, credentials: Secret, *, tag: str, since: datetime) -> CustomerOpened | NotFound | Failure:
        """The customer with our tag among those made since (an outage is a Failure, never NotFound)."""

    def find_stored(self, credentials: Secret, *, tag: str, customer_reference: str) -> StoreOutcome | NotFound:
        """What became of a `store` with that tag."""

    def find_charge(self, credentials: Secret, *, tag: str, customer_reference: str) -> ChargeOutcome | NotFound:
        """What became of a `charge` with that tag."""

    def find_refund(self, credentials: Secret, *, tag: str, reference: str) -> RefundOutcome | NotFound:
        """What became of a `refund` with that tag, of the payment `reference`."""

    def read_refund(self, credentials: Secret, *, reference: str) -> RefundOutcome:
        """Where a refund stands now."""

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, secret: Secret, now: datetime) -> Notice | None:
        """What a webhook is about; None unless its signature is good and at most 300 s old. Calls nobody."""

    def read_stored(self, credentials: Secret, *, reference: str) -> Stored | Forgotten | Failure:
        """A stored card as it is now; Forgotten once it is detached or gone."""

    def refunds_of(self, credentials: Secret, *, reference: str) -> list[RefundSeen] | Failure:
        """All refunds of the payment `reference`, whoever made them."""

    def read_dispute(self, credentials: Secret, *, reference: str) -> Disputed | Failure:
        """Where a dispute stands."""

    def disputes_of(self, credentials: Secret, *, reference: str) -> list[Disputed] | Failure:
        """All disputes of the payment `reference`."""

    def list_payments(
        self, credentials: Secret, *, since: datetime, until: datetime, after: str | None
    ) -> PaymentPage | Failure:
        """The account's payments that were made in that time, whoever made them; the page that begins `after`."""

    def list_noted(self, credentials: Secret, *, kind: str, since: datetime, after: str | None) -> NotedPage | Failure:
        """What was made since then with a note of ours: a page of `customer`, `card`, `charge` or `refund`."""

    def forget(self, credentials: Secret, *, reference: str, key: str) -> Forgotten | Failure:
        """Detach a stored card for good. Already gone is Forgotten."""

    def search_customer(self, credentials: Secret, *, tag: str) -> CustomerOpened | NotFound | Failure:
        """The customer with our tag, whenever it was made.

        The processor's index may lag behind (Stripe's by a minute, an hour in an outage), so that NotFound is no proof
        for a customer made just now. That is fine for the only use of this: to find a customer again after our records
        were restored. Where a call was lost, `find_customer` looks.
        """

    def held(self, credentials: Secret, *, customer_reference: str) -> Held | Failure:
        """What hangs on a customer. One that is gone holds nothing."""

    def forget_customer(self, credentials: Secret, *, customer_reference: str, key: str) -> Forgotten | Failure:
        """Delete the processor's customer and what hangs on it. Already gone is Forgotten."""

    def correct(self, credentials: Secret, *, reference: str, contact: BillingContact, key: str) -> Corrected | Failure:
        """Put the whole contact in place of what a stored card has: a field that is empty now is unset there."""

    def redact(self, credentials: Secret, *, customer_reference: str, key: str) -> Redaction | Failure:
        """Begin a job that redacts a customer and all that hangs on it; nothing is redacted before it is run."""

    def run_redaction(self, credentials: Secret, *, job: str, key: str) -> Redaction | Failure:
        """Run a job that is `ready`, for good. In another state it is Refused: `redaction` says in which."""

    def redaction(self, credentials: Secret, *, job: str) -> Redaction | Failure:
        """Where a job stands. One that is validating or redacting is to be read again later."""
