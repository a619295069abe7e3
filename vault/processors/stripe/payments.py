"""Stripe's PaymentIntents: made, captured, called off, read, listed."""

from datetime import datetime

from vault.processing.answers import (
    ActionRequired,
    Approved,
    Authorized,
    ChargeOutcome,
    Failure,
    NotReached,
    Payment,
    PaymentPage,
    Refused,
    Unknown,
    Voided,
)
from vault.processors.stripe import lists, marks, outcomes, shapes, units
from vault.processors.stripe.errors import Object, dig
from vault.processors.stripe.outcomes import definite, outcome, read_as
from vault.processors.stripe.replays import unless_stale
from vault.processors.stripe.transport import Answer, Line, segment

INTENTS = "/v1/payment_intents"
WITH_CHARGE: Object = {"expand": ["latest_charge"]}
STANDS = (Approved, Authorized, ActionRequired)
"""What a payment may be found to be after a replay; what came to nothing is to be looked up."""


def make(line: Line, amount: int, currency: str, params: Object, key: str) -> ChargeOutcome:
    """Make and confirm a PaymentIntent in one call. One that is `processing` is Unknown: a look-up will know."""
    if (refused := _misfit(amount, currency)) is not None:
        return refused
    order = {"amount": units.theirs(amount, currency), "currency": currency, **params, **WITH_CHARGE}
    return _changed(line, line.post(INTENTS, order, key), STANDS)


def capture(line: Line, reference: str, amount: int, currency: str | None, key: str) -> ChargeOutcome:
    """Capture a PaymentIntent; what is not captured is released."""
    there = amount_there(line, reference, amount, currency)
    if not isinstance(there, int):
        return there
    params = {"amount_to_capture": there, **WITH_CHARGE}
    return _changed(line, line.post(f"{_path(reference)}/capture", params, key), STANDS)


def void(line: Line, reference: str, key: str) -> ChargeOutcome:
    """Cancel a PaymentIntent, which is final."""
    return _changed(line, line.post(f"{_path(reference)}/cancel", WITH_CHARGE, key), (*STANDS, Voided))


def read(line: Line, reference: str) -> ChargeOutcome:
    """Retrieve a PaymentIntent."""
    return outcome(line.get(_path(reference), WITH_CHARGE), "payment_intent", outcomes.charged)


def amount_there(line: Line, reference: str, amount: int, currency: str | None) -> int | Refused | NotReached:
    """An amount of a payment as Stripe counts it; its currency is asked for where it isn't known.

    A failure here is one before anything was sent that changes something, so that none is Unknown.
    """
    known = currency if currency is not None else _currency(line, reference)
    if not isinstance(known, str):
        return NotReached(reason=known.reason) if isinstance(known, Unknown) else known
    refused = _misfit(amount, known)
    return units.theirs(amount, known) if refused is None else refused


def read_whole(line: Line, reference: str) -> Payment | Failure:
    """Retrieve a PaymentIntent, as the list has it."""
    return definite(outcome(line.get(_path(reference), WITH_CHARGE), "payment_intent", payment))


def list_made(line: Line, since: datetime, until: datetime | None, after: str | None) -> PaymentPage | Failure:
    """List PaymentIntents by when they were made."""
    made = {"gte": int(since.timestamp()), "lt": None if until is None else int(until.timestamp())}
    params = {"created": made, "limit": lists.PAGE, "starting_after": after, "expand": ["data.latest_charge"]}
    return definite(outcome(line.get(INTENTS, params), "list", page))


def _currency(line: Line, reference: str) -> str | Failure:
    answer = line.get(_path(reference), {})
    return definite(outcome(answer, "payment_intent", lambda intent: shapes.text(intent, "currency")))


def page(listed: Object) -> PaymentPage:
    """A page of the list, each payment's latest charge expanded."""
    return PaymentPage(payments=[payment(each) for each in listed["data"]], after=lists.after(listed))


def _changed(line: Line, answer: Answer | Failure, stands: tuple[type, ...]) -> ChargeOutcome:
    met = outcome(answer, "payment_intent", outcomes.charged)
    return unless_stale(answer, met, lambda name: read(line, name), lambda now: isinstance(now, stands))


def payment(intent: Object) -> Payment:
    """A PaymentIntent as the list has it.

    One of ours must be as ours are; another's amount may be in what has no ISO 4217 unit, and stays so.
    """
    found = marks.read(intent)
    amount = shapes.whole if found is None and not _is_expressible(intent) else shapes.amount
    charge = intent.get("latest_charge")
    is_paid = intent["status"] == "succeeded"
    refunded = amount(charge, "amount_refunded") if is_paid and isinstance(charge, dict) else 0
    return Payment(
        reference=shapes.text(intent, "id"),
        marks=found,
        outcome=read_as(outcomes.charged, intent),
        amount=amount(intent, "amount"),
        currency=shapes.text(intent, "currency"),
        captured=amount(intent, "amount_received"),
        refunded=refunded,
        manual=intent["capture_method"] == "manual",
        customer=shapes.named(intent, "customer"),
        method=shapes.named(intent, "payment_method"),
        at=shapes.moment(intent, "created"),
    )


def _is_expressible(intent: Object) -> bool:
    things = (
        (intent, "amount"),
        (intent, "amount_received"),
        (dig(intent, "latest_charge") or {}, "amount_refunded"),
    )
    try:
        for thing, name in things:
            if name in thing:
                shapes.amount(thing, name)
    except ValueError:
        return False
    return True


def _misfit(amount: int, currency: str) -> Refused | None:
    met = units.misfit(amount, currency)
    return Refused(code=f"{met.field}_misfit", param=met.field) if met is not None else None


def _path(reference: str) -> str:
    return f"{INTENTS}/{segment(reference)}"
