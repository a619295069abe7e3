"""Whose account a key opens, its mode, and what no 404 proves."""

from typing import Any

import pytest
from marked import marks
from port_calls import Call, World, correct, forget, forget_customer, held, read_stored
from stub_stripe import Stub, answer
from wire import JSON, POOL, Outside

from vault.personal import BillingContact, Card, Secret
from vault.processing.answers import (
    Corrected,
    CustomerOpened,
    Forgotten,
    Held,
    Identified,
    Marks,
    NotFound,
    NotReached,
    Refused,
    Stored,
    Unknown,
)
from vault.processors.stripe.adapter import StripeProcessor

LIVE, TEST = Secret("sk_live_x"), Secret("sk_test_x")
CARD = Card(number="4242424242424242", exp_month=12, exp_year=2035, cvc="123")
CREDENTIALS_REFUSED = Refused(code="processor_credentials_refused", credentials=True)
OTHER_MODE = Unknown(reason="other_mode")


def test_two_keys_of_one_account_say_the_same(stripe: StripeProcessor, credentials: Secret) -> None:
    """The processor's own id of the account; another account has another."""
    first = stripe.identify(credentials)
    assert isinstance(first, Identified)
    assert first.own_id.startswith("acct_")
    assert first.own_id not in repr(first)
    assert stripe.identify(Secret(credentials.value + "_second")) == first
    assert stripe.identify(Secret(credentials.value + "x")) != first


def test_a_restricted_key_may_not_ask_and_reads_marks(stripe: StripeProcessor, credentials: Secret) -> None:
    """By the marks of a customer it proves itself; where there is none of ours, nothing is proven."""
    restricted = Secret(credentials.value.replace("sk_", "rk_") + "_shop")
    assert stripe.identify(restricted) == Refused(code="may_not_ask")
    of = marks("c", obligation="ab12")
    opened = stripe.open_customer(restricted, marks=of, key="k")
    assert isinstance(opened, CustomerOpened)
    customer = opened.customer_reference
    assert stripe.read_marks(restricted, customer_reference=customer) == of
    assert stripe.read_marks(restricted, customer_reference="cus_none") == NotFound()
    other = Secret(credentials.value + "x")
    assert stripe.read_marks(other, customer_reference=customer) == NotFound()
    assert stripe.forget_customer(restricted, customer_reference=customer, key="k2") == Forgotten()
    assert stripe.read_marks(restricted, customer_reference=customer) == NotFound()


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_refused(stripe: StripeProcessor, credentials: Secret, outside: Outside, status: int) -> None:
    """A 401 is of the key itself; a 403 on its own account may be a permission, elsewhere it is the key."""
    body = f'{{"key": "{credentials.value}", "refused": {status}}}'
    POOL.request("POST", outside.url + "/_keys", body=body, headers=JSON)
    asked = stripe.identify(credentials)
    assert asked == (CREDENTIALS_REFUSED if status == 401 else Refused(code="may_not_ask"))
    assert stripe.read_marks(credentials, customer_reference="cus_1") == CREDENTIALS_REFUSED


@pytest.mark.parametrize("own_id", [None, "", 7])
def test_an_account_without_an_id_is_unknown(stub: Stub, connected: StripeProcessor, own_id: object) -> None:
    """Nothing is identified by it."""
    stub.plan.append(answer({"object": "account", "id": own_id}))
    assert connected.identify(TEST) == Unknown(reason="unexpected_object")


def test_marks_of_old_have_no_id(stub: Stub, connected: StripeProcessor) -> None:
    """They prove an account by their tag, and are found by no id."""
    stub.plan.append(answer({"object": "customer", "id": "cus_1", "metadata": {"panless": "tag"}}))
    assert connected.read_marks(TEST, customer_reference="cus_1") == Marks(tag="tag", id="")


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        ("sk_live_x", True),
        ("rk_live_x", True),
        ("sk_test_x", False),
        ("rk_test_x", False),
        ("pk_live_x", None),
        ("sk_x", None),
        ("", None),
    ],
)
def test_a_key_says_its_mode(key: str, mode: bool | None) -> None:  # noqa: FBT001 - what the table says
    """By how it begins; the sandbox has no modes."""
    assert StripeProcessor(kind="stripe").mode_of(Secret(key)) is mode
    assert StripeProcessor(kind="sandbox").mode_of(Secret(key)) is None


