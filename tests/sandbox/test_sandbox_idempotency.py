import threading
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running

PAYMENT: Any = {
    "amount": 2000,
    "currency": "eur",
    "confirm": True,
    "payment_method": "pm_card_visa",
    "allowed_payment_method_types": ["card"],
}


def charge(client: stripe.StripeClient, key: str, **change: object) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create({**PAYMENT, **change}, {"idempotency_key": key})


def test_the_first_answer_is_given_again(sandbox: Running, client: stripe.StripeClient) -> None:
    """Same key, same request: the same answer, one charge, and headers that say which request it was."""
    first = charge(client, "k1")
    original = sandbox.http.headers["Request-Id"]
    assert sandbox.http.headers["Original-Request"] == original
    assert "Idempotent-Replayed" not in sandbox.http.headers
    client.v1.payment_intents.update(first.id, {"metadata": {"later": "1"}})
    again = charge(client, "k1")
    assert again.to_dict() == first.to_dict()
    headers = sandbox.http.headers
    assert (headers["Idempotent-Replayed"], headers["Original-Request"]) == ("true", original)
    assert (headers["Idempotency-Key"], headers["Stripe-Should-Retry"]) == ("k1", "false")
    assert headers["Request-Id"] != original
    assert len(client.v1.charges.list().data) == 1


def test_a_decline_is_given_again(sandbox: Running, client: stripe.StripeClient) -> None:
    """A 402 is an outcome like any other."""
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            charge(client, "k2", payment_method="pm_card_visa_chargeDeclined")
        bodies.append(declined.value.json_body)
    assert bodies[0] == bodies[1]
    assert sandbox.http.headers["Idempotent-Replayed"] == "true"


def test_another_request_with_the_same_key_is_refused(client: stripe.StripeClient) -> None:
    """Other parameters or another endpoint: 400 ``idempotency_error`` without a code."""
    charge(client, "k3")
    attempts: list[Callable[[], Any]] = [
        lambda: charge(client, "k3", amount=2001),
        lambda: client.v1.customers.create({}, {"idempotency_key": "k3"}),
    ]
    for attempt in attempts:
        with pytest.raises(stripe.IdempotencyError) as refused:
            attempt()
        assert refused.value.http_status == 400
        assert "code" not in refused.value.json_body["error"]


def test_accounts_do_not_share_keys(sandbox: Running) -> None:
    """A key of one account is another key at another account."""
    assert charge(sandbox.client(), "k4").id != charge(sandbox.client(), "k4").id


def test_a_request_that_was_not_executed_keeps_its_key(sandbox: Running, client: stripe.StripeClient) -> None:
    """After a 400 for parameters, or a 429, the key is as good as new, even for a corrected request."""
    with pytest.raises(stripe.InvalidRequestError):
        charge(client, "k5", amount="many")
    sandbox.faults(do="status", status=429)
    with pytest.raises(stripe.RateLimitError) as limited:
        charge(client, "k5")
    assert limited.value.error
    assert limited.value.error.code == "rate_limit"
    assert charge(client, "k5").status == "succeeded"


def test_an_executed_refusal_is_stored(sandbox: Running, client: stripe.StripeClient) -> None:
    """A 404 or a 400 that the state of things caused came from executing, and is replayed."""
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError):
            charge(client, "k6", customer="cus_none")
    assert sandbox.http.headers["Idempotent-Replayed"] == "true"


def test_a_key_in_flight_is_a_409(sandbox: Running, client: stripe.StripeClient) -> None:
    """While the first request is under way, before or after it acted, its key is in use; then it has its answer."""
    for when in ("before", "after"):
        sandbox.faults(do="delay", seconds=0.4, when=when)
        answers: list[Any] = []
        key = f"k7-{when}"
        other = sandbox.client(client_key(client))
        thread = threading.Thread(target=lambda k=key, o=other, a=answers: a.append(charge(o, k)))
        thread.start()
        while sandbox.hook("GET", "/_faults")["faults"]:
            pass
        with pytest.raises(stripe.APIError) as in_use:
            charge(client, key)
        thread.join()
        assert in_use.value.http_status == 409
        assert in_use.value.error
        assert in_use.value.error.code == "idempotency_key_in_use"
        assert charge(client, key).id == answers[0].id


def client_key(client: stripe.StripeClient) -> str:
    return str(client._requestor.api_key)  # noqa: SLF001 - the SDK has no other way to ask


def test_a_failure_after_acting_is_given_again(sandbox: Running, client: stripe.StripeClient) -> None:
    """A 500 that was answered after acting is what the key answers from then on; the charge is there."""
    sandbox.faults(do="status", status=500, act=True)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            charge(client, "k8")
        assert failed.value.http_status == 500
    assert sandbox.http.headers["Idempotent-Replayed"] == "true"
    assert len(client.v1.charges.list().data) == 1


def test_a_key_expires(launch: Callable[..., Running]) -> None:
    """After 24 hours the key is forgotten, and the request executes anew."""
    own = launch()
    client = own.client()
    first = charge(client, "k9")
    own.hook("POST", "/_clock", {"advance_seconds": 24 * 3600 - 60})
    assert charge(client, "k9").id == first.id
    own.hook("POST", "/_clock", {"advance_seconds": 61})
    assert charge(client, "k9").id != first.id
    assert len(client.v1.charges.list().data) == 2


def test_a_key_has_at_most_255_characters(client: stripe.StripeClient) -> None:
    """A longer one is a 400."""
    assert charge(client, "k" * 255).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="255"):
        charge(client, "k" * 256)


def test_another_cvc_or_number_with_the_same_last_four_is_the_same_request(
    client: stripe.StripeClient, card: Callable[..., Any]
) -> None:
    """What is compared holds the last four of the number and no CVC, because nothing else of them is kept."""
    first = client.v1.payment_methods.create(card(), {"idempotency_key": "k10"})
    again = client.v1.payment_methods.create(card(cvc="999"), {"idempotency_key": "k10"})
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_methods.create(card("5555555555554444"), {"idempotency_key": "k10"})
