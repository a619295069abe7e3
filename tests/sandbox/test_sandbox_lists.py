"""What the vault needs to know for certain of keys and lists."""

import time
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running

BURN: Any = {"usage": "off_session", "allowed_payment_method_types": ["card"], "metadata": {"for": "nothing"}}


def test_a_setup_intent_of_nothing_uses_its_key_up(sandbox: Running, client: stripe.StripeClient, pay: Any) -> None:
    """No customer and no payment method: it is made, its answer is kept, and the key is taken for any payment."""
    made = client.v1.setup_intents.create(BURN, {"idempotency_key": "burnt"})
    assert (made.status, made.customer, made.payment_method) == ("requires_payment_method", None, None)
    assert made.livemode is False
    assert client.v1.setup_intents.create(BURN, {"idempotency_key": "burnt"}).id == made.id
    assert sandbox.http.headers["Idempotent-Replayed"] == "true"
    payment: Any = {"amount": 100, "currency": "eur"}
    with pytest.raises(stripe.IdempotencyError) as taken:
        client.v1.payment_intents.create(payment, {"idempotency_key": "burnt"})
    assert (taken.value.http_status, taken.value.json_body["error"].get("code")) == (400, None)
    assert pay("pm_card_visa").status == "succeeded"
    assert len(client.v1.payment_intents.list().data) == 1


def test_a_key_that_a_payment_has_is_not_burnt(client: stripe.StripeClient) -> None:
    """The other way round it is a 400 too, of a payment that failed as of one that was paid."""
    for number, method in enumerate(("pm_card_visa", "pm_card_visa_chargeDeclined")):
        key: Any = {"idempotency_key": f"taken-{number}"}
        payment: Any = {"amount": 100, "currency": "eur", "confirm": True, "payment_method": method}
        payment |= {"allowed_payment_method_types": ["card"]}
        try:
            client.v1.payment_intents.create(payment, key)
        except stripe.CardError as declined:
            assert declined.code == "card_declined"  # noqa: PT017 - only one of the two declines
        with pytest.raises(stripe.IdempotencyError):
            client.v1.setup_intents.create(BURN, key)


def test_payments_are_listed_by_when_they_were_made(
    client: stripe.StripeClient, pay: Callable[..., stripe.PaymentIntent]
) -> None:
    """Newest first, from a second on and before another, page by page, their charges expanded."""
    first = pay("pm_card_visa")
    time.sleep(1.1)
    later = [pay("pm_card_visa", amount=2000 + number) for number in range(3)]

    def listed(**bounds: int) -> list[str]:
        params: Any = {"created": bounds, "limit": 2, "expand": ["data.latest_charge"]}
        rows = list(client.v1.payment_intents.list(params).auto_paging_iter())
        assert all(one.latest_charge.amount_captured == one.amount for one in rows)
        return [one.id for one in rows]

    newest_first = [one.id for one in reversed(later)]
    assert listed(gte=first.created) == [*newest_first, first.id]
    assert listed(gte=later[0].created) == newest_first
    assert listed(gte=first.created, lt=later[0].created) == [first.id]


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(400, "idempotency_error", None), (400, "api_error", "odd"), (429, "api_error", None), (500, None, None)],
)
def test_a_scripted_failure_has_the_type_that_it_is_given(
    sandbox: Running, client: stripe.StripeClient, status: int, kind: str | None, code: str | None
) -> None:
    """Without a type it has that of its status; with another no code but its own."""
    sandbox.faults(do="status", status=status, type=kind, code=code)
    payment: Any = {"amount": 100, "currency": "eur"}
    with pytest.raises(stripe.StripeError) as failed:
        client.v1.payment_intents.create(payment)
    error = failed.value.json_body["error"]
    assert (failed.value.http_status, error["type"], error.get("code")) == (status, kind or "api_error", code)