PAID = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "currency": "eur", "amount_received": 5}
NO_PAGE: dict[str, Any] = {"object": "list", "has_more": False}
ERROR: dict[str, Any] = {"type": "card_error", "code": "card_declined"}


@pytest.mark.parametrize("of_live", [True, False])
@pytest.mark.parametrize("kind", ["stripe", "sandbox"])
def test_an_object_of_the_other_mode_is_unknown(stub: Stub, *, of_live: bool, kind: str) -> None:
    """Alone, in a list, in an error: it is no answer of the account that was asked. The sandbox has no modes."""
    processor = StripeProcessor(kind=kind, base_url=stub.url)
    intent = PAID | {"livemode": of_live, "status": "requires_payment_method", "last_payment_error": ERROR}
    for key, fits in ((LIVE, of_live), (TEST, not of_live)):
        stub.plan.append(answer(PAID | {"livemode": of_live}))
        stub.plan.append(answer(NO_PAGE | {"data": [{"object": "refund", "livemode": of_live, "metadata": {}}]}))
        stub.plan.append(answer({"error": ERROR | {"payment_intent": intent}}, status=402))
        met = [
            processor.read_charge(key, reference="pi_1"),
            processor.find_refund(key, id="id-t", reference="pi_1"),
            processor.void(key, reference="pi_1", key="k"),
        ]
        assert [each == OTHER_MODE for each in met] == [not fits and kind == "stripe"] * 3


def test_a_processor_says_what_it_is(stub: Stub) -> None:
    """What the vault's waiting and burning rest on."""
    processor = StripeProcessor(base_url=stub.url, connect_timeout=2.0, read_timeout=5.0)
    assert processor.key_lifetime is not None
    assert processor.key_lifetime.total_seconds() == 24 * 3600
    assert processor.list_lag.total_seconds() == 10
    assert processor.call_timeout == 9.0  # waiting for a connection, connecting, reading
    assert {"burns_keys", "list_payments", "read_charge", "names_its_objects", "find_by_reference"} <= (
        processor.abilities
    )


ELSEWHERE: list[tuple[Call, tuple[type, ...]]] = [
    (forget, (Forgotten,)),
    (forget_customer, (Forgotten,)),
    (correct, (Corrected,)),
    (held, (Held,)),
    (read_stored, (Stored, Forgotten)),
]


@pytest.fixture
def world(stripe: StripeProcessor, credentials: Secret) -> World:
    opened = stripe.open_customer(credentials, marks=marks("c"), key="w1")
    assert isinstance(opened, CustomerOpened)
    it: dict[str, Any] = {"contact": BillingContact(name="Ada"), "usage": "off_session", "marks": marks("s")}
    stored = stripe.store(credentials, source=CARD, customer_reference=opened.customer_reference, key="w2", **it)
    assert isinstance(stored, Stored)
    return World(credentials, opened.customer_reference, CARD, stored.reference, "", "", "")


@pytest.mark.parametrize("call", [row[0] for row in ELSEWHERE])
def test_another_accounts_key_proves_nothing(
    stripe: StripeProcessor, outside: Outside, world: World, call: Call
) -> None:
    """It is told 404 for what is there: that is not found, and neither gone nor done."""
    elsewhere = World(Secret(world.credentials.value + "x"), world.customer, CARD, world.method, "", "", "")
    assert call(stripe, elsewhere) == NotFound()
    assert outside.call("GET", f"/v1/payment_methods/{world.method}")["customer"] == world.customer


