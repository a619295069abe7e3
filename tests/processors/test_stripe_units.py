"""Amounts there and back: ours as ISO 4217 counts, Stripe's by its own table."""

from collections.abc import Callable
from typing import Any

import pytest
from marked import SINCE, charge_found, marks
from wire import Outside

from vault.personal import Card, Secret
from vault.processing.answers import (
    Approved,
    Authorized,
    CustomerOpened,
    Misfit,
    PaymentPage,
    Refunded,
    Refused,
    Stored,
)
from vault.processors.stripe import units
from vault.processors.stripe.adapter import StripeProcessor
from vault.processors.stripe.webhooks import disputed

AMOUNTS = (*range(1, 1101), 5124, 15_050, 99_999_999)
NONE_THERE = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THREE_THERE = {"bhd", "jod", "kwd", "omr", "tnd"}


@pytest.mark.parametrize("currency", sorted(units.ISO))
def test_an_amount_comes_back_as_it_went_or_does_not_go(currency: str) -> None:
    """For every currency: what fits is worth the same there, and comes back; what does not has a reason."""
    there = 0 if currency in NONE_THERE else 3 if currency in THREE_THERE else 2
    for amount in AMOUNTS:
        met = units.misfit(amount, currency)
        if met is not None:
            assert met.message.endswith(".")
            with pytest.raises(ValueError, match="processor"):
                units.theirs(amount, currency)
            continue
        sent = units.theirs(amount, currency)
        assert sent * 10 ** units.ISO[currency] == amount * 10**there  # the same money
        assert units.ours(sent, currency) == amount


@pytest.mark.parametrize(
    ("currency", "amount", "there"),
    [
        ("isk", 500, 50_000),
        ("isk", 15_050, 1_505_000),
        ("ugx", 5000, 500_000),
        ("mga", 150_000, 1500),
        ("kwd", 5120, 5120),
        ("jpy", 500, 500),
        ("eur", 1234, 1234),
        ("huf", 1050, 1050),
        ("twd", 1050, 1050),
    ],
)
def test_amounts_are_counted_as_stripe_counts(currency: str, amount: int, there: int) -> None:
    """ISK and UGX in hundredths though they have none, MGA in whole ones though it has hundredths."""
    assert units.misfit(amount, currency) is None
    assert units.theirs(amount, currency) == there


@pytest.mark.parametrize(
    ("currency", "amount", "field"),
    [
        ("mga", 150_050, "amount"),
        ("kwd", 5124, "amount"),
        ("bhd", 1, "amount"),
        ("zzz", 100, "currency"),
        ("EUR", 100, "currency"),
        ("euro", 100, "currency"),
        ("xau", 100, "currency"),
        ("iqd", 1000, "currency"),
        ("clf", 10_000, "currency"),
        ("", 100, "currency"),
    ],
)
def test_what_cannot_be_expressed_is_a_misfit(
    stripe: StripeProcessor, credentials: Secret, outside: Outside, currency: str, amount: int, field: str
) -> None:
    """Said by the field at fault without a call; charged all the same, it is refused and nothing is sent."""
    met = stripe.misfit(amount=amount, currency=currency)
    assert isinstance(met, Misfit)
    assert met.field == field
    order: dict[str, Any] = {"reference": "pm_card_visa", "customer_reference": "cus_1", "capture": True}
    order |= {"off_session": True, "reason": None, "network_transaction_id": None, "statement_descriptor": None}
    charged = stripe.charge(credentials, amount=amount, currency=currency, marks=marks("m"), key="k", **order)
    assert charged == Refused(code=f"{field}_misfit", param=field)
    assert outside.call("GET", "/v1/payment_intents")["data"] == []


@pytest.mark.parametrize(("amount", "currency"), [(15_050, "isk"), (150, "ugx"), (100, "zzz"), (1, "clf")])
def test_what_stripe_says_that_is_no_amount_of_ours_is_none(amount: int, currency: str) -> None:
    """Half a króna is not rounded."""
    with pytest.raises(ValueError, match=r"4217|whole"):
        units.ours(amount, currency)


