"""What a processor answers, in our words: business outcomes as values, and no vendor's type among them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vault.personal import CardMetadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """The three opaque words that each object of ours carries at a processor, and nothing else of ours.

    `tag` tells a tenant's objects, `id` is our id of the object, `obligation` is the digest of what a payment is for
    in hex, None where it is for nothing named. `id` is empty on objects that were made before objects had one.
    """

    tag: str
    id: str
    obligation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The processor's own id of the account that a key opens."""

    own_id: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burnt:
    """The key is used up at the processor; `replayed` when a burn of it was answered before this one."""

    replayed: bool


@dataclass(frozen=True, slots=True)
class KeyTaken:
    """The key came to the processor before with another call, of which this says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Misfit:
    """An order that the processor can't express: `field` is `amount` or `currency`, `message` a sentence on why."""

    field: str
    message: str


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
    """This call certainly did nothing: its connection was refused before a byte, or a limit turned it away."""

    reason: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody here knows what this call did (timeout, reset, 5xx, nonsense). Look it up, never guess.

    `in_flight`: the processor says that the same key is being worked on now (its 409). `replayed` as the reason: what
    it kept of an earlier call with that key came back, which does not say how things stand.
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
    setup: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundSeen:
    """A refund as the processor lists it; `marks` are ours where it is one of ours, `status` as in `Refunded`."""

    reference: str = field(repr=False)
    marks: Marks | None
    amount: int
    status: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Disputed:
    """A dispute as it stands, in the processor's word; `CLOSED_DISPUTES` says which of them end one."""

    reference: str = field(repr=False)
    payment: str = field(repr=False)
    status: str
    amount: int
    currency: str
    reason: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A payment as the processor lists it, whoever made it; `marks` are ours where we did. Amounts in minor units.

    `outcome` is what reading it says; `manual` when it is captured in a step of its own; `customer` and `method` are
    the processor's names.
    """

    reference: str = field(repr=False)
    marks: Marks | None
    outcome: "ChargeOutcome"
    amount: int
    currency: str
    captured: int
    refunded: int
    manual: bool
    customer: str | None = field(repr=False)
    method: str | None = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentPage:
    """Some of a list; `after` is where the next page begins, None on the last."""

    payments: list[Payment]
    after: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A `customer` or a `card` of ours there, and when it was made.

    `customer` and `method` are the processor's names of the customer it is or belongs to and of the payment method.
    """

    kind: str
    reference: str = field(repr=False)
    marks: Marks
    customer: str | None = field(repr=False)
    method: str | None = field(repr=False)
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePage:
    """Some of a list; `after` is where the next page begins, None on the last."""

    made: list[Made]
    after: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotFound:
    """Looked up: the processor has no such object with our marks. What it says holds for the account that was asked."""


Failure = Refused | NotReached | Unknown
StoreOutcome = Stored | ActionRequired | Declined | Failure
ChargeOutcome = Approved | Authorized | ActionRequired | Voided | Declined | Failure
RefundOutcome = Refunded | Declined | Failure
