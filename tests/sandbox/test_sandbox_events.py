import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import stripe
from sandbox_process import Running


class Shop:
    """A webhook receiver that fails as often as it is told to."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, str]] = []
        self.failures = 0
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                shop.received.append((body, self.headers["Stripe-Signature"]))
                self.send_response(500 if shop.failures > 0 else 200)
                shop.failures -= 1
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks?shop=1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, count: int) -> list[tuple[bytes, str]]:
        deadline = time.monotonic() + 10
        while len(self.received) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.received


@pytest.fixture
def shop() -> Iterator[Shop]:
    one = Shop()
    yield one
    one.server.shutdown()
    one.server.server_close()


def register(client: stripe.StripeClient, shop: Shop, *events: str) -> str:
    endpoint = client.v1.webhook_endpoints.create({"url": shop.url, "enabled_events": list(events or ("*",))})
    assert endpoint.secret
    return endpoint.secret


def types(client: stripe.StripeClient, received: list[tuple[bytes, str]], secret: str) -> list[str]:
    return [client.construct_event(body, signature, secret).type for body, signature in received]


def test_webhooks_are_signed(client: stripe.StripeClient, shop: Shop) -> None:
    """The SDK verifies them with the endpoint's secret and with no other."""
    secret = register(client, shop, "customer.created")
    made = client.v1.customers.create()
    ((body, signature),) = shop.wait(1)
    event: Any = stripe.Webhook.construct_event(body, signature, secret)
    assert (event.type, event.data.object.id) == ("customer.created", made.id)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body, signature, secret + "x")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(body + b" ", signature, secret)


def test_an_endpoint_shows_its_secret_once(client: stripe.StripeClient, shop: Shop) -> None:
    """At creation only; a deleted endpoint is gone."""
    register(client, shop)
    (endpoint,) = client.v1.webhook_endpoints.list().data
    assert "secret" not in endpoint.to_dict()
    assert "secret" not in client.v1.webhook_endpoints.retrieve(endpoint.id).to_dict()
    client.v1.webhook_endpoints.delete(endpoint.id)
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.retrieve(endpoint.id)


@pytest.mark.parametrize("url", ["https://example.com/hooks", "http://10.0.0.1/", "http://127.0.0.1.example.com/", "x"])
def test_webhooks_stay_on_this_machine(client: stripe.StripeClient, url: str) -> None:
    """Other addresses are refused."""
    with pytest.raises(stripe.InvalidRequestError, match="on this machine"):
        client.v1.webhook_endpoints.create({"url": url, "enabled_events": ["*"]})


def test_the_order_of_events(client: stripe.StripeClient, shop: Shop, pay: Callable[..., Any]) -> None:
    """As Stripe sends them: the charge before its payment, a dispute in between, a refund before its charge."""
    secret = register(client, shop)
    disputed = pay("pm_card_createDispute")
    held = pay("pm_card_visa", capture_method="manual")
    client.v1.payment_intents.capture(held.id)
    client.v1.refunds.create({"payment_intent": held.id})
    with pytest.raises(stripe.CardError):
        pay("pm_card_visa_chargeDeclined")
    expected = [
        *("payment_intent.created", "charge.succeeded", "charge.dispute.created", "charge.dispute.funds_withdrawn"),
        *("payment_intent.succeeded", "payment_intent.created", "charge.succeeded"),
        *("payment_intent.amount_capturable_updated", "charge.captured", "payment_intent.succeeded"),
        *("refund.created", "charge.refunded", "payment_intent.created", "charge.failed"),
        "payment_intent.payment_failed",
    ]
    assert types(client, shop.wait(len(expected)), secret) == expected
    listed = client.v1.events.list({"limit": 100}).data
    assert [one.type for one in listed] == expected[::-1]
    (created,) = client.v1.events.list({"type": "charge.dispute.created"}).data
    assert created.data.object["payment_intent"] == disputed.id
    assert client.v1.events.retrieve(created.id).to_dict() == created.to_dict()


def test_a_webhook_is_sent_again_until_it_is_taken(client: stripe.StripeClient, shop: Shop) -> None:
    """A receiver that fails gets the same event again."""
    shop.failures = 1
    secret = register(client, shop, "customer.created")
    client.v1.customers.create()
    received = shop.wait(2)
    assert types(client, received, secret) == ["customer.created"] * 2
    assert received[0][0] == received[1][0]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("twice", ["charge.succeeded", "payment_intent.succeeded"] * 2),
        ("reverse", ["payment_intent.succeeded", "charge.succeeded"]),
        ("drop", ["customer.created"]),
    ],
)
def test_webhooks_that_go_wrong(
    sandbox: Running,
    client: stripe.StripeClient,
    shop: Shop,
    pay: Callable[..., Any],
    mode: str,
    expected: list[str],
) -> None:
    """They come twice, in reverse, or not at all, until the faults are cleared."""
    secret = register(client, shop, "charge.succeeded", "payment_intent.succeeded", "customer.created")
    sandbox.hook("POST", "/_faults", {"webhooks": mode})
    pay("pm_card_visa")
    if mode == "drop":
        time.sleep(0.2)
        sandbox.hook("DELETE", "/_faults")
        client.v1.customers.create()
    received = types(client, shop.wait(len(expected)), secret)
    assert sorted(received) == sorted(expected)
    assert mode == "twice" or received == expected


def test_a_replaced_card_is_announced(
    sandbox: Running, client: stripe.StripeClient, shop: Shop, attached: Callable[..., Any]
) -> None:
    """The hook renews a card as an issuer does: same payment method, new face, an event with the old one."""
    _, method = attached()
    secret = register(client, shop, "payment_method.automatically_updated")
    new = {"exp_month": 1, "exp_year": 2039, "last4": "9999"}
    sandbox.hook("POST", f"/_update_card/{method}", new)
    ((body, signature),) = shop.wait(1)
    event: Any = client.construct_event(body, signature, secret)
    assert event.data.object.card.last4 == "9999"
    assert event.data.previous_attributes.to_dict()["card"] == {"exp_month": 12, "exp_year": 2034, "last4": "4242"}
    renewed = client.v1.payment_methods.retrieve(method).card
    assert renewed
    assert (renewed.exp_year, renewed.last4) == (2039, "9999")
    assert sandbox.hook("POST", f"/_update_card/{method}", {"last4": 9999})["status"] == 400
    assert sandbox.hook("POST", "/_update_card/pm_none", new)["status"] == 404
