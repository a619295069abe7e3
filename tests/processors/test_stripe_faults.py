"""Every fault on every call has the outcome of the classification table; what was done all the same is found again."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from marked import marks
from port_calls import (
    CALLS,
    Call,
    World,
    charge,
    correct,
    find_charge,
    find_customer,
    find_refund,
    find_stored,
    open_customer,
    redact,
    refund,
    run_redaction,
    store,
)
from wire import Outside

from vault.personal import Card, Secret
from vault.processing.answers import (
    Approved,
    Corrected,
    CustomerOpened,
    Failure,
    NotFound,
    NotReached,
    Redaction,
    Refunded,
    Refused,
    Stored,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


LOST = Unknown(reason="connection_lost")
CREDENTIALS = Refused(code="processor_credentials_refused", credentials=True)
IN_FLIGHT = Unknown(reason="idempotency_key_in_use", in_flight=True)
FAULTS: list[tuple[str, dict[str, Any], Failure]] = [
    ("answer lost", {"do": "lose_answer"}, LOST),
    ("reset", {"do": "reset"}, LOST),
    ("late", {"do": "delay", "seconds": 2}, Unknown(reason="timeout")),
    ("500", {"do": "status", "status": 500}, Unknown(reason="http_500")),
    ("500 after acting", {"do": "status", "status": 500, "act": True}, Unknown(reason="http_500")),
    ("503", {"do": "status", "status": 503}, Unknown(reason="http_503")),
    ("garbage", {"do": "garbage"}, Unknown(reason="unexpected_object")),
    ("limited", {"do": "status", "status": 429, "code": "rate_limit"}, NotReached(reason="rate_limit")),
    ("locked", {"do": "status", "status": 429, "code": "lock_timeout"}, Unknown(reason="lock_timeout")),
    ("in flight", {"do": "in_flight"}, IN_FLIGHT),
    ("unauthenticated", {"do": "status", "status": 401}, CREDENTIALS),
    ("forbidden", {"do": "status", "status": 403}, CREDENTIALS),
    ("refused", {"do": "status", "status": 400, "code": "parameter_unknown"}, Refused(code="parameter_unknown")),
]
faults = pytest.mark.parametrize(("fault", "outcome"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])


@pytest.fixture(scope="session")
def hasty(sandbox_url: str) -> StripeProcessor:
    return StripeProcessor(base_url=sandbox_url, read_timeout=0.4)


@pytest.fixture
def world(stripe: StripeProcessor, credentials: Secret, card: Callable[..., Card], outside: Outside) -> World:
    opened = stripe.open_customer(credentials, marks=marks("w"), key="w-customer")
    assert isinstance(opened, CustomerOpened)
    customer = opened.customer_reference
    it: dict[str, Any] = {"customer_reference": customer, "usage": "off_session", "marks": marks("w"), "key": "w"}
    stored = stripe.store(credentials, source=card(), contact=None, **it)
    assert isinstance(stored, Stored)
    (setup,) = outside.call("GET", f"/v1/setup_intents?customer={customer}")["data"]
    paid: dict[str, Any] = {
        "amount": 500,
        "currency": "eur",
        "capture": True,
        "reason": None,
        "network_transaction_id": None,
        "off_session": True,
        "statement_descriptor": None,
    }
    where: dict[str, Any] = {"reference": stored.reference, "customer_reference": customer}
    approved = stripe.charge(credentials, marks=marks("w"), key="w-charge", **where, **paid)
    assert isinstance(approved, Approved)
    job = ready_job(stripe, credentials)
    return World(credentials, customer, card(), stored.reference, setup["id"], approved.reference, job)


def ready_job(stripe: StripeProcessor, credentials: Secret) -> str:
    other = stripe.open_customer(credentials, marks=marks("other"), key="other")
    assert isinstance(other, CustomerOpened)
    job = stripe.redact(credentials, customer_reference=other.customer_reference, key="w-redact")
    assert isinstance(job, Redaction)
    assert stripe.redaction(credentials, job=job.job) == Redaction(job=job.job, state="ready")
    return job.job


@faults
@pytest.mark.parametrize(("call", "method", "path"), CALLS, ids=[row[0].__name__ for row in CALLS])
def test_a_fault_has_the_outcome_of_the_table(
    hasty: StripeProcessor,
    outside: Outside,
    world: World,
    call: Call,
    method: str,
    path: str,
    fault: dict[str, Any],
    outcome: Failure,
) -> None:
    """Definite, never sent, or unknown: the same for every call."""
    outside.break_next(method, path, **fault)
    met = call(hasty, world)
    assert met == outcome


NOT_REACHED = {LOST: NotReached(reason="connection_lost"), Unknown(reason="timeout"): NotReached(reason="timeout")}


@faults
def test_a_fault_while_the_raw_card_goes_over_stores_nothing(
    hasty: StripeProcessor,
    stripe: StripeProcessor,
    outside: Outside,
    world: World,
    fault: dict[str, Any],
    outcome: Failure,
) -> None:
    """A lost answer may be sent again, for all that may exist is an unattached payment method; the rest as everywhere.

    Whatever it was, no card is on the customer, and the look-up says so.
    """
    outside.break_next("POST", "/v1/payment_methods", **fault)
    met = store(hasty, world)
    assert met == NOT_REACHED.get(outcome, outcome)  # type: ignore[call-overload]
    assert find_stored(stripe, world) == NotFound()
    assert len(outside.call("GET", f"/v1/payment_methods?customer={world.customer}&type=card")["data"]) == 1
    if met in (NOT_REACHED[LOST], NotReached(reason="rate_limit")):
        assert isinstance(store(stripe, world), Stored)


ACTED = [row for row in FAULTS if row[0] in ("answer lost", "500 after acting", "garbage")]
IDLE = [row for row in FAULTS if row[0] in ("reset", "500", "503", "limited", "locked", "in flight", "refused")]
DONE: list[tuple[Call, Call, str, type]] = [
    (store, find_stored, "/v1/setup_intents", Stored),
    (charge, find_charge, "/v1/payment_intents", Approved),
    (refund, find_refund, "/v1/refunds", Refunded),
    (open_customer, find_customer, "/v1/customers", CustomerOpened),
]
done = pytest.mark.parametrize(("call", "find", "path", "kind"), DONE, ids=[row[0].__name__ for row in DONE])


@done
@pytest.mark.parametrize("fault", [row[1] for row in ACTED], ids=[row[0] for row in ACTED])
def test_what_was_done_without_an_answer_is_found_and_not_done_twice(
    stripe: StripeProcessor,
    outside: Outside,
    world: World,
    call: Call,
    find: Call,
    path: str,
    kind: type,
    fault: dict[str, Any],
) -> None:
    """The look-up finds it by its id; the same key brings it back, or the stored 500, and never a second one."""
    outside.break_next("POST", path, **fault)
    assert isinstance(call(stripe, world), Unknown)
    found = find(stripe, world)
    assert isinstance(found, kind)
    assert call(stripe, world) in (found, Unknown(reason="replayed"), Unknown(reason="http_500"))
    assert find(stripe, world) == found
    assert len(outside.charges(world.customer)) == 1 + (call is charge)


AGAIN: list[tuple[Call, str, type]] = [
    (correct, "/v1/payment_methods/pm_*", Corrected),
    (redact, "/v1/privacy/redaction_jobs", Redaction),
    (run_redaction, "/v1/privacy/redaction_jobs/*/run", Redaction),
]


@pytest.mark.parametrize(("call", "path", "kind"), AGAIN, ids=[row[0].__name__ for row in AGAIN])
@pytest.mark.parametrize("fault", ["lose_answer", "reset", "garbage"])
def test_what_has_no_look_up_is_sent_again(
    stripe: StripeProcessor, outside: Outside, world: World, call: Call, path: str, kind: type, fault: str
) -> None:
    """A repeated key brings the outcome that was lost, or the first one: there is one correction, and one job."""
    outside.break_next("POST", path, do=fault)
    assert isinstance(call(stripe, world), Unknown)
    assert isinstance(call(stripe, world), kind)
    assert call(stripe, world) == call(stripe, world)


@done
@pytest.mark.parametrize("fault", [row[1] for row in IDLE], ids=[row[0] for row in IDLE])
def test_what_was_not_done_is_not_found_and_can_be_done(
    stripe: StripeProcessor,
    outside: Outside,
    world: World,
    call: Call,
    find: Call,
    path: str,
    kind: type,
    fault: dict[str, Any],
) -> None:
    """The look-up finds nothing; the same key does it then."""
    outside.break_next("POST", path, **fault)
    assert not isinstance(call(stripe, world), kind)
    assert find(stripe, world) == NotFound()
    assert isinstance(call(stripe, world), kind)


def test_two_senders_of_one_charge_make_one(
    stripe: StripeProcessor, hasty: StripeProcessor, outside: Outside, world: World
) -> None:
    """While the first is under way the second is told so, and nothing is charged twice."""
    outside.break_next("POST", "/v1/payment_intents", do="delay", seconds=1)
    assert charge(hasty, world) == Unknown(reason="timeout")
    assert charge(stripe, world) == IN_FLIGHT
    wait_until(lambda: isinstance(find_charge(stripe, world), Approved))
    assert charge(stripe, world) == find_charge(stripe, world)
    assert len(outside.charges(world.customer)) == 2
