"""A call that changes something is sent once; what comes back of an earlier one is stale, and keys can be burnt."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from marked import marks
from stub_stripe import Stub, answer
from wire import Outside

from vault.personal import Secret
from vault.processing.answers import (
    ActionRequired,
    Approved,
    Authorized,
    Burnt,
    Failure,
    KeyTaken,
    NotReached,
    Refunded,
    Refused,
    Stored,
    Unknown,
    Voided,
)
from vault.processors.stripe.adapter import StripeProcessor

CREDENTIALS = Secret("sk_test_once")
REPLAYED = Unknown(reason="replayed")
WORDS = {"panless_burnt": "for nothing"}
CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2035}
ERROR = {"code": "card_declined"}
WAITS = {"status": "requires_action", "next_action": {"type": "use_stripe_sdk"}, "client_secret": "s"}
FAILED = {"status": "requires_payment_method", "last_payment_error": ERROR, "last_setup_error": ERROR}


def payment(**state: Any) -> dict[str, Any]:
    amounts = {"currency": "eur", "amount_received": 100, "amount_capturable": 100}
    return {"id": "pi_1", "object": "payment_intent", **amounts, **state}


def setup(**state: Any) -> dict[str, Any]:
    method = {"id": "pm_1", "object": "payment_method", "customer": "cus_1", "card": CARD}
    return {"id": "seti_1", "object": "setup_intent", "payment_method": method, **state}


def refunding(**state: Any) -> dict[str, Any]:
    return {"id": "re_1", "object": "refund", "currency": "eur", "amount": 100, **state}


Call = Callable[[StripeProcessor], Any]
ORDER: dict[str, Any] = {"reference": "pm_1", "customer_reference": "cus_1", "amount": 100, "currency": "eur"}
ORDER |= {"capture": True, "off_session": True, "reason": None, "network_transaction_id": None}


def charge(stripe: StripeProcessor) -> Any:
    return stripe.charge(CREDENTIALS, statement_descriptor=None, marks=marks("t"), key="k", **ORDER)


def capture(stripe: StripeProcessor) -> Any:
    return stripe.capture(CREDENTIALS, reference="pi_1", amount=100, currency="eur", key="k")


def void(stripe: StripeProcessor) -> Any:
    return stripe.void(CREDENTIALS, reference="pi_1", key="k")


def refund(stripe: StripeProcessor) -> Any:
    it: dict[str, Any] = {"reference": "pi_1", "amount": 100, "currency": "eur", "reason": None}
    return stripe.refund(CREDENTIALS, marks=marks("t"), key="k", **it)


def store(stripe: StripeProcessor) -> Any:
    it: dict[str, Any] = {"source": "pm_1", "contact": None, "customer_reference": "cus_1", "usage": "off_session"}
    return stripe.store(CREDENTIALS, marks=marks("t"), key="k", **it)


PAID, HELD, OFF = payment(status="succeeded"), payment(status="requires_capture"), payment(status="canceled")
APPROVED, AUTHORIZED = Approved(reference="pi_1", amount=100), Authorized(reference="pi_1", amount=100)
NOW: list[tuple[Call, dict[str, Any], object]] = [
    *((call, PAID, APPROVED) for call in (charge, capture, void)),
    *((call, HELD, AUTHORIZED) for call in (charge, capture, void)),
    *((call, payment(status="processing"), Unknown(reason="processing")) for call in (charge, capture, void)),
    *((call, payment(**FAILED), REPLAYED) for call in (charge, capture, void)),
    (charge, OFF, REPLAYED),
    (capture, OFF, REPLAYED),
    (void, OFF, Voided(reference="pi_1")),
    (refund, refunding(status="succeeded"), Refunded(reference="re_1", amount=100, status="succeeded")),
    (refund, refunding(status="pending"), Refunded(reference="re_1", amount=100, status="pending")),
    (refund, refunding(status="failed"), REPLAYED),
    (store, setup(**FAILED), REPLAYED),
    (store, setup(status="canceled"), REPLAYED),
]


@pytest.mark.parametrize(("call", "now", "meant"), NOW)
@pytest.mark.parametrize("then", ["succeeded", "requires_capture", "canceled", "pending"])
def test_a_replay_is_read_as_it_stands_now(
    stub: Stub, connected: StripeProcessor, call: Call, now: dict[str, Any], meant: object, then: str
) -> None:
    """Whatever the answer that was kept says: what stands counts, what came to nothing is to be looked up."""
    stub.plan.extend((answer(now | {"status": then}, Idempotent_Replayed="true"), answer(now)))
    assert call(connected) == meant
    assert [request.method for request in stub.requests] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("call", "now", "kind"),
    [
        (charge, payment(**WAITS), ActionRequired),
        (store, setup(**WAITS), ActionRequired),
        (store, setup(status="succeeded"), Stored),
    ],
)
def test_a_replay_that_waits_or_is_stored_is_that(
    stub: Stub, connected: StripeProcessor, call: Call, now: dict[str, Any], kind: type
) -> None:
    """It is there."""
    stub.plan.extend((answer(now | {"status": "canceled"}, Idempotent_Replayed="true"), answer(now)))
    assert isinstance(call(connected), kind)


KEPT = [
    (402, {"type": "card_error", "code": "card_declined"}),
    (400, {"type": "invalid_request_error", "code": "parameter_missing"}),
    (404, {"type": "invalid_request_error", "code": "resource_missing"}),
    (500, {"type": "api_error"}),
]
CALLS = [charge, capture, void, refund, store]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("status", "error"), KEPT)
def test_a_failure_that_was_kept_is_unknown(
    stub: Stub, connected: StripeProcessor, call: Call, status: int, error: dict[str, Any]
) -> None:
    """It says how an earlier call ended, and nothing of what became of it."""
    stub.plan.append(answer({"error": error}, status=status, Idempotent_Replayed="true"))
    assert call(connected) == REPLAYED
    assert len(stub.requests) == 1


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_replay_that_cannot_be_read_is_unknown(
    stub: Stub, connected: StripeProcessor, call: Call, status: int
) -> None:
    """A failure of the reading is none of the call: it may have moved money."""
    error = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    stub.plan.append(answer(PAID | {"object": "payment_intent"}, Idempotent_Replayed="true"))
    stub.plan.append(answer(error, status=status))
    assert call(connected) == REPLAYED


@pytest.mark.parametrize(("status", "error"), [(500, {"type": "api_error"}), (409, {"type": "idempotency_error"})])
@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_sent_twice(
    stub: Stub, connected: StripeProcessor, call: Call, status: int, error: dict[str, Any]
) -> None:
    """Whatever comes back, there is one request."""
    stub.plan.append(answer({"error": error}, status=status, Stripe_Should_Retry="true"))
    assert isinstance(call(connected), Unknown)
    assert len(stub.requests) == 1


def test_the_currency_is_asked_for_before_anything_is_sent(stub: Stub, connected: StripeProcessor) -> None:
    """Where it can't be learned nothing was done, whatever the reading met."""
    met: list[Failure] = []
    for status, error in ((500, {"type": "api_error"}), (404, {"type": "invalid_request_error"})):
        stub.plan.append(answer({"error": error}, status=status))
        outcome = connected.capture(CREDENTIALS, reference="pi_1", amount=100, key="k")
        assert isinstance(outcome, NotReached | Refused)
        met.append(outcome)
    assert met == [NotReached(reason="http_500"), Refused(code="invalid_request_error")]
    assert [request.method for request in stub.requests] == ["GET", "GET"]


