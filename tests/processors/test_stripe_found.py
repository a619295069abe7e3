"""What look-ups make of several objects with one id, of whole lists, and of what is not ours."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe as sdk
from marked import SINCE, charge_found, marks
from stub_stripe import Stub, answer
from wire import Outside

from vault.personal import Secret
from vault.processing.answers import (
    Approved,
    Authorized,
    CustomerOpened,
    Declined,
    Failure,
    MadePage,
    Marks,
    NotFound,
    Payment,
    PaymentPage,
    Refunded,
    Stored,
    Unknown,
    Voided,
)
from vault.processors.stripe.adapter import StripeProcessor
from vault.processors.stripe.lists import MAX_PAGES

CREDENTIALS = Secret("sk_test_found")
SEVERAL = Unknown(reason="several_with_one_id")
OURS = {"panless": "tag", "panless_id": "id-t", "panless_for": "ab12"}
CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2035}


def page(*rows: Mapping[str, Any], has_more: bool = False) -> dict[str, Any]:
    return {"object": "list", "data": list(rows), "has_more": has_more}


def refund(name: str, status: str | None, **more: Any) -> dict[str, Any]:
    made = {"currency": "eur", "amount": 5, "created": 1, "metadata": OURS}
    return {"id": name, "object": "refund", "status": status, **made, **more}


def setup(name: str, status: str, **more: Any) -> dict[str, Any]:
    method = {"id": f"pm_{name}", "object": "payment_method", "customer": "cus_1", "card": CARD}
    error = {"last_setup_error": {"code": "card_declined"}} if status == "requires_payment_method" else {}
    made = {"metadata": OURS, "payment_method": method, "customer": "cus_1", "created": 1}
    return {"id": name, "object": "setup_intent", "status": status, **made, **error, **more}


def payment(name: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"created": 1000, "metadata": OURS, "customer": "cus_1", "payment_method": "pm_1"}
    money = {"currency": "eur", "amount": 500, "amount_received": 500, "amount_capturable": 0, "latest_charge": None}
    paid = {"status": "succeeded", "capture_method": "automatic_async"}
    return {"id": name, "object": "payment_intent", **made, **money, **paid, **more}


GAVE = Refunded(reference="b", amount=5, status="succeeded")


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([refund("a", "failed"), refund("b", "succeeded")], GAVE),
        ([refund("b", "succeeded"), refund("a", "canceled")], GAVE),
        ([refund("a", "failed"), refund("b", "pending")], Refunded(reference="b", amount=5, status="pending")),
        ([refund("a", "failed"), refund("b", "failed")], Refunded(reference="a", amount=5, status="failed")),
        ([refund("a", "succeeded"), refund("b", "succeeded")], SEVERAL),
        ([refund("a", "succeeded"), refund("b", "pending")], SEVERAL),
        ([refund("a", "succeeded"), refund("b", "some_new_status")], SEVERAL),
        ([refund("b", "succeeded"), refund("x", "succeeded", metadata={})], GAVE),
        ([refund("x", "succeeded", metadata=OURS | {"panless_id": "other"})], NotFound()),
        ([], NotFound()),
    ],
)
def test_of_several_refunds_the_one_that_gives_money_back_counts(
    stub: Stub, connected: StripeProcessor, rows: list[dict[str, Any]], found: object
) -> None:
    """Two that do contradict one another: nobody knows. On whichever pages they are."""
    stub.plan.append(answer(page(*rows)))
    assert connected.find_refund(CREDENTIALS, id="id-t", reference="pi_1") == found
    if len(rows) > 1:
        stub.plan.extend((answer(page(rows[0], has_more=True)), answer(page(*rows[1:]))))
        assert connected.find_refund(CREDENTIALS, id="id-t", reference="pi_1") == found


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([setup("a", "canceled"), setup("b", "succeeded")], "pm_b"),
        ([setup("b", "succeeded"), setup("a", "requires_payment_method")], "pm_b"),
        ([setup("b", "succeeded"), setup("a", "processing")], "pm_b"),
        ([setup("a", "canceled"), setup("b", "processing")], Unknown(reason="processing")),
        ([setup("a", "processing"), setup("b", "processing")], SEVERAL),
        ([setup("a", "succeeded"), setup("b", "succeeded")], SEVERAL),
        (
            [setup("a", "requires_payment_method"), setup("b", "canceled")],
            Declined(code="card_declined", reference="a"),
        ),
        ([], NotFound()),
    ],
)
def test_of_several_storings_the_one_that_stored_counts(
    stub: Stub, connected: StripeProcessor, rows: list[dict[str, Any]], found: object
) -> None:
    """Then one that is open; what failed counts where nothing else is there."""
    stub.plan.append(answer(page(*rows)))
    met = connected.find_stored(CREDENTIALS, id="id-t", customer_reference="cus_1", since=SINCE)
    assert (met.reference if isinstance(met, Stored) else met) == found
    (request,) = stub.requests
    assert int(request.params["created"]["gte"]) == int(SINCE.timestamp()) - 60


def test_of_several_customers_the_oldest_is_ours(
    stripe: StripeProcessor, credentials: Secret, outside: Outside
) -> None:
    """They are one customer's, and whoever looks later finds the same; one that is gone leaves the next."""
    names = []
    for number in range(2):
        opened = stripe.open_customer(credentials, marks=marks("t"), key=f"k{number}")
        assert isinstance(opened, CustomerOpened)
        names.append(opened.customer_reference)
    for name in names:
        found = stripe.find_customer(credentials, id="id-t", since=SINCE)
        assert found == CustomerOpened(customer_reference=name)
        outside.call("DELETE", f"/v1/customers/{name}")
    assert stripe.find_customer(credentials, id="id-t", since=SINCE) == NotFound()


