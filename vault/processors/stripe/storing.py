"""Cards: a PaymentMethod, attached to the customer by a SetupIntent."""

from datetime import datetime

from vault.personal import BillingContact, Card
from vault.processing.answers import (
    ActionRequired,
    Declined,
    Failure,
    Forgotten,
    Made,
    MadePage,
    Marks,
    NotFound,
    NotReached,
    Stored,
    StoreOutcome,
    Unknown,
)
from vault.processors.stripe import lists, marks, outcomes, shapes
from vault.processors.stripe.contact import billing_details
from vault.processors.stripe.errors import Object
from vault.processors.stripe.outcomes import definite, or_missing, outcome
from vault.processors.stripe.replays import unless_stale
from vault.processors.stripe.transport import Line, segment

SETUPS, CUSTOMERS, METHODS = "/v1/setup_intents", "/v1/customers", "/v1/payment_methods"
CARDS: Object = {"allowed_payment_method_types": ["card"]}  # `payment_method_types` is a 400 since the version "endive"
BY_PAGE: Object = {"use_stripe_sdk": True}  # the shop's page authenticates, with Stripe's script, and needs no address
WITH_METHOD: Object = {"expand": ["payment_method"]}
LOST = ("timeout", "connection_lost")
LISTED = {"customer": CUSTOMERS, "card": SETUPS}


def store(line: Line, method: str, customer: str, usage: str, of: Marks, key: str) -> StoreOutcome:
    """A SetupIntent confirmed at once, which attaches the payment method to the customer."""
    params = {
        "customer": customer,
        "payment_method": method,
        "usage": usage,
        "confirm": True,
        **CARDS,
        **BY_PAGE,
        **WITH_METHOD,
        "metadata": marks.metadata(of),
    }
    answer = line.post(SETUPS, params, key)
    met = outcome(answer, "setup_intent", outcomes.stored)
    return unless_stale(answer, met, lambda name: read(line, name), _stands)


def read(line: Line, reference: str) -> StoreOutcome:
    """Retrieve a SetupIntent."""
    return outcome(line.get(f"{SETUPS}/{segment(reference)}", WITH_METHOD), "setup_intent", outcomes.stored)


def read_stored(line: Line, reference: str) -> Stored | Forgotten | NotFound | Failure:
    """Retrieve a PaymentMethod."""
    answer = line.get(f"{METHODS}/{segment(reference)}", {})
    return or_missing(NotFound(), outcome(answer, "payment_method", outcomes.still_stored))


def call_off(line: Line, reference: str, key: str) -> StoreOutcome:
    """Cancel a SetupIntent, which is final."""
    params = {"cancellation_reason": "abandoned", **WITH_METHOD}
    answer = line.post(f"{SETUPS}/{segment(reference)}/cancel", params, key)
    met = outcome(answer, "setup_intent", outcomes.stored)
    return unless_stale(answer, met, lambda name: read(line, name), _is_final)


def _is_final(met: StoreOutcome) -> bool:
    return isinstance(met, Stored | Declined)


def _stands(met: StoreOutcome) -> bool:
    return isinstance(met, Stored | ActionRequired)


def tokenize(line: Line, card: Card, contact: BillingContact | None, of: Marks, key: str) -> str | Declined | Failure:
    """A PaymentMethod of a raw card.

    A lost answer is NotReached here: all that may be there is an unattached payment method, which nothing can charge.
    An answered 500 stays Unknown; the look-up finds no SetupIntent and ends it.
    """
    number = {"number": card.number, "exp_month": card.exp_month, "exp_year": card.exp_year, "cvc": card.cvc}
    params = {"type": "card", "card": number, "metadata": marks.metadata(of), **billing_details(contact)}
    method = outcome(line.post(METHODS, params, key), "payment_method", lambda made: shapes.text(made, "id"))
    if isinstance(method, Unknown) and method.reason in LOST:
        return NotReached(reason=method.reason)
    return method


def find(line: Line, own_id: str, customer: str, since: datetime) -> StoreOutcome | NotFound:
    """Among the customer's SetupIntents: one that stored a card counts before one that is open, that before the others.

    A payment method without a SetupIntent was never attached, and is nothing.
    """
    params = {"customer": customer, "expand": ["data.payment_method"], **lists.made(since)}
    rows = lists.ours(line, SETUPS, params, own_id)
    if not isinstance(rows, list):
        return rows
    found = [outcomes.read_as(outcomes.stored, row) for row in rows]
    return lists.one_of(
        found, lambda each: isinstance(each, Stored), lambda each: isinstance(each, ActionRequired | Unknown)
    )


def list_made(line: Line, kind: str, since: datetime, after: str | None) -> MadePage | Failure:
    """List Customers or SetupIntents by when they were made."""
    params = {**lists.made(since), "limit": lists.PAGE, "starting_after": after}
    return definite(outcome(line.get(LISTED[kind], params), "list", lambda listed: _page(kind, listed)))


def _page(kind: str, listed: Object) -> MadePage:
    """A page of a list: of what it has, the objects with our marks."""
    rows = [(row, found) for row in listed["data"] if (found := marks.read(row)) is not None]
    return MadePage(made=[_made(kind, row, found) for row, found in rows], after=lists.after(listed))


def _made(kind: str, thing: Object, found: Marks) -> Made:
    is_customer = kind == "customer"
    return Made(
        kind=kind,
        reference=shapes.text(thing, "id"),
        marks=found,
        customer=shapes.text(thing, "id") if is_customer else shapes.named(thing, "customer"),
        method=None if is_customer else shapes.named(thing, "payment_method"),
        at=shapes.moment(thing, "created"),
    )
