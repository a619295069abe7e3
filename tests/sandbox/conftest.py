from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from sandbox_process import Running, start

stripe.enable_telemetry = False


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("sandbox")
    one = start(home)
    yield one
    assert one.stop() == 0
    assert (home / "stderr.txt").read_text() == ""


@pytest.fixture
def sandbox(running: Running) -> Iterator[Running]:
    """The sandbox that all tests share; faults end with the test."""
    yield running
    running.hook("DELETE", "/_faults")


@pytest.fixture
def client(sandbox: Running) -> stripe.StripeClient:
    """An account of its own."""
    return sandbox.client()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a sandbox of one's own; it is stopped at the end."""
    started: list[Running] = []

    def begin(*options: str) -> Running:
        started.append(start(tmp_path, *options))
        return started[-1]

    yield begin
    for one in started:
        if one.program.poll() is None:
            one.stop()


@pytest.fixture
def card() -> Callable[..., dict[str, Any]]:
    def make(number: str = "4242424242424242", **change: object) -> dict[str, Any]:
        cvc = "1234" if len(number) == 15 else "123"
        return {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": cvc} | change}

    return make


@pytest.fixture
def attached(client: stripe.StripeClient, card: Callable[..., Any]) -> Callable[..., tuple[str, str]]:
    """A new customer and a payment method attached to it, without a setup intent."""

    def make(number: str = "4242424242424242") -> tuple[str, str]:
        customer = client.v1.customers.create({"email": "jo@example.com"})
        method = client.v1.payment_methods.create(card(number))
        client.v1.payment_methods.attach(method.id, {"customer": customer.id})
        return customer.id, method.id

    return make


@pytest.fixture
def pay(client: stripe.StripeClient) -> Callable[..., stripe.PaymentIntent]:
    """Create and confirm a payment intent in one call."""

    def make(method: str, customer: str | None = None, **more: object) -> stripe.PaymentIntent:
        params: Any = {
            "amount": 2000,
            "currency": "eur",
            "confirm": True,
            "payment_method": method,
            "allowed_payment_method_types": ["card"],
            **({"customer": customer} if customer else {}),
            **more,
        }
        return client.v1.payment_intents.create(params)

    return make
