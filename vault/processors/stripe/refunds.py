"""Stripe's Refunds."""

from vault.processing.answers import (
    Failure,
    Marks,
    NotFound,
    NotReached,
    Refunded,
    RefundOutcome,
    RefundSeen,
    Refused,
)
from vault.processors.stripe import lists, marks, outcomes, payments, shapes
from vault.processors.stripe.errors import Object
from vault.processors.stripe.outcomes import REFUND, definite, outcome
from vault.processors.stripe.replays import unless_stale
from vault.processors.stripe.transport import Line, segment

REFUNDS = "/v1/refunds"


def make(
    line: Line, reference: str, amount: int | None, currency: str | None, reason: str | None, of: Marks, key: str
) -> RefundOutcome:
    """Refund a PaymentIntent; `reason` is one of Stripe's three, any other is refused there."""
    there = payments.amount_there(line, reference, amount, currency) if amount is not None else None
    if isinstance(there, Refused | NotReached):
        return there
    params = {"payment_intent": reference, "amount": there, "reason": reason, "metadata": marks.metadata(of)}
    answer = line.post(REFUNDS, params, key)
    met = outcome(answer, "refund", outcomes.refunded)
    return unless_stale(answer, met, lambda name: read(line, name), _gives_back)


def read(line: Line, reference: str) -> RefundOutcome:
    """Retrieve a Refund."""
    return outcome(line.get(f"{REFUNDS}/{segment(reference)}", {}), "refund", outcomes.refunded)


def find(line: Line, own_id: str, reference: str) -> RefundOutcome | NotFound:
    """Among the payment's refunds: one that gives money back counts before those that failed."""
    rows = lists.ours(line, REFUNDS, {"payment_intent": reference}, own_id)
    if not isinstance(rows, list):
        return rows
    found = [outcomes.read_as(outcomes.refunded, row) for row in rows]
    return lists.one_of(found, lambda each: _gives_back(each) or not isinstance(each, Refunded))


def of_payment(line: Line, reference: str) -> list[RefundSeen] | Failure:
    """List a PaymentIntent's refunds."""
    return definite(lists.read_all(line, REFUNDS, {"payment_intent": reference}, _seen))


def _gives_back(met: RefundOutcome) -> bool:
    return isinstance(met, Refunded) and met.status != "failed"


def _seen(refund: Object) -> RefundSeen:
    return RefundSeen(
        reference=shapes.text(refund, "id"),
        marks=marks.read(refund),
        amount=shapes.amount(refund, "amount"),
        status=REFUND[refund["status"]],
        at=shapes.moment(refund, "created"),
    )