@pytest.fixture
def charge(stripe: StripeProcessor, credentials: Secret, card: Callable[..., Card]) -> Callable[..., Any]:
    opened = stripe.open_customer(credentials, marks=marks("c"), key="k-c")
    assert isinstance(opened, CustomerOpened)
    customer = opened.customer_reference
    it: dict[str, Any] = {"customer_reference": customer, "usage": "off_session", "marks": marks("s"), "key": "k-s"}
    stored = stripe.store(credentials, source=card(), contact=None, **it)
    assert isinstance(stored, Stored)

    def call(amount: int, currency: str, *, capture: bool = True) -> Any:
        order: dict[str, Any] = {"reference": stored.reference, "customer_reference": customer, "capture": capture}
        order |= {"off_session": True, "reason": None, "network_transaction_id": None, "statement_descriptor": None}
        key = f"{currency}-{capture}"
        return stripe.charge(credentials, amount=amount, currency=currency, marks=marks(key), key=key, **order)

    return call


@pytest.mark.parametrize("named", [True, False], ids=["currency named", "currency asked for"])
@pytest.mark.parametrize(
    ("currency", "amount", "part", "there"),
    [("isk", 500, 200, 50_000), ("ugx", 5000, 3000, 500_000), ("mga", 150_000, 100_000, 1500), ("kwd", 5120, 10, 5120)],
)
def test_a_payment_is_counted_our_way_all_through(
    stripe: StripeProcessor,
    credentials: Secret,
    outside: Outside,
    charge: Callable[..., Any],
    currency: str,
    amount: int,
    part: int,
    there: int,
    *,
    named: bool,
) -> None:
    """Charged, listed, read, captured and refunded in our units; Stripe is told and says its own."""
    known = {"currency": currency} if named else {}
    paid, held = charge(amount, currency), charge(amount, currency, capture=False)
    assert isinstance(paid, Approved)
    assert isinstance(held, Authorized)
    assert (paid.amount, held.amount) == (amount, amount)
    assert outside.call("GET", f"/v1/payment_intents/{paid.reference}")["amount"] == there
    assert stripe.read_charge(credentials, reference=paid.reference) == paid
    assert charge_found(stripe, credentials, f"id-{currency}-True") == paid
    taken = stripe.capture(credentials, reference=held.reference, amount=part, key="k-capture", **known)
    assert isinstance(taken, Approved)
    assert taken.amount == part
    back: dict[str, Any] = {"reason": None, "marks": marks("r"), "key": "k-refund", **known}
    refunded = stripe.refund(credentials, reference=paid.reference, amount=part, **back)
    assert isinstance(refunded, Refunded)
    assert refunded.amount == part
    assert stripe.find_refund(credentials, id="id-r", reference=paid.reference) == refunded
    seen = stripe.refunds_of(credentials, reference=paid.reference)
    assert isinstance(seen, list)
    assert [each.amount for each in seen] == [part]
    page = stripe.list_payments(credentials, since=SINCE, until=None, after=None)
    assert isinstance(page, PaymentPage)
    assert [(each.amount, each.captured, each.refunded) for each in page.payments] == [
        (amount, part, 0),
        (amount, amount, part),
    ]


@pytest.mark.parametrize("wrong", [5, 15])
def test_a_part_that_does_not_fit_is_not_sent(
    stripe: StripeProcessor, credentials: Secret, charge: Callable[..., Any], wrong: int
) -> None:
    """A capture or a refund of it is refused, by its field."""
    held, paid = charge(5120, "kwd", capture=False), charge(5120, "kwd")
    refused = Refused(code="amount_misfit", param="amount")
    assert stripe.capture(credentials, reference=held.reference, amount=wrong, key="k1") == refused
    it: dict[str, Any] = {"amount": wrong, "reason": None, "marks": marks("r"), "key": "k2"}
    assert stripe.refund(credentials, reference=paid.reference, **it) == refused


def test_a_dispute_is_counted_our_way() -> None:
    """As what it is about; its status is handed on, whatever it is."""
    dispute = {"id": "du_1", "payment_intent": "pi_1", "status": "some_new_status", "reason": "fraudulent"}
    met = disputed(dispute | {"amount": 50_000, "currency": "isk"})
    assert (met.amount, met.currency, met.status) == (500, "isk", "some_new_status")