LOOKS = [
    (forget, "POST", "/v1/payment_methods/*/detach", "/v1/payment_methods/*"),
    (correct, "POST", "/v1/payment_methods/*", "/v1/payment_methods/*"),
    (forget_customer, "DELETE", "/v1/customers/*", "/v1/customers/*"),
    (held, "GET", "/v1/subscriptions", "/v1/customers/*"),
]
COULD_NOT_LOOK: list[tuple[dict[str, Any], object]] = [
    ({"do": "reset"}, Unknown(reason="connection_lost")),
    ({"do": "status", "status": 500}, Unknown(reason="http_500")),
    ({"do": "garbage"}, Unknown(reason="unexpected_object")),
    ({"do": "status", "status": 429}, NotReached(reason="rate_limit")),
    ({"do": "status", "status": 401}, CREDENTIALS_REFUSED),
    ({"do": "status", "status": 403}, CREDENTIALS_REFUSED),
    ({"do": "unknown_url"}, Refused(code="invalid_request_error")),
    ({"do": "status", "status": 404}, NotFound()),
]


@pytest.mark.parametrize(("call", "method", "path", "looked"), LOOKS)
@pytest.mark.parametrize(("fault", "met"), COULD_NOT_LOOK)
def test_what_could_not_be_looked_at_is_not_gone(
    stripe: StripeProcessor,
    outside: Outside,
    world: World,
    call: Call,
    method: str,
    path: str,
    looked: str,
    fault: dict[str, Any],
    met: object,
) -> None:
    """After a 404 the object itself is read; whatever keeps that from saying so, nothing is called gone."""
    outside.break_next(method, path, do="status", status=404, code="resource_missing")
    outside.break_next("GET", looked, **fault)
    assert call(stripe, world) == met
    assert outside.call("GET", f"/v1/payment_methods/{world.method}")["customer"] == world.customer


@pytest.mark.parametrize(("call", "method", "path", "looked"), LOOKS)
def test_what_is_there_after_all_is_not_gone(
    stripe: StripeProcessor, outside: Outside, world: World, call: Call, method: str, path: str, looked: str
) -> None:
    """A 404 for what the reading shows alive is a contradiction, and no end."""
    assert looked
    outside.break_next(method, path, do="status", status=404, code="resource_missing")
    assert isinstance(call(stripe, world), Refused | Unknown)


def test_what_the_processor_calls_gone_is_gone(stripe: StripeProcessor, world: World) -> None:
    """Deleted is read as deleted, detached as nobody's; again and again."""
    assert forget_customer(stripe, world) == Forgotten()
    assert forget_customer(stripe, world) == Forgotten(already=True)
    assert forget(stripe, world) == Forgotten(already=True)
    assert read_stored(stripe, world) == Forgotten(already=True)
    contact = BillingContact(name="Ada King")
    corrected = stripe.correct(world.credentials, reference=world.method, contact=contact, key="another")
    assert corrected == Corrected(already_gone=True)
    assert held(stripe, world) == Held(subscriptions=0)


@pytest.mark.parametrize(
    "stub_says", [{}, {"deleted": False}, {"deleted": "true"}, {"deleted": 1}, {"deleted": True, "id": None}]
)
def test_only_deleted_true_is_deleted(stub: Stub, connected: StripeProcessor, stub_says: dict[str, Any]) -> None:
    """Anything else that is read after a 404 leaves the customer's end unknown."""
    missing = {"error": {"type": "invalid_request_error", "code": "resource_missing"}}
    stub.plan.extend((answer(missing, status=404), answer({"object": "customer", "id": "cus_1"} | stub_says)))
    met = connected.forget_customer(TEST, customer_reference="cus_1", key="k")
    assert met == Unknown(reason="unexpected_object")


@pytest.mark.parametrize("says", [{}, {"customer": ""}, {"customer": 0}, {"customer": False}, {"customer": []}])
def test_only_a_customer_that_is_null_is_nobody(stub: Stub, connected: StripeProcessor, says: dict[str, Any]) -> None:
    """A payment method whose owner can't be read is not detached."""
    refused = {"error": {"type": "invalid_request_error"}}
    method = {"object": "payment_method", "id": "pm_1", **says}
    stub.plan.extend((answer(refused, status=400), answer(method)))
    assert connected.forget(TEST, reference="pm_1", key="k") == Unknown(reason="unexpected_object")
    stub.plan.append(answer(method))
    assert connected.read_stored(TEST, reference="pm_1") == Unknown(reason="unexpected_object")