def test_a_payment_is_listed_with_all_that_it_says(stub: Stub, connected: StripeProcessor) -> None:
    """Marks, amounts, how it stands, whose it is, when it was made."""
    refunded = {"object": "charge", "currency": "eur", "amount_refunded": 200}
    rows = [
        payment("pi_4", latest_charge=refunded),
        payment("pi_3", status="requires_capture", amount_capturable=500, amount_received=0, capture_method="manual"),
        payment("pi_2", status="canceled", latest_charge=refunded | {"amount_refunded": 500}, amount_received=0),
        payment("pi_1", metadata={"order": "7"}, customer=None, payment_method=None),
    ]
    stub.plan.append(answer(page(*rows, has_more=True)))
    until = SINCE + timedelta(days=1)
    listed = connected.list_payments(CREDENTIALS, since=SINCE, until=until, after="pi_9")
    own = Marks(tag="tag", id="id-t", obligation="ab12")
    whole: dict[str, Any] = {"marks": own, "amount": 500, "currency": "eur", "captured": 500, "refunded": 0}
    whole |= {"manual": False, "customer": "cus_1", "method": "pm_1", "at": datetime.fromtimestamp(1000, UTC)}
    approved, held = Approved(reference="pi_4", amount=500), Authorized(reference="pi_3", amount=500)
    off, others = Voided(reference="pi_2"), Approved(reference="pi_1", amount=500)
    assert listed == PaymentPage(
        after="pi_1",
        payments=[
            Payment(reference="pi_4", outcome=approved, **whole | {"refunded": 200}),
            Payment(reference="pi_3", outcome=held, **whole | {"captured": 0, "manual": True}),
            Payment(reference="pi_2", outcome=off, **whole | {"captured": 0}),
            Payment(reference="pi_1", outcome=others, **whole | {"marks": None, "customer": None, "method": None}),
        ],
    )
    (request,) = stub.requests
    bounds = {"gte": str(int(SINCE.timestamp())), "lt": str(int(until.timestamp()))}
    assert (request.params["created"], request.params["starting_after"]) == (bounds, "pi_9")


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_received": "500"},
        {"amount": None},
        {"id": None},
        {"created": "today"},
        {"currency": "zzz"},
        {"currency": "isk", "amount": 15_050, "amount_received": 15_050},
    ],
)
def test_a_payment_of_ours_that_cannot_be_read_makes_the_page_unknown(
    stub: Stub, connected: StripeProcessor, wrong: dict[str, Any]
) -> None:
    """It is never left out: a list with a gap would say that nothing was paid."""
    stub.plan.append(answer(page(payment("pi_2"), payment("pi_1", **wrong))))
    listed = connected.list_payments(CREDENTIALS, since=SINCE, until=None, after=None)
    assert listed == Unknown(reason="unexpected_object")


