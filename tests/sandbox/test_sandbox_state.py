import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe
from sandbox_contract import typed_names
from sandbox_process import ROOT, Running

from sandbox.params import ACCEPTED

PAYMENT: Any = {"amount": 2000, "currency": "eur", "confirm": True, "allowed_payment_method_types": ["card"]}
SECRETS = [
    "4242424242424242",
    "4000008260003178",
    "jo@example.com",
    "Jo Sandwich",
    "+32470123456",
    "Peperstraat",
]
BILLING = {
    "email": "jo@example.com",
    "name": "Jo Sandwich",
    "phone": "+32470123456",
    "address": {"line1": "Peperstraat 1", "city": "Ghent"},
}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_yesterdays_payment_method_still_charges(
    launch: Callable[..., Running], tmp_path: Path, card: Callable[..., Any], number: int
) -> None:
    """Stopped and started again: objects, idempotency keys, set-ups, the clock and refunds under way are there."""
    first = launch("--state", "state.json")
    client = first.client("sk_test_a")
    customer = client.v1.customers.create({"email": "jo@example.com"}).id
    method = client.v1.payment_methods.create(card("4000002500003155")).id
    setup = client.v1.setup_intents.create(
        {"customer": customer, "payment_method": method, "confirm": True, "allowed_payment_method_types": ["card"]}
    )
    first.hook("POST", f"/_authenticate/{setup.id}", {"result": "succeed"})
    off_session: Any = PAYMENT | {"customer": customer, "payment_method": method, "off_session": True}
    paid = client.v1.payment_intents.create(off_session, {"idempotency_key": "yesterday"})
    pending = client.v1.payment_intents.create(PAYMENT | {"payment_method": "pm_card_pendingRefund"})
    refund = client.v1.refunds.create({"payment_intent": pending.id})
    first.hook("POST", "/_clock", {"advance_seconds": 20})
    assert first.stop(number) == 0
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600

    second = launch("--state", "state.json")
    client = second.client("sk_test_a")
    assert client.v1.payment_intents.create(off_session, {"idempotency_key": "yesterday"}).id == paid.id
    assert client.v1.payment_intents.create(off_session).status == "succeeded"
    assert [one.id for one in client.v1.payment_methods.list({"customer": customer})] == [method]
    assert client.v1.customers.retrieve(customer).email is None
    assert len(client.v1.payment_intents.list({"customer": customer}).data) == 2
    assert client.v1.refunds.retrieve(refund.id).status == "pending"
    second.hook("POST", "/_clock", {"advance_seconds": 20})
    assert client.v1.refunds.retrieve(refund.id).status == "succeeded"
    assert second.hook("GET", "/_clock")["advanced_seconds"] == 40


def test_state_is_written_behind(launch: Callable[..., Running], tmp_path: Path) -> None:
    """A crash loses about the last second; the file is whole JSON at every moment."""
    own = launch("--state", "state.json")
    made = own.client("sk_test_a").v1.customers.create().id
    deadline = time.monotonic() + 10
    while not (tmp_path / "state.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert own.stop(signal.SIGKILL) == -signal.SIGKILL
    assert made in json.dumps(json.loads((tmp_path / "state.json").read_text()))
    assert launch("--state", "state.json").client("sk_test_a").v1.customers.retrieve(made).id == made


def test_no_file_holds_what_was_entrusted(
    launch: Callable[..., Running], tmp_path: Path, card: Callable[..., Any]
) -> None:
    """After all kinds of requests no card number, CVC, name or contact is in the state or on the terminal."""
    own = launch("--state", "state.json")
    client = own.client("sk_test_a")
    customer = client.v1.customers.create({"email": "jo@example.com", "name": "Jo Sandwich", "phone": "+32470123456"})
    for number in ("4242424242424242", "4000008260003178"):
        params = card(number, cvc="873") | {"billing_details": BILLING}
        method = client.v1.payment_methods.create(params, {"idempotency_key": f"pm-{number[-4:]}"})
        assert method.billing_details.email == "jo@example.com"
        client.v1.payment_methods.attach(method.id, {"customer": customer.id})
        pay = PAYMENT | {"customer": customer.id, "payment_method": "pm_card_visa_chargeDeclined"}
        with pytest.raises(stripe.CardError):
            client.v1.payment_intents.create(pay | {"receipt_email": "jo@example.com"})
    client.v1.payment_intents.create(PAYMENT | {"payment_method": "pm_card_createDispute"})
    (dispute,) = client.v1.disputes.list().data
    client.v1.disputes.update(dispute.id, {"evidence": {"customer_name": "Jo Sandwich"}, "submit": False})
    for wrong in ({"number": "4111111111111111"}, {"number": "4242424242424241"}):
        with pytest.raises(stripe.CardError):
            client.v1.payment_methods.create(card(**{"number": "4242424242424242", **wrong}))
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.retrieve("4242424242424242")
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"description": "4242424242424242"})
    assert own.stop() == 0
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts.keys() == {"state.json", "stderr.txt"}
    assert texts["stderr.txt"] == ""
    secrets = [*SECRETS, "4111111111111111", "4242424242424241", "sk_test_a", '"873"']
    assert [secret for secret in secrets if secret in texts["state.json"]] == []


