"""What privacy asks of Stripe for a customer and its cards: to correct them, to say what hangs on them, to let them go.

Gone is only what Stripe says is gone: a deleted customer is read as `deleted: true`, a detached payment method as one
whose `customer` is null. A 404 is what any other account's key gets, and proves nothing. Deleting a customer leaves its
charges as they are: see `redaction`.
"""

from datetime import datetime
from typing import TypeVar

from vault.personal import BillingContact
from vault.processing.answers import (
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
from vault.processing.processor import METADATA_KEY
from vault.processors.stripe import lists, marks, outcomes, shapes
from vault.processors.stripe.contact import whole_billing_details
from vault.processors.stripe.errors import Object
from vault.processors.stripe.outcomes import UNEXPECTED, definite, or_missing, outcome
from vault.processors.stripe.storing import CUSTOMERS, METHODS
from vault.processors.stripe.transport import Line, segment

Done = TypeVar("Done")


def find_customer(line: Line, own_id: str, since: datetime) -> CustomerOpened | NotFound | Failure:
    """Among the customers made since. Of several the oldest: they are all our one customer's, and empty."""
    rows = lists.ours(line, CUSTOMERS, lists.made(since), own_id)
    if not isinstance(rows, list):
        return rows
    return definite(outcomes.read_as(outcomes.customer_opened, rows[-1])) if rows else NotFound()


def search_customer(line: Line, tag: str) -> CustomerOpened | NotFound | Failure:
    """By Stripe's search, which disregards case: the tag is looked at again. Accounts in India don't have it."""
    query = {"query": f'metadata["{METADATA_KEY}"]:"{tag}"'}
    return definite(outcome(line.get(CUSTOMERS + "/search", query), "search_result", lambda page: _in_page(page, tag)))


def held(line: Line, customer: str) -> Held | NotFound | Failure:
    """The customer's subscriptions, as Stripe lists them unasked: without those that were cancelled."""
    rows = lists.read_all(line, "/v1/subscriptions", {"customer": customer}, lambda row: shapes.text(row, "id"))
    if isinstance(rows, list):
        return Held(subscriptions=len(rows))
    return _unless_deleted(line, customer, definite(rows), Held(subscriptions=0))


def correct(line: Line, reference: str, contact: BillingContact, key: str) -> Corrected | NotFound | Failure:
    """Update the payment method."""
    answer = line.post(_method(reference), whole_billing_details(contact), key)
    corrected = outcome(answer, "payment_method", outcomes.corrected)
    return _unless_detached(line, reference, corrected, Corrected(already_gone=True))


def forget(line: Line, reference: str, key: str) -> Forgotten | NotFound | Failure:
    """Detach the payment method, which can't be undone."""
    answer = line.post(_method(reference) + "/detach", {}, key)
    detached = outcome(answer, "payment_method", outcomes.detached)
    return _unless_detached(line, reference, detached, Forgotten(already=True))


def forget_customer(line: Line, customer: str) -> Forgotten | NotFound | Failure:
    """Delete the customer, which detaches its payment methods and cancels its subscriptions."""
    answer = line.delete(f"{CUSTOMERS}/{segment(customer)}")
    met = definite(outcome(answer, "customer", outcomes.deleted))
    return _unless_deleted(line, customer, met, Forgotten(already=True))


def _unless_detached(
    line: Line, reference: str, done: Done | Declined | Failure, gone: Done
) -> Done | NotFound | Failure:
    """What was done to a payment method, or `gone`: Stripe has it, and no customer does.

    What a detached one can't do any more is a 400 without a code, so after a refusal we look whose it is now.
    """
    met = definite(done)
    if not isinstance(met, Refused) or met.credentials:
        return met
    owner = definite(outcome(line.get(_method(reference), {}), "payment_method", outcomes.owner))
    if owner is None:
        return gone
    return met if isinstance(owner, str) else or_missing(NotFound(), owner)


def _unless_deleted(line: Line, customer: str, met: Done | Failure, gone: Done) -> Done | NotFound | Failure:
    """What was met, or `gone` where that was a 404 and Stripe says that the customer was deleted."""
    if not isinstance(met, Refused) or met.code != "resource_missing":
        return met
    found = outcome(line.get(f"{CUSTOMERS}/{segment(customer)}", {}), "customer", _is_deleted)
    if isinstance(found, bool):
        return gone if found else UNEXPECTED  # it is there after all
    return or_missing(NotFound(), found)


def _is_deleted(customer: Object) -> bool:
    shapes.text(customer, "id")
    return customer.get("deleted") is True


def _in_page(page: Object, tag: str) -> CustomerOpened | NotFound | Unknown:
    for row in page["data"]:
        found = marks.read(row)
        if found is not None and found.tag == tag:
            return outcomes.customer_opened(row)
    # Another page there is only where others' tags differ from ours in case alone.
    return Unknown(reason="too_many_to_look_through") if page["has_more"] else NotFound()


def _method(reference: str) -> str:
    return f"{METHODS}/{segment(reference)}"
