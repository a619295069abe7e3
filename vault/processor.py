"""The port to a payment processor: small enough that the weakest one can keep it.

Business outcomes are returned values, never exceptions; no vendor type or exception crosses the port. Every method
sends the idempotency key that the intent fixed (a method of several calls appends a phase to it), puts `tag` into the
processor object's metadata under `panless`, and has a stated timeout, shorter than an intent's lease.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from vault.personal import BillingContact, Card, CardMetadata, Secret

METADATA_KEY = "panless"
"""Where our tag stands in the metadata of the processor's objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerOpened:
    """The processor has a customer for ours."""

    customer_reference: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The processor keeps the card for off-session use; `reference` is what charges name."""

    reference: str = field(repr=False)
    card: CardMetadata
    network_transaction_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """Money moved. `reference` is the processor's payment, what refunds name."""

    reference: str = field(repr=False)
    amount: int
    network_transaction_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorized:
    """The issuer holds `amount` (minor units) for us; nothing moved. It is captured, whole or in part, or voided."""

    reference: str = field(repr=False)
    amount: int
    network_transaction_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voided:
    """The payment was called off before money moved, by us, by somebody else, or by time."""

    reference: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunded:
    """The processor took the refund on; `status` is `pending`, `succeeded` or `failed`."""

    reference: str = field(repr=False)
    amount: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """The issuer or the processor said no. Definite: nothing was stored, no money moved."""

    code: str
    decline_code: str | None = None
    advice_code: str | None = None
    network_decline_code: str | None = None
    reference: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequired:
    """The person must authenticate; `reference` resumes it. `next_action` goes to the client as it is."""

    reference: str = field(repr=False)
    next_action: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The processor refused the request itself (its 400, 401, 403, 404). Definite: nothing happened.

    `code` is ours or the processor's, never its message: that may quote what was sent.
    `credentials` says that the processor account's own key was refused.
    """

    code: str
    param: str | None = None
    credentials: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotReached:
    """This call certainly did nothing (refused connection, 429): it may be sent again with the same key."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody here knows what this call did (timeout, reset, 5xx, nonsense). Look it up, never guess.

    `in_flight`: the processor says that the same key is being worked on now (its 409); the same call may be sent again.
    """

    reason: str
    in_flight: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """The processor no longer has it; `already` when it said that it was gone before."""

    already: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """The processor has the new contact in place of the old; `already_gone` when it no longer has the card."""

    already_gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """A job that takes a person's data out of what the processor must keep; `job` resumes it.

    `state` is `validating`, `ready` (to be run), `redacting`, `succeeded` or `failed`: what it names can't be redacted
    now, which may change with time (Stripe: 90 days after the last charge). Ask for another job then.
    """

    job: str = field(repr=False)
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What hangs on the processor's customer and ends with it: subscriptions that are not cancelled."""

    subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A genuine webhook: its event, and the processor's names of what it is about, where it is about such."""

    event: str
    type: str
    payment: str | None = field(default=None, repr=False)
    method: str | None = field(default=None, repr=False)
    dispute: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSeen:
    """A refund as the processor lists it; `tag` is ours where it is one of ours, `status` as in `Refunded`."""

    reference: str = field(repr=False)
    amount: int
    status: str
    tag: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A dispute as it stands: one of `OPEN_DISPUTES`, or `won`, `lost`, `warning_closed`, `prevented`."""

    reference: str = field(repr=False)
    payment: str = field(repr=False)
    status: str
    amount: int
    currency: str
    reason: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as the processor lists it: `succeeded`, `authorized`, `open` or `failed`; amounts in minor units.

    `tag` is ours where we made it.
    """

    reference: str = field(repr=False)
    tag: str | None
    status: str
    captured: int
    refunded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPage:
    """Some of a list; `after` is where the next page begins, None on the last."""

    payments: list[Payment]
    after: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotFound:
    """Looked up: the processor has no object with that tag."""


Failure = Refused | NotReached | Unknown
StoreOutcome = Stored | ActionRequired | Declined | Failure
ChargeOutcome = Approved | Authorized | ActionRequired | Voided | Declined | Failure
RefundOutcome = Refunded | Declined | Failure


class Processor(Protocol):
    """One kind of processor. `credentials` is the account's secret key, `key` the intent's idempotency key."""

    kind: str
    abilities: frozenset[str]
    """Declared, never faked: some of `raw_cards`, `processor_reference`, `setup_authentication`, `manual_capture`,
    `partial_refund` and `redaction`, of which one account may lack what its processor has: it is Refused with
    `redaction_unavailable`."""

    def open_customer(self, credentials: Secret, *, tag: str, key: str) -> CustomerOpened | Failure:
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
    ) -> StoreOutcome:
        """Keep a card (or adopt the processor's own reference to one) for `usage` `on_session` or `off_session`."""

    def confirm(self, credentials: Secret, *, reference: str, key: str) -> StoreOutcome:
        """Where a storing that needed authentication stands now."""

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

    def refund(
        self, credentials: Secret, *, reference: str, amount: int | None, reason: str | None, tag: str, key: str
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

    def list_payments(
        self, credentials: Secret, *, since: datetime, until: datetime, after: str | None
    ) -> PaymentPage | Failure:
        """The account's payments that were made in that time, whoever made them; the page that begins `after`."""

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
