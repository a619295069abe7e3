"""What the complete list of a processor account's payments says of a charge whose outcome is unknown.

Rules only: no database, no processor. `unknown_charges` lists, asks here, and does what it is told;
`tests/vault/test_unknown_decisions.py` asks the same functions over all orders in which servers, crashes and lost
histories can take the steps between. That each rule is needed was shown by explicit-state models (docs/decisions/0031).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from vault.processing.answers import (
    ActionRequired,
    Approved,
    Authorized,
    Burnt,
    Declined,
    KeyTaken,
    Payment,
    Voided,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverCharged:
    """No call of this charge was carried out, and none will be: its obligation is free again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidElsewhere:
    """The obligation was paid by another charge: this one took nothing and is never counted."""

    charge_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The payments of the list that are this charge's own, and those that others made for the same obligation."""

    own: Sequence[Payment] = ()
    others: Sequence[Payment] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclude:
    """The charge came to this end, or waits for its person; the object itself is read before it is believed."""

    payment: Payment = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOff:
    """Another charge paid, and this one could still be paid, too: it is called off, and looked at again."""

    payment: Payment = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wait:
    """Something is under way that decides it; look again later."""


@dataclass(frozen=True, slots=True)
class Burn:
    """Nothing is there: make sure that nothing comes, by using the key up."""


@dataclass(frozen=True, slots=True)
class NextKey:
    """The key is used up, and nobody says by whom: the next one is burnt, too."""


Decision = Conclude | CallOff | PaidElsewhere | NeverCharged | Wait | Burn | NextKey
PAID, OPEN = (Approved, Authorized), (ActionRequired,)
ENDED = (Declined, Voided)


def decide(seen: Seen, burnt: Literal["fresh", "used"] | None, *, has_number: bool, is_settled: bool) -> Decision:
    """What is to be done about a charge of which `seen` is all that the account's list has.

    `burnt` says what burning its key came to, `is_settled` whether the list has whatever a used key did by now,
    `has_number` whether there is a next key. Money that moved wins; two payments that moved it are a contradiction,
    which no rule decides.
    """
    paid = [each for each in seen.own if isinstance(each.outcome, PAID)]
    if len(paid) > 1:
        return Wait()
    other = next((each for each in seen.others if isinstance(each.outcome, PAID)), None)
    if paid and (other is None or isinstance(paid[0].outcome, Approved)):
        return Conclude(payment=paid[0])
    if other is not None:
        return _paid_by(other, seen)
    return _unpaid(seen, burnt, has_number=has_number, is_settled=is_settled)


def _paid_by(other: Payment, seen: Seen) -> Decision:
    """Another's payment paid: what of this charge could still be paid is called off first."""
    live = next((each for each in seen.own if not isinstance(each.outcome, ENDED)), None)
    if live is not None:
        return CallOff(payment=live) if isinstance(live.outcome, (*OPEN, Authorized)) else Wait()
    return PaidElsewhere(charge_id=other.marks.id) if other.marks else Wait()


def _unpaid(seen: Seen, burnt: Literal["fresh", "used"] | None, *, has_number: bool, is_settled: bool) -> Decision:
    waiting = next((each for each in seen.own if isinstance(each.outcome, OPEN)), None)
    if waiting is not None:
        return Conclude(payment=waiting)
    if not all(isinstance(each.outcome, ENDED) for each in (*seen.own, *seen.others)):
        return Wait()
    return Conclude(payment=seen.own[0]) if seen.own else _absent(burnt, has_number=has_number, is_settled=is_settled)


def _absent(burnt: Literal["fresh", "used"] | None, *, has_number: bool, is_settled: bool) -> Decision:
    if burnt is None:
        return Burn()
    if burnt == "fresh":
        return NeverCharged()
    if not is_settled:
        return Wait()
    return NextKey() if has_number else NeverCharged()


def after_burn(answer: object) -> tuple[Literal["fresh", "used"] | None, bool]:
    """What a burn's answer makes of the key, and whether the list must settle before that is believed.

    Only a 200 that is no replay proves that nothing was ever done under the key. A replay says that somebody burnt it
    before and may have gone on with the next; a 400 that something else was done under it, perhaps just now. Any other
    answer proves nothing: the same burn is sent again.
    """
    match answer:
        case Burnt(replayed=False):
            return "fresh", False
        case Burnt():
            return "used", False
        case KeyTaken():
            return "used", True
        case _:
            return None, False


def own_or_other(payments: Sequence[Payment], tag: str, obligation: str | None) -> Seen:
    """Sort what a list has, by our marks: the tag is of one charge, the obligation's word of all that pay it."""
    marked = [each for each in payments if each.marks is not None]
    own = [each for each in marked if each.marks and each.marks.tag == tag]
    others = [
        each
        for each in marked
        if each.marks and obligation is not None and each.marks.obligation == obligation and each.marks.tag != tag
    ]
    return Seen(own=own, others=others)