def test_a_burnt_key_is_burnt(stripe: StripeProcessor, credentials: Secret, outside: Outside) -> None:
    """Fresh, then a replay; no payment goes under it any more, and it hangs on nobody."""
    assert stripe.burn(credentials, key="k", words=WORDS) == Burnt(replayed=False)
    assert stripe.burn(credentials, key="k", words=WORDS) == Burnt(replayed=True)
    (inert,) = outside.call("GET", "/v1/setup_intents")["data"]
    assert (inert["customer"], inert["payment_method"], inert["metadata"]) == (None, None, WORDS)
    assert inert["status"] == "requires_payment_method"
    late = stripe.charge(credentials, statement_descriptor=None, marks=marks("t"), key="k", **ORDER)
    assert late == Unknown(reason="idempotency_mismatch")
    assert outside.call("GET", "/v1/payment_intents")["data"] == []


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_card_visa_chargeDeclined"])
def test_a_key_that_came_with_a_payment_is_taken(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, method: str
) -> None:
    """Paid or declined; of which of them the burn says nothing."""
    customer = outside.call("POST", "/v1/customers")["id"]
    order = ORDER | {"reference": method, "customer_reference": customer}
    stripe.charge(credentials, statement_descriptor=None, marks=marks("t"), key="k", **order)
    assert stripe.burn(credentials, key="k", words=WORDS) == KeyTaken()


