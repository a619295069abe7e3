"""What Stripe's objects mean: the tables from the statuses in the SDK's own types to outcomes of the port."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from vault.personal import CardMetadata
from vault.processing.answers import (
    ActionRequired,
    Approved,
    Authorized,
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Declined,
    Failure,
    Forgotten,
    Redaction,
    Refunded,
    RefundOutcome,
    Refused,
    Stored,
    StoreOutcome,
    Unknown,
    Voided,
)
from vault.processors.stripe import shapes
from vault.processors.stripe.errors import Object, declined, dig, embedded, failure
from vault.processors.stripe.transport import Answer

Outcome = TypeVar("Outcome")
Gone = TypeVar("Gone")
UNEXPECTED = Unknown(reason="unexpected_object")
OTHER_MODE = Unknown(reason="other_mode")
SHAPELESS = (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError)
"""What reading an object raises that is not what was asked for."""


def outcome(answer: Answer | Failure, kind: str, read: Callable[[Object], Outcome]) -> Outcome | Declined | Failure:
    """What `read` makes of an answered object of that `kind`, or what the error means.

    An answer that is not what was asked for (another kind or mode, a field missing or of another type) is Unknown:
    something was done.
    """
    if not isinstance(answer, Answer):
        return answer
    if _is_of_other_mode(answer):
        return OTHER_MODE
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own bounds
        return failure(answer)
    try:
        return read(answer.body) if answer.body["object"] == kind else UNEXPECTED
    except SHAPELESS:
        return UNEXPECTED


def read_as(read: Callable[[Object], Outcome], thing: Object) -> Outcome | Unknown:
    """What `read` makes of an object out of a list; one that can't be read is Unknown."""
    try:
        return read(thing)
    except SHAPELESS:
        return UNEXPECTED


def _is_of_other_mode(answer: Answer) -> bool:
    """Whether an object in it is not of the key's mode: then it is not the answer of the account that was asked."""
    if answer.live is None or not isinstance(answer.body, dict):
        return False
    rows = answer.body.get("data")
    things = [answer.body, embedded(answer.body.get("error")), *(rows if isinstance(rows, list) else [])]
    return any(dig(thing, "livemode") is (not answer.live) for thing in things)


def definite(found: Outcome | Declined | Failure) -> Outcome | Failure:
    """Where nothing can be declined: a 402 is a refusal like any other."""
    return Refused(code=found.code) if isinstance(found, Declined) else found


def or_missing(missing: Gone, found: Outcome | Declined | Failure) -> Gone | Outcome | Failure:
    """`missing` where the account that was asked has nothing of that name; otherwise what was found."""
    met = definite(found)
    return missing if isinstance(met, Refused) and met.code == "resource_missing" else met


def customer_opened(customer: Object) -> CustomerOpened:
    """A customer as it was made or found."""
    return CustomerOpened(customer_reference=shapes.text(customer, "id"))


def stored(setup_intent: Object) -> StoreOutcome:
    """Where a SetupIntent stands, its payment method expanded."""
    return SETUP[setup_intent["status"]](setup_intent)


def charged(payment_intent: Object) -> ChargeOutcome:
    """Where a PaymentIntent stands, its latest charge expanded."""
    return PAYMENT[payment_intent["status"]](payment_intent)


def refunded(refund: Object) -> RefundOutcome:
    """Where a refund stands. `requires_action` waits for the payee, which for the port is pending."""
    return Refunded(
        reference=shapes.text(refund, "id"), amount=shapes.amount(refund, "amount"), status=REFUND[refund["status"]]
    )


def detached(method: Object) -> Forgotten | Unknown:
    """A payment method that this call took off its customer."""
    return Forgotten() if owner(method) is None else UNEXPECTED


def corrected(method: Object) -> Corrected | Unknown:
    """A payment method that this call changed."""
    return Corrected() if owner(method) else UNEXPECTED


def owner(method: Object) -> str | None:
    """The customer that a payment method is attached to."""
    return shapes.named(method, "customer")