def test_memory_holds_no_card_number(launch: Callable[..., Running], card: Callable[..., Any]) -> None:
    """No object, event or stored answer that can be asked for has the number or the CVC."""
    client = launch().client()
    customer = client.v1.customers.create().id
    method = client.v1.payment_methods.create(card(cvc="873")).id
    client.v1.payment_methods.attach(method, {"customer": customer})
    client.v1.payment_intents.create(PAYMENT | {"customer": customer, "payment_method": method})
    seen = [client.v1.events.list({"limit": 100}), client.v1.charges.list(), client.v1.payment_methods.retrieve(method)]
    text = json.dumps([one.to_dict() for one in seen])
    assert "4242424242" not in text
    assert '"873"' not in text


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "[]", "{}", '{"version": 2}', '{"version":1,"secret":"00","clock_offset":0,"accounts":[]}'],
)
def test_a_faulty_state_file_is_refused(tmp_path: Path, content: str) -> None:
    """Exit code 2 and one sentence; the file stays as it is."""
    (tmp_path / "state.json").write_text(content)
    done = run("--state", str(tmp_path / "state.json"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "state.json" in done.stderr
    assert (tmp_path / "state.json").read_text() == content


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--host", "0.0.0.0"], "this machine only"),  # noqa: S104 - what must be refused
        (["--host", "192.168.1.2"], "this machine only"),
        (["--port", "70000"], "port"),
        (["--state", "/nowhere/at/all.json"], "no folder"),
    ],
)
def test_what_cannot_be_started(options: list[str], word: str) -> None:
    """Exit code 2 and a sentence."""
    done = run(*options)
    assert done.returncode == 2
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken(sandbox: Running) -> None:
    """Exit code 2 and a sentence."""
    done = run("--port", sandbox.url.rpartition(":")[2])
    assert done.returncode == 2
    assert "cannot listen" in done.stderr


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sandbox", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)


def test_a_reset_forgets_everything(launch: Callable[..., Running]) -> None:
    """As if just started."""
    own = launch()
    own.client("sk_test_a").v1.customers.create()
    own.hook("POST", "/_clock", {"advance_seconds": 5})
    own.hook("POST", "/_reset")
    assert own.hook("GET", "/_ledger") == {"charges": [], "customers": [], "payment_methods": []}
    assert own.hook("GET", "/_clock")["advanced_seconds"] == 0


TYPED = {
    "POST /v1/customers": "CustomerCreateParams",
    "POST /v1/customers/*": "CustomerUpdateParams",
    "GET /v1/customers": "CustomerListParams",
    "GET /v1/customers/search": "CustomerSearchParams",
    "POST /v1/payment_methods/*/attach": "PaymentMethodAttachParams",
    "GET /v1/payment_methods": "PaymentMethodListParams",
    "POST /v1/setup_intents": "SetupIntentCreateParams",
    "POST /v1/setup_intents/*": "SetupIntentUpdateParams",
    "POST /v1/setup_intents/*/confirm": "SetupIntentConfirmParams",
    "POST /v1/setup_intents/*/cancel": "SetupIntentCancelParams",
    "GET /v1/setup_intents": "SetupIntentListParams",
    "POST /v1/payment_intents": "PaymentIntentCreateParams",
    "POST /v1/payment_intents/*": "PaymentIntentUpdateParams",
    "POST /v1/payment_intents/*/confirm": "PaymentIntentConfirmParams",
    "POST /v1/payment_intents/*/capture": "PaymentIntentCaptureParams",
    "POST /v1/payment_intents/*/cancel": "PaymentIntentCancelParams",
    "GET /v1/payment_intents": "PaymentIntentListParams",
    "GET /v1/charges": "ChargeListParams",
    "POST /v1/charges/*": "ChargeUpdateParams",
    "POST /v1/refunds": "RefundCreateParams",
    "POST /v1/refunds/*": "RefundUpdateParams",
    "GET /v1/refunds": "RefundListParams",
    "GET /v1/disputes": "DisputeListParams",
    "POST /v1/disputes/*": "DisputeUpdateParams",
    "POST /v1/subscriptions": "SubscriptionCreateParams",
    "GET /v1/subscriptions": "SubscriptionListParams",
    "DELETE /v1/subscriptions/*": "SubscriptionCancelParams",
    "GET /v1/events": "EventListParams",
    "POST /v1/webhook_endpoints": "WebhookEndpointCreateParams",
}


@pytest.mark.parametrize("route", TYPED)
def test_the_parameters_are_the_sdks(route: str) -> None:
    """What the SDK's types let a program send is known here, and nothing else is but what the wire took before."""
    accepted, typed = set(ACCEPTED[route].split()), typed_names(getattr(stripe.params, TYPED[route]))
    assert typed - accepted == set()
    assert accepted - typed <= {"payment_method_types"}
