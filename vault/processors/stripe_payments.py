"""Stripe's PaymentIntents as a list of payments, for who compares it with ours."""

from vault.processing.processor import METADATA_KEY
from vault.processing.processor_answers import Payment, PaymentPage
from vault.processors.stripe_errors import Object, dig

STATUS = {"succeeded": "succeeded", "requires_capture": "authorized", "canceled": "failed"}
OPEN = ("processing", "requires_action", "requires_confirmation")


def page(listed: Object) -> PaymentPage:
    """A page of the list, each payment's latest charge expanded."""
    found = [payment(each) for each in listed["data"]]
    return PaymentPage(payments=found, after=found[-1].reference if listed["has_more"] else None)


def payment(intent: Object) -> Payment:
    """A PaymentIntent as it stands, its latest charge expanded."""
    status = intent["status"]
    return Payment(
        reference=intent["id"],
        tag=dig(intent, "metadata", METADATA_KEY),
        status=STATUS.get(status, "open" if status in OPEN else "failed"),
        captured=intent["amount_received"],
        refunded=dig(intent, "latest_charge", "amount_refunded") or 0 if status == "succeeded" else 0,
    )
