from collections.abc import Callable
from typing import Any

import pytest
import stripe


def test_a_card_becomes_a_payment_method_without_its_number(
    client: stripe.StripeClient, card: Callable[..., Any]
) -> None:
    """Brand, last four and a fingerprint come back, and the same card has the same fingerprint in one account."""
    made, again = (client.v1.payment_methods.create(card()) for _ in range(2))
    assert made.card
    assert again.card
    assert (made.card.brand, made.card.last4, made.card.exp_year) == ("visa", "4242", 2034)
    assert made.card.fingerprint == again.card.fingerprint
    assert made.card.checks
    assert made.card.checks.cvc_check == "unchecked"


@pytest.mark.parametrize(
    ("number", "brand"),
    [
        ("4242424242424242", "visa"),
        ("5555555555554444", "mastercard"),
        ("378282246310005", "amex"),
        ("6011111111111117", "discover"),
    ],
)
def test_brands(client: stripe.StripeClient, card: Callable[..., Any], number: str, brand: str) -> None:
    """Each documented number has its brand, and each brand its ``pm_card_`` id, new at each use."""
    made = client.v1.payment_methods.create(card(number))
    assert made.card
    assert made.card.brand == brand
    customers = [client.v1.customers.create({"payment_method": f"pm_card_{brand}"}).id for _ in range(2)]
    ids = [client.v1.customers.payment_methods.list(one).data[0].id for one in customers]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"number": "4242"}, "incorrect_number", "number"),
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2019}, "invalid_expiry_year", "exp_year"),
        ({"cvc": "12"}, "invalid_cvc", "cvc"),
        ({"number": "378282246310005", "cvc": "123"}, "invalid_cvc", "cvc"),
        ({"number": "4111111111111111"}, "card_declined", None),
    ],
)
def test_a_card_that_cannot_be_taken(
    client: stripe.StripeClient, card: Callable[..., Any], change: dict[str, Any], code: str, param: str | None
) -> None:
    """A 402 with the code; a card outside the table of test cards is declined as in Stripe's test mode."""
    with pytest.raises(stripe.CardError) as refused:
        client.v1.payment_methods.create(card(**{"number": "4242424242424242", **change}))
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (402, code, param)
    if param is None:
        assert refused.value.error
        assert refused.value.error.decline_code == "test_mode_live_card"


def test_attaching_is_to_one_customer(
    client: stripe.StripeClient, card: Callable[..., Any], attached: Callable[..., Any]
) -> None:
    """Attaching again to the same customer is fine, to another a 400; the issuer has then checked the CVC."""
    customer, method = attached()
    again = client.v1.payment_methods.attach(method, {"customer": customer})
    assert again.card
    assert again.card.checks
    assert (again.customer, again.card.checks.cvc_check) == (customer, "pass")
    other = client.v1.customers.create()
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        client.v1.payment_methods.attach(method, {"customer": other.id})
    with pytest.raises(stripe.InvalidRequestError, match="Attach"):
        client.v1.payment_methods.create(card() | {"customer": customer})


def test_detaching_is_for_good(
    client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """A detached method can be read; detaching, attaching and charging it again are 400s without a code."""
    customer, method = attached()
    assert client.v1.payment_methods.detach(method).customer is None
    assert client.v1.payment_methods.retrieve(method).id == method
    tries: list[Callable[[], Any]] = [
        lambda: client.v1.payment_methods.detach(method),
        lambda: client.v1.payment_methods.attach(method, {"customer": customer}),
        lambda: pay(method, customer),
    ]
    for attempt in tries:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            attempt()
        assert (refused.value.http_status, refused.value.code) == (400, None)


def test_lists_and_updates_of_a_customers_methods(
    client: stripe.StripeClient, card: Callable[..., Any], attached: Callable[..., Any]
) -> None:
    """Both lists hold what is attached; an attached method can be renewed, a loose one cannot."""
    customer, method = attached()
    loose = client.v1.payment_methods.create(card())
    listed = client.v1.payment_methods.list({"customer": customer, "type": "card"})
    of_customer = client.v1.customers.payment_methods.list(customer)
    assert [one.id for one in listed] == [one.id for one in of_customer] == [method]
    assert client.v1.customers.payment_methods.retrieve(customer, method).id == method
    change: Any = {
        "card": {"exp_month": 1, "exp_year": 2036},
        "billing_details": {"email": "jo@example.com", "address": {"city": "Ghent"}},
        "metadata": {"a": "1"},
    }
    changed = client.v1.payment_methods.update(method, change)
    assert changed.card
    assert (changed.card.exp_month, changed.card.exp_year) == (1, 2036)
    changed = client.v1.payment_methods.update(method, {"billing_details": {"name": "Jo"}})
    assert (changed.billing_details.email, changed.billing_details.name) == ("jo@example.com", "Jo")
    assert changed.billing_details.address
    assert changed.billing_details.address.city == "Ghent"
    changed = client.v1.payment_methods.update(method, {"billing_details": {"email": "", "address": {"city": ""}}})
    assert changed.billing_details.to_dict()["address"]["city"] is changed.billing_details.email is None
    client.v1.payment_methods.update(method, {"billing_details": {"address": {"city": "Ghent", "country": "BE"}}})
    changed = client.v1.payment_methods.update(method, {"billing_details": {"address": ""}})
    assert set(changed.billing_details.to_dict()["address"].values()) == {None}
    assert changed.billing_details.name == "Jo"
    with pytest.raises(stripe.InvalidRequestError, match="must attach"):
        client.v1.payment_methods.update(loose.id, change)


def test_a_card_number_in_another_place_is_refused(client: stripe.StripeClient) -> None:
    """Metadata is kept, so a card number there is a 400 that does not repeat it; order numbers pass."""
    for text in ("4242424242424242", "paid with 4242 4242 4242 4242."):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.customers.create({"metadata": {"note": text}})
        assert "4242" not in str(refused.value.json_body)
    client.v1.customers.create({"metadata": {"order": "4242424242424241", "phone": "+4242424242424242"}})
