"""When a card is not to be charged again: what issuers say for good, and how often the card schemes let one try.

Sources: Stripe's guide to declines and its advice codes (docs.stripe.com/declines/codes); Visa's category 1 of decline
codes ("issuer will never approve", Visa Core Rules 10.3.4) and Mastercard's merchant advice codes 03 and 21 reach us as
these. The caps are the schemes' own (Mastercard: 10 declines in 24 hours; Visa: 15 reattempts in 30 days), of a policy.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ScalarSelect, bindparam, select

from rows.conditions import together
from vault.errors import DoNotRetry
from vault.policy import Policy
from vault.processing.answers import Declined
from vault.tables import charges, tokens

DAY, MONTH = timedelta(days=1), timedelta(days=30)
DO_NOT_TRY_AGAIN: Final = "do_not_try_again"
NEVER: Final = frozenset(
    {
        "invalid_account",
        "lost_card",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "stolen_card",
        "stop_payment_order",
    }
)
"""Decline codes after which no attempt with the same card data can succeed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many failed charges of one token are let through in 24 hours, and in 30 days."""

    day: int
    month: int


def caps_of(policy: Policy) -> Caps:
    """The policy's."""
    return Caps(day=policy.failures_per_day, month=policy.failures_per_30_days)


def code_for_good(declined: Declined) -> str | None:
    """Why this card is not to be charged again before it is renewed; None where it may be."""
    if declined.decline_code in NEVER:
        return declined.decline_code
    return DO_NOT_TRY_AGAIN if declined.advice_code == DO_NOT_TRY_AGAIN else None


def asked(caps: Caps) -> dict[str, int]:
    """What `DAYS_LAST` and `MONTHS_LAST` ask: how many failures are let pass before the one that fills a cap."""
    return {"before_days_last": caps.day - 1, "before_months_last": caps.month - 1}


def refuse(token: Any, at: datetime) -> None:  # noqa: ANN401  # a row that has the columns below
    """Raises DoNotRetry for a token that is not to be charged now; `until` where time alone will change that."""
    if token.blocked_code is not None:
        raise DoNotRetry(token.blocked_code, None)
    ends = [(token.days_last, DAY, "too_many_failures_in_24_hours"), (token.months_last, MONTH, "too_many_in_30_days")]
    for last, window, code in reversed(ends):
        if last is not None and last + window > at:
            raise DoNotRetry(code, last + window)


def _last(before: str) -> ScalarSelect[datetime]:
    """When the failure was that fills the cap, counted from the newest: until it leaves the window, the cap is full."""
    return (
        select(charges.c.created_at)
        .where(together(charges, tokens, "token_id"), charges.c.state == "declined")
        .order_by(charges.c.created_at.desc())
        .offset(bindparam(before))
        .limit(1)
        .correlate(tokens)
        .scalar_subquery()
    )


DAYS_LAST, MONTHS_LAST = _last("before_days_last"), _last("before_months_last")