def test_anothers_payment_in_a_currency_of_old_does_not_hide_ours(stub: Stub, connected: StripeProcessor) -> None:
    """Its amounts stay as the processor counts them; a status that nobody knows is unknown for that payment alone."""
    rows = [
        payment("pi_3", metadata={}, currency="hrk"),
        payment("pi_2", metadata={}, currency="isk", amount=15_050, amount_received=15_050),
        payment("pi_1", status="some_new_status"),
    ]
    stub.plan.append(answer(page(*rows)))
    listed = connected.list_payments(CREDENTIALS, since=SINCE, until=None, after=None)
    assert isinstance(listed, PaymentPage)
    assert [(each.amount, each.currency) for each in listed.payments] == [(500, "hrk"), (15_050, "isk"), (500, "eur")]
    assert listed.payments[2].outcome == Unknown(reason="unexpected_object")


@pytest.mark.parametrize("wrong", [{"has_more": None}, {"has_more": 0}, {"has_more": True, "data": []}, {"data": None}])
def test_a_list_that_is_none_is_unknown(stub: Stub, connected: StripeProcessor, wrong: dict[str, Any]) -> None:
    """Also one that says that there is more, and not after what."""
    stub.plan.append(answer(page() | wrong))
    assert charge_found(connected, CREDENTIALS, "id-t") == Unknown(reason="unexpected_object")


class Endless(sdk.HTTPClient):
    """A list that never ends, without a wire."""

    name = "endless"
    asked = 0

    def request(  # type: ignore[override]  # as our own transport: bytes
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        assert (method, post_data) == ("get", None)
        assert url
        assert headers
        self.asked += 1
        return json.dumps(page(refund("re_1", "succeeded", metadata={}), has_more=True)).encode(), 200, {}

    def close(self) -> None:
        pass


def test_nothing_is_listed_by_an_empty_filter(connected: StripeProcessor) -> None:
    """Without a payment's name the account's whole list would come, and be taken for what is of that payment."""
    for listed in (connected.refunds_of, connected.disputes_of):
        with pytest.raises(ValueError, match="empty payment_intent"):
            listed(CREDENTIALS, reference="")


def test_what_lies_beyond_the_bound_is_unknown() -> None:
    """A list is read to its end; one that has none says nothing, and never that there is nothing."""
    transport = Endless()
    processor = StripeProcessor(base_url="http://nowhere.invalid", transport=transport)
    found = processor.find_refund(CREDENTIALS, id="id-t", reference="pi_1")
    assert found == Unknown(reason="too_many_to_look_through")
    assert transport.asked == MAX_PAGES


def test_what_was_made_is_listed_by_our_marks(stripe: StripeProcessor, credentials: Secret, outside: Outside) -> None:
    """Customers and cards of ours, newest first; another's are left out, and so is a burnt key."""
    opened = stripe.open_customer(credentials, marks=marks("c"), key="k1")
    assert isinstance(opened, CustomerOpened)
    customer = opened.customer_reference
    outside.call("POST", "/v1/customers")
    it: dict[str, Any] = {"contact": None, "customer_reference": customer, "usage": "off_session"}
    stored = stripe.store(credentials, source="pm_card_visa", marks=marks("s"), key="k2", **it)
    assert isinstance(stored, Stored)
    stripe.burn(credentials, key="k3", words={"panless_burnt": "x"})
    customers = stripe.list_made(credentials, kind="customer", since=SINCE, after=None)
    cards = stripe.list_made(credentials, kind="card", since=SINCE, after=None)
    assert isinstance(customers, MadePage)
    assert isinstance(cards, MadePage)
    ((one,), (other,)) = customers.made, cards.made
    assert (one.kind, one.marks, one.reference, one.customer, one.method) == (
        "customer",
        marks("c"),
        customer,
        customer,
        None,
    )
    assert (other.kind, other.marks, other.customer, other.method) == ("card", marks("s"), customer, stored.reference)
    assert abs(one.at - datetime.now(UTC)) < timedelta(minutes=1)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert stripe.list_made(credentials, kind="card", since=later, after=None) == MadePage(made=[], after=None)


def test_what_was_made_comes_in_pages(stub: Stub, connected: StripeProcessor) -> None:
    """The next begins after the last object of this, whosever that is."""
    rows = [setup("a", "succeeded"), setup("b", "succeeded", metadata={})]
    stub.plan.append(answer(page(*rows, has_more=True)))
    made: MadePage | Failure = connected.list_made(CREDENTIALS, kind="card", since=SINCE, after="z")
    assert isinstance(made, MadePage)
    assert ([each.reference for each in made.made], made.after) == (["a"], "b")
    assert stub.requests[0].params["starting_after"] == "z"
