"""What Stripe's objects mean: the tables from the statuses in the SDK's own types to outcomes of the port."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from vault.personal import CardMetadata
from vault.processing.processor import METADATA_KEY
from vault.processing.processor_answers import (
    ActionRequired,
    Approved,
    Authorized,
    ChargeOutcome,
    Corrected,
    CustomerOpened,
    Declined,
    Failure,
    Forgotten,
    Held,
    NotFound,
    Redaction,
    Refunded,
    RefundOutcome,
    Refused,
    Stored,
    StoreOutcome,
    Unknown,
    Voided,
)
from vault.processors.stripe_errors import Object, declined, dig, failure
from vault.processors.stripe_transport import Answer

Outcome = TypeVar("Outcome")
Gone = TypeVar("Gone")
UNEXPECTED = Unknown(reason="unexpected_object")


def outcome(answer: Answer | Failure, kind: str, read: Callable[[Object], Outcome]) -> Outcome | Declined | Failure:
    """What `read` makes of an answered object of that `kind`, or what the error means.

    An answer that is not what was asked for (another kind, a missing field) is Unknown: something was done.
    """
    if not isinstance(answer, Answer):
        return answer
    if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own bounds
        return failure(answer)
    try:
        return read(answer.body) if answer.body["object"] == kind else UNEXPECTED
    except (KeyError, TypeError, AttributeError, IndexError):
        return UNEXPECTED


def definite(found: Outcome | Declined | Failure) -> Outcome | Failure:
    """Where nothing can be declined: a 402 is a refusal like any other."""
    return Refused(code=found.code) if isinstance(found, Declined) else found


def or_gone(gone: Gone, found: Outcome | Declined | Failure) -> Gone | Outcome | Failure:
    """`gone` where what was named is not there; otherwise what was found."""
    met = definite(found)
    return gone if isinstance(met, Refused) and met.code == "resource_missing" else met


def of_money(found: Outcome | Declined | Failure) -> Outcome | Declined | Failure:
    """Unknown where the key came there before with another body: that call may have moved money, so it is looked up."""
    if isinstance(found, Refused) and found.code == "idempotency_mismatch":
        return Unknown(reason=found.code)
    return found


def customer_opened(customer: Object) -> CustomerOpened:
    """A customer as it was made or found."""
    return CustomerOpened(customer_reference=customer["id"])


def stored(setup_intent: Object) -> StoreOutcome:
    """Where a SetupIntent stands, its payment method expanded."""
    return SETUP[setup_intent["status"]](setup_intent)


def charged(payment_intent: Object) -> ChargeOutcome:
    """Where a PaymentIntent stands, its latest charge expanded."""
    return PAYMENT[payment_intent["status"]](payment_intent)


def refunded(refund: Object) -> RefundOutcome:
    """Where a refund stands. `requires_action` waits for the payee, which for the port is pending."""
    return Refunded(reference=refund["id"], amount=refund["amount"], status=REFUND[refund["status"]])


def detached(method: Object) -> Forgotten | Unknown:
    """A payment method that this call took off its customer."""
    return Forgotten() if method["customer"] is None else UNEXPECTED


def corrected(method: Object) -> Corrected | Unknown:
    """A payment method that this call changed."""
    return Corrected() if method["customer"] else UNEXPECTED


def owner(method: Object) -> str | None:
    """The customer that a payment method is attached to."""
    return cast("str | None", method["customer"])


def deleted(customer: Object) -> Forgotten | Unknown:
    """A customer that this call deleted."""
    return Forgotten() if customer["deleted"] else UNEXPECTED


def redaction(job: Object) -> Redaction:
    """Where a redaction job stands."""
    return Redaction(job=job["id"], state=REDACTION[job["status"]])


def counted() -> Callable[[Object], Held | str]:
    """Counts the subscriptions of one page after another, of which it wants the next by the last id of this."""
    seen = 0

    def look(page: Object) -> Held | str:
        nonlocal seen
        seen += len(page["data"])
        return str(page["data"][-1]["id"]) if page["has_more"] else Held(subscriptions=seen)

    return look


def in_page(tag: str, read: Callable[[Object], Outcome]) -> Callable[[Object], Outcome | NotFound | str]:
    """Reads a page of a list: what the object with our tag means, or the id after which the next page begins."""

    def look(page: Object) -> Outcome | NotFound | str:
        ours = [each for each in page["data"] if dig(each, "metadata", METADATA_KEY) == tag]
        if ours:
            return read(ours[0])
        return str(page["data"][-1]["id"]) if page["has_more"] else NotFound()

    return look


def still_stored(method: Object) -> Stored | Forgotten:
    """A payment method as it is now; without a customer it was detached."""
    return _as_stored(method) if method["customer"] else Forgotten(already=True)


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
    return Stored(reference=method["id"], card=metadata)  # a network transaction id comes with the first charge only


def _approved(payment_intent: Object) -> Approved:
    return Approved(
        reference=payment_intent["id"],
        amount=payment_intent["amount_received"],
        network_transaction_id=_network_transaction(payment_intent),
    )


def _authorized(payment_intent: Object) -> Authorized:
    return Authorized(
        reference=payment_intent["id"],
        amount=payment_intent["amount_capturable"],
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
    return ActionRequired(reference=intent["id"], next_action={"type": action["type"], **public})


def _failed(intent: Object) -> Declined | Unknown:
    """An intent that wants another payment method has failed, if it says why: ours are made with one."""
    error = intent.get("last_setup_error") or intent.get("last_payment_error")
    return declined(error, intent["id"]) if error else UNEXPECTED


def _setup_canceled(setup_intent: Object) -> Declined:
    return Declined(code="canceled", reference=setup_intent["id"])


def _voided(payment_intent: Object) -> Voided:
    return Voided(reference=payment_intent["id"])


def _processing(_: Object) -> Unknown:
    """Neither done nor failed yet; a later look-up knows."""
    return Unknown(reason="processing")


UNFINISHED: dict[str, Callable[[Object], Any]] = {
    "requires_action": _action,
    "requires_payment_method": _failed,
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