def deleted(customer: Object) -> Forgotten | Unknown:
    """A customer that this call deleted."""
    return Forgotten() if customer["deleted"] is True else UNEXPECTED


def redaction(job: Object) -> Redaction:
    """Where a redaction job stands."""
    return Redaction(job=shapes.text(job, "id"), state=REDACTION[job["status"]])


def still_stored(method: Object) -> Stored | Forgotten:
    """A payment method as it is now; without a customer it was detached."""
    return _as_stored(method) if owner(method) else Forgotten(already=True)


def _stored(setup_intent: Object) -> Stored:
    return _as_stored(setup_intent["payment_method"])


def _as_stored(method: Object) -> Stored:
    card = method["card"]
    metadata = CardMetadata(
        brand=card["brand"],
        last4=card["last4"],
        exp_month=card["exp_month"],
        exp_year=card["exp_year"],
        funding=card.get("funding"),
        country=card.get("country"),
        fingerprint=card.get("fingerprint"),
    )
    return Stored(
        reference=shapes.text(method, "id"), card=metadata
    )  # a network transaction id comes with the first charge only


def _approved(payment_intent: Object) -> Approved:
    return Approved(
        reference=shapes.text(payment_intent, "id"),
        amount=shapes.amount(payment_intent, "amount_received"),
        network_transaction_id=_network_transaction(payment_intent),
    )


def _authorized(payment_intent: Object) -> Authorized:
    return Authorized(
        reference=shapes.text(payment_intent, "id"),
        amount=shapes.amount(payment_intent, "amount_capturable"),
        network_transaction_id=_network_transaction(payment_intent),
    )


def _network_transaction(payment_intent: Object) -> str | None:
    path = ("latest_charge", "payment_method_details", "card", "network_transaction_id")
    return cast("str | None", dig(payment_intent, *path))


def _action(intent: Object) -> ActionRequired:
    """What the shop's page needs: an address to go to, or the secret that Stripe's script takes from there."""
    action = intent["next_action"]
    if action["type"] == "redirect_to_url":
        public = {"redirect_to_url": {"url": action["redirect_to_url"]["url"]}}
    else:
        public = {"client_secret": intent["client_secret"]}
    return ActionRequired(reference=shapes.text(intent, "id"), next_action={"type": action["type"], **public})


def _failed(intent: Object) -> Declined | Unknown:
    """An intent that wants another payment method has failed, if it says why: ours are made with one."""
    error = intent.get("last_setup_error") or intent.get("last_payment_error")
    return declined(error, shapes.text(intent, "id")) if error else UNEXPECTED


def _setup_canceled(setup_intent: Object) -> Declined:
    return Declined(code="canceled", reference=shapes.text(setup_intent, "id"))


def _voided(payment_intent: Object) -> Voided:
    return Voided(reference=shapes.text(payment_intent, "id"))


def _processing(_: Object) -> Unknown:
    """Neither done nor failed yet; a later look-up knows."""
    return Unknown(reason="processing")


def _unfinished(_: Object) -> Unknown:
    """Made and not carried out, which ours never are: whoever has its secret may still do that."""
    return Unknown(reason="unconfirmed")


UNFINISHED: dict[str, Callable[[Object], Any]] = {
    "requires_action": _action,
    "requires_payment_method": _failed,
    "requires_confirmation": _unfinished,
    "processing": _processing,
}
SETUP: dict[str, Callable[[Object], StoreOutcome]] = {"succeeded": _stored, "canceled": _setup_canceled, **UNFINISHED}
PAYMENT: dict[str, Callable[[Object], ChargeOutcome]] = {
    "succeeded": _approved,
    "requires_capture": _authorized,
    "canceled": _voided,
    **UNFINISHED,
}
REFUND = {
    "pending": "pending",
    "requires_action": "pending",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
REDACTION = {
    "created": "validating",
    "validating": "validating",
    "ready": "ready",
    "redacting": "redacting",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceling": "failed",
    "canceled": "failed",
}
