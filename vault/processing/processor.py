"""The port to a payment processor: small enough that the weakest one can keep it.

Business outcomes are returned values, never exceptions; no vendor type or exception crosses the port. A method that
changes something sends its call once, with the idempotency key that the intent fixed (a method of several calls appends
a phase for all but the last), and puts `marks` into the metadata of what it makes. Amounts are minor units as ISO 4217
counts them, whatever the processor counts in.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

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

METADATA_KEY, METADATA_ID, METADATA_FOR = "panless", "panless_id", "panless_for"
"""Where the words of `Marks` stand in the metadata of the processor's objects: the tag, our id, the obligation."""


class Processor(Protocol):
    """One kind of processor. `credentials` is the account's secret key, `key` the intent's idempotency key."""

    kind: str
    abilities: frozenset[str]
    """Declared, never faked: some of `raw_cards`, `processor_reference`, `setup_authentication`, `manual_capture`,
    `partial_refund`, `burns_keys`, `list_payments`, `read_charge`, `names_its_objects`, `find_by_reference` and
    `redaction`, of which one account may lack what its processor has: it is Refused with `redaction_unavailable`."""
    key_lifetime: timedelta | None
    """How long it certainly keeps an idempotency key with its outcome; None where it keeps none."""
    call_timeout: float
    """Seconds that one call may take at most, its wait for a connection included."""
    list_lag: timedelta
    """How far its lists may lag behind what was done."""

    def identify(self, credentials: Secret) -> Identified | Failure:
        """Whose account the key opens. A key that may not ask is Refused with `may_not_ask`."""

    def mode_of(self, credentials: Secret) -> bool | None:
        """True for a live key, False for a test key, None where the kind has no modes or the key does not say."""

    def read_marks(self, credentials: Secret, *, customer_reference: str) -> Marks | NotFound | Failure:
        """Our marks on a customer there. NotFound where there is none, it was deleted, or it has no mark of ours."""

    def misfit(self, *, amount: int, currency: str) -> Misfit | None:
        """Why the processor can't express an amount, or None where it can. Calls nobody."""

    def open_customer(self, credentials: Secret, *, marks: Marks, key: str) -> CustomerOpened | Failure:
        """Make the processor's customer that cards will hang on. Sends no personal data."""

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
        marks: Marks,
        key: str,
    ) -> ChargeOutcome:
        """Charge `amount` (minor units of `currency`, ISO 4217 lower-case), captured at once if `capture` says so.

        `off_session`: the merchant initiates it, for a `reason` (`recurring`, `installment`, `unscheduled`);
        `network_transaction_id` names the first charge of the card, for processors that do not keep it themselves.
        """

    def capture(
        self, credentials: Secret, *, reference: str, amount: int, key: str, currency: str | None = None
    ) -> ChargeOutcome:
        """Take `amount` of an authorized payment, once; the rest of it is released.

        `currency` is the payment's; where it is None, it is read there first, which costs a call.
        """

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
        marks: Marks,
        key: str,
        currency: str | None = None,
    ) -> RefundOutcome:
        """Give back `amount` of the payment `reference`, all that is left for None; `currency` as in `capture`."""

    def find_customer(self, credentials: Secret, *, id: str, since: datetime) -> CustomerOpened | NotFound | Failure:  # noqa: A002 - the mark's name
        """The customer with our id among those made since, of several the oldest. An outage is never NotFound."""

    def find_stored(
        self,
        credentials: Secret,
        *,
        id: str,  # noqa: A002 - as above
        customer_reference: str,
        since: datetime,
    ) -> StoreOutcome | NotFound:
        """What became of a `store` with that id, among the customer's made since; of several the one that was stored.

        Where several were stored, or several are open, it is Unknown.
        """

    def find_refund(self, credentials: Secret, *, id: str, reference: str) -> RefundOutcome | NotFound:  # noqa: A002 - as above
        """What became of a `refund` with that id, of the payment `reference`; of several the one that gives money back.

        Where several do, it is Unknown.
        """

    def read_refund(self, credentials: Secret, *, reference: str) -> RefundOutcome:
        """Where a refund stands now."""

    def parse_webhook(self, body: bytes, headers: Mapping[str, str], *, secret: Secret, now: datetime) -> Notice | None:
        """What a webhook is about; None unless its signature is good and at most 300 s old. Calls nobody."""

    def read_stored(self, credentials: Secret, *, reference: str) -> Stored | Forgotten | NotFound | Failure:
        """A stored card as it is now; Forgotten once it is detached. NotFound is no proof that it is gone."""

    def refunds_of(self, credentials: Secret, *, reference: str) -> list[RefundSeen] | Failure:
        """All refunds of the payment `reference`, whoever made them."""

    def read_dispute(self, credentials: Secret, *, reference: str) -> Disputed | Failure:
        """Where a dispute stands."""

    def disputes_of(self, credentials: Secret, *, reference: str) -> list[Disputed] | Failure:
        """All disputes of the payment `reference`."""

    def list_payments(
        self, credentials: Secret, *, since: datetime, until: datetime | None, after: str | None
    ) -> PaymentPage | Failure:
        """The account's payments made since then and before `until`, newest first, whoever made them; a page of them.

        The page begins after the payment `after`. The pages from the first to the last have every payment of that time,
        but for those younger than `list_lag`.
        """

    def list_made(self, credentials: Secret, *, kind: str, since: datetime, after: str | None) -> MadePage | Failure:
        """What of ours was made since then: a page of each `customer` or each `card` with marks, newest first."""

    def burn(self, credentials: Secret, *, key: str, words: Mapping[str, str]) -> Burnt | KeyTaken | Failure:
        """Use a key up for any other call, by a harmless one whose body is `words`; late and twice do no harm."""

    def forget(self, credentials: Secret, *, reference: str, key: str) -> Forgotten | NotFound | Failure:
        """Detach a stored card for good. Forgotten only where the processor has it and says that nobody owns it.

        NotFound is no proof: another account's key gets the same answer.
        """

    def search_customer(self, credentials: Secret, *, tag: str) -> CustomerOpened | NotFound | Failure:
        """The customer with our tag, whenever it was made; NotFound proves nothing.

        The processor's index lags behind (Stripe's by a minute, an hour in an outage) and another account's key is told
        the same. It is for finding a customer again after our records were restored. Where a call was lost,
        `find_customer` looks.
        """

    def held(self, credentials: Secret, *, customer_reference: str) -> Held | NotFound | Failure:
        """What hangs on a customer. One that was deleted there holds nothing; NotFound proves nothing."""

    def forget_customer(
        self, credentials: Secret, *, customer_reference: str, key: str
    ) -> Forgotten | NotFound | Failure:
        """Delete the processor's customer and what hangs on it. Forgotten only where the processor says so.

        NotFound is no proof: another account's key gets the same answer.
        """

    def correct(
        self, credentials: Secret, *, reference: str, contact: BillingContact, key: str
    ) -> Corrected | NotFound | Failure:
        """Put the whole contact in place of what a stored card has: a field that is empty now is unset there.

        NotFound is no proof that the card is gone.
        """

    def redact(self, credentials: Secret, *, customer_reference: str, key: str) -> Redaction | Failure:
        """Begin a job that redacts a customer and all that hangs on it; nothing is redacted before it is run."""

    def run_redaction(self, credentials: Secret, *, job: str, key: str) -> Redaction | Failure:
        """Run a job that is `ready`, for good. In another state it is Refused: `redaction` says in which."""

    def redaction(self, credentials: Secret, *, job: str) -> Redaction | Failure:
        """Where a job stands. One that is validating or redacting is to be read again later."""