def test_a_key_that_stored_a_card_is_taken(stripe: StripeProcessor, credentials: Secret, outside: Outside) -> None:
    """A storing's own key is what its last step sends."""
    customer = outside.call("POST", "/v1/customers")["id"]
    it: dict[str, Any] = {"contact": None, "customer_reference": customer, "usage": "off_session"}
    stored = stripe.store(credentials, source="pm_card_visa", marks=marks("t"), key="k", **it)
    assert isinstance(stored, Stored)
    assert stripe.burn(credentials, key="k", words=WORDS) == KeyTaken()


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        ({"do": "lose_answer"}, Unknown(reason="connection_lost")),
        ({"do": "in_flight"}, Unknown(reason="idempotency_key_in_use", in_flight=True)),
        ({"do": "status", "status": 500}, Unknown(reason="http_500")),
        ({"do": "status", "status": 429}, NotReached(reason="rate_limit")),
        ({"do": "status", "status": 400, "type": "api_error"}, Unknown(reason="http_400")),
    ],
)
def test_a_burn_that_was_not_answered_is_burnt_again(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, fault: Mapping[str, Any], met: object
) -> None:
    """A failure, and late or twice it does no harm."""
    outside.break_next("POST", "/v1/setup_intents", **fault)
    assert stripe.burn(credentials, key="k", words=WORDS) == met
    assert stripe.burn(credentials, key="k", words=WORDS) == Burnt(replayed=fault["do"] == "lose_answer")


def test_a_burn_whose_failure_was_kept_has_used_the_key_up(
    stripe: StripeProcessor, credentials: Secret, outside: Outside
) -> None:
    """A 500 that comes back as a replay came back to a burn: no other call has the same body."""
    outside.break_next("POST", "/v1/setup_intents", do="status", status=500, act=True)
    assert stripe.burn(credentials, key="k", words=WORDS) == Unknown(reason="http_500")
    assert stripe.burn(credentials, key="k", words=WORDS) == Burnt(replayed=True)


def test_a_burn_ends_a_failure_that_was_kept(stripe: StripeProcessor, credentials: Secret, outside: Outside) -> None:
    """A payment's stored 500 comes back for ever; that its key is taken ends the asking."""
    outside.break_next("POST", "/v1/payment_intents", do="status", status=500, act=True)
    customer = outside.call("POST", "/v1/customers")["id"]
    order = ORDER | {"reference": "pm_card_visa", "customer_reference": customer}

    def send() -> object:
        return stripe.charge(credentials, statement_descriptor=None, marks=marks("t"), key="k", **order)

    assert send() == Unknown(reason="http_500")
    assert send() == REPLAYED
    assert stripe.burn(credentials, key="k", words=WORDS) == KeyTaken()
