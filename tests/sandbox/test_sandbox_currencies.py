"""What amounts of which currencies can be charged, captured and refunded."""

from collections.abc import Callable
from typing import Any

import pytest
import stripe

Pay = Callable[..., stripe.PaymentIntent]


@pytest.mark.parametrize(
    ("currency", "amount"), [("isk", 50_000), ("ugx", 500_000), ("kwd", 5120), ("mga", 1500), ("jpy", 501), ("EUR", 51)]
)
def test_what_a_currency_knows_is_paid(pay: Pay, currency: str, amount: int) -> None:
    """Hundredths that are none stay whole, three decimals end in 0."""
    paid = pay("pm_card_visa", currency=currency, amount=amount)
    assert (paid.status, paid.amount_received, paid.currency) == ("succeeded", amount, currency.lower())


@pytest.mark.parametrize(
    ("currency", "amount", "param"),
    [
        ("isk", 15_050, "amount"),
        ("ugx", 5050, "amount"),
        ("kwd", 5124, "amount"),
        ("bhd", 5124, "amount"),
        ("zzz", 100, "currency"),
        ("euro", 100, "currency"),
        ("cup", 100, "currency"),
    ],
)
def test_what_a_currency_does_not_know_is_refused(
    client: stripe.StripeClient, pay: Pay, currency: str, amount: int, param: str
) -> None:
    """A 400 that names the parameter; nothing is made."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        pay("pm_card_visa", currency=currency, amount=amount)
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert client.v1.payment_intents.list().data == []


def test_a_part_is_counted_like_the_whole(client: stripe.StripeClient, pay: Pay) -> None:
    """Captures and refunds follow the same rule."""
    held = pay("pm_card_visa", currency="isk", amount=50_000, capture_method="manual")
    attempts: list[Callable[[int], Any]] = [
        lambda amount: client.v1.payment_intents.capture(held.id, {"amount_to_capture": amount}),
        lambda amount: client.v1.refunds.create({"payment_intent": held.id, "amount": amount}),
    ]
    for attempt in attempts:
        with pytest.raises(stripe.InvalidRequestError, match="divisible by 100"):
            attempt(20_050)
        attempt(30_000)
