"""What privacy asks of Stripe for a customer and its cards: to correct them, to say what hangs on them, to let them go.

Deleting a customer leaves its charges as they are: see `stripe_redaction`.
"""

from collections.abc import Callable

from vault.personal import BillingContact, Secret
from vault.processing.processor import METADATA_KEY
from vault.processing.processor_answers import (
    Corrected,
    CustomerOpened,
    Declined,
    Failure,
    Forgotten,
    Held,
    NotFound,
    Refused,
    Unknown,
)
from vault.processors import stripe_outcomes as outcomes
from vault.processors.stripe_contact import whole_billing_details
from vault.processors.stripe_errors import Object
from vault.processors.stripe_lists import look_through
from vault.processors.stripe_outcomes import Outcome, definite, in_page, or_gone, outcome
from vault.processors.stripe_transport import Wire, segment


def search_customer(wire: Wire, credentials: Secret, tag: str) -> CustomerOpened | NotFound | Failure:
    """By Stripe's search, which disregards case: the tag is looked at again. Accounts in India don't have it."""
    query = {"query": f'metadata["{METADATA_KEY}"]:"{tag}"'}
    answer = wire.send("get", "/v1/customers/search", query, credentials=credentials.value)
    look: Callable[[Object], CustomerOpened | NotFound | str] = in_page(tag, outcomes.customer_opened)
    found: CustomerOpened | NotFound | str | Failure = definite(outcome(answer, "search_result", look))
    if isinstance(found, str):  # there is another page, which none of ours ever fills
        return Unknown(reason="too_many_to_look_through")
    return found


def held(wire: Wire, credentials: Secret, customer_reference: str) -> Held | Failure:
    """The customer's subscriptions, as Stripe lists them unasked: without those that were cancelled."""
    params = {"customer": customer_reference}
    found = look_through(wire, credentials, "/v1/subscriptions", params, outcomes.counted())
    return or_gone(Held(subscriptions=0), found)


def correct(wire: Wire, credentials: Secret, reference: str, contact: BillingContact, key: str) -> Corrected | Failure:
    """Update the payment method."""
    path = f"/v1/payment_methods/{segment(reference)}"
    answer = wire.send("post", path, whole_billing_details(contact), credentials=credentials.value, key=key)
    corrected = outcome(answer, "payment_method", outcomes.corrected)
    return _unless_detached(wire, credentials, path, corrected, Corrected(already_gone=True))


def forget(wire: Wire, credentials: Secret, reference: str, key: str) -> Forgotten | Failure:
    """Detach the payment method, which can't be undone."""
    path = f"/v1/payment_methods/{segment(reference)}"
    answer = wire.send("post", path + "/detach", {}, credentials=credentials.value, key=key)
    detached = outcome(answer, "payment_method", outcomes.detached)
    return _unless_detached(wire, credentials, path, detached, Forgotten(already=True))


def forget_customer(wire: Wire, credentials: Secret, customer_reference: str) -> Forgotten | Failure:
    """Delete the customer, which detaches its payment methods and cancels its subscriptions."""
    path = f"/v1/customers/{segment(customer_reference)}"
    answer = wire.send("delete", path, {}, credentials=credentials.value)
    return or_gone(Forgotten(already=True), outcome(answer, "customer", outcomes.deleted))


def _unless_detached(
    wire: Wire, credentials: Secret, path: str, done: Outcome | Declined | Failure, gone: Outcome
) -> Outcome | Failure:
    """What was done to a payment method, or `gone`: no customer has it.

    What a detached one can't do any more is a 400 without a code, so after a 400 we look whose it is now.
    """
    met = or_gone(gone, done)
    if not isinstance(met, Refused):
        return met
    answer = wire.send("get", path, {}, credentials=credentials.value)
    owner = or_gone(None, outcome(answer, "payment_method", outcomes.owner))
    if owner is None:
        return gone
    return met if isinstance(owner, str) else owner
