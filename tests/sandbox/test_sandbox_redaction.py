import json
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running

VERSION = stripe.api_version.partition(".")[0] + ".preview"
JOBS = "/v1/privacy/redaction_jobs"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(client: stripe.StripeClient) -> Ask:
    """A call of the preview, for which this SDK has no methods."""

    def call(method: str, path: str, **params: object) -> dict[str, Any]:
        return dict(client.raw_request(method, path, stripe_version=VERSION, **params).data)

    return call


@pytest.fixture
def job(ask: Ask) -> Callable[..., str]:
    def make(*customers: str, **more: str) -> str:
        made = ask("post", JOBS, objects={"customers": list(customers)}, **more)
        assert made["status"] == "validating"
        return str(made["id"])

    return make


@pytest.fixture
def person(client: stripe.StripeClient) -> str:
    params: Any = {"email": "jo@example.com", "name": "Jo Sandwich", "metadata": {"panless": "tag"}}
    return client.v1.customers.create(params).id


def status(ask: Ask, name: str) -> str:
    return str(ask("get", f"{JOBS}/{name}")["status"])


def test_a_job_goes_its_way(client: stripe.StripeClient, ask: Ask, job: Callable[..., str], person: str) -> None:
    """One state further at each reading, but for the one that waits to be run; each is announced; it runs once."""
    name = job(person)
    with pytest.raises(stripe.InvalidRequestError):
        ask("post", f"{JOBS}/{name}/run")
    name = job(client.v1.customers.create().id)
    assert [status(ask, name) for _ in range(2)] == ["ready", "ready"]
    assert ask("post", f"{JOBS}/{name}/run")["status"] == "redacting"
    assert [status(ask, name) for _ in range(2)] == ["succeeded", "succeeded"]
    with pytest.raises(stripe.InvalidRequestError) as again:
        ask("post", f"{JOBS}/{name}/run")
    assert again.value.http_status == 400
    assert [one["id"] for one in ask("get", JOBS, status="succeeded")["data"]] == [name]
    events = [one.type for one in client.v1.events.list() if one.data.object["id"] == name]
    assert events == [f"privacy.redaction_job.{state}" for state in ("succeeded", "ready", "created")]


@pytest.mark.parametrize("deleted", [False, True])
def test_redaction_takes_what_is_personal_everywhere(
    client: stripe.StripeClient, ask: Ask, job: Callable[..., str], person: str, *, deleted: bool
) -> None:
    """From the customer, deleted or not, its payment method, the events about them; what is another's stays."""
    setup: Any = {"payment_method": "pm_card_visa", "confirm": True, "allowed_payment_method_types": ["card"]}
    done = client.v1.setup_intents.create({"customer": person, "description": "for Jo Sandwich", **setup})
    details: Any = {"billing_details": {"name": "Jo Sandwich", "email": "jo@example.com"}}
    client.v1.payment_methods.update(str(done.payment_method), details)
    other = client.v1.customers.create({"email": "al@example.com"}).id
    if deleted:
        client.v1.customers.delete(person)
    name = job(person)
    assert status(ask, name) == "ready"
    ask("post", f"{JOBS}/{name}/run")
    assert status(ask, name) == "succeeded"
    shown = [
        client.v1.customers.retrieve(person),
        client.v1.payment_methods.retrieve(str(done.payment_method)),
        client.v1.setup_intents.retrieve(done.id),
        *client.v1.events.list({"limit": 100}),
    ]
    text = json.dumps([one.to_dict() for one in shown])
    assert person in text
    assert [word for word in ("Jo Sandwich", "jo@example.com", '"tag"') if word in text] == []
    assert client.v1.customers.retrieve(other).email == "al@example.com"


def test_unfinished_things_keep_a_job_from_running(
    client: stripe.StripeClient, ask: Ask, job: Callable[..., str], person: str
) -> None:
    """An intent or a subscription fails it, and is announced; ``fix`` ends both when it runs, not before."""
    intent = client.v1.setup_intents.create({"customer": person, "allowed_payment_method_types": ["card"]})
    failed = job(person)
    assert [status(ask, failed) for _ in range(2)] == ["failed", "failed"]
    assert client.v1.events.list({"type": "privacy.redaction_job.validation_error"}).data
    client.v1.setup_intents.cancel(intent.id)
    subscription = client.v1.subscriptions.create({"customer": person, "items": [{"price": "price_tea"}]})
    assert status(ask, job(person)) == "failed"
    fixing = job(person, validation_behavior="fix")
    intent = client.v1.setup_intents.create({"customer": person, "allowed_payment_method_types": ["card"]})
    assert status(ask, fixing) == "ready"
    assert client.v1.subscriptions.retrieve(subscription.id).status == "active"
    ask("post", f"{JOBS}/{fixing}/run")
    assert client.v1.subscriptions.retrieve(subscription.id).status == "canceled"
    assert client.v1.setup_intents.retrieve(intent.id).status == "canceled"


def test_a_young_charge_keeps_a_job_from_running(launch: Callable[..., Running]) -> None:
    """For 90 days; not even ``fix`` helps, and deleting the customer does not either."""
    own = launch()
    client = own.client("sk_test_a")
    customer = client.v1.customers.create().id
    pay: Any = {"amount": 100, "currency": "eur", "confirm": True, "allowed_payment_method_types": ["card"]}
    client.v1.payment_intents.create({"customer": customer, "payment_method": "pm_card_visa", **pay})
    client.v1.customers.delete(customer)

    def validated() -> str:
        given: Any = {"objects": {"customers": [customer]}, "validation_behavior": "fix"}
        made: Any = client.raw_request("post", JOBS, stripe_version=VERSION, **given).data
        read: Any = client.raw_request("get", f"{JOBS}/{made['id']}", stripe_version=VERSION).data
        return str(read["status"])

    assert validated() == "failed"
    own.hook("POST", "/_clock", {"advance_seconds": 91 * 86_400})
    assert validated() == "ready"


def test_a_customer_is_in_one_job_at_a_time(ask: Ask, job: Callable[..., str], person: str) -> None:
    """A second job fails while the first is under way."""
    job(person)
    assert status(ask, job(person)) == "failed"


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"objects": {"customers": []}},
        {"objects": {"customers": ["cus_none"]}},
        {"objects": {"customers": ["cus_none"] * 11}},
        {"objects": {"charges": ["ch_none"]}},
        {"objects": {"customers": ["cus_none"]}, "validation_behavior": "hope"},
    ],
)
def test_what_the_sandbox_does_not_redact(ask: Ask, params: dict[str, Any]) -> None:
    """A 400, and no job; one that never was is a 404."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        ask("post", JOBS, **params)
    assert refused.value.http_status == 400
    assert ask("get", JOBS)["data"] == []
    with pytest.raises(stripe.InvalidRequestError) as missing:
        ask("get", f"{JOBS}/prj_none")
    assert (missing.value.http_status, missing.value.code) == (404, "resource_missing")


def test_the_preview_answers_to_a_preview_version_only(
    sandbox: Running, client: stripe.StripeClient, ask: Ask, person: str
) -> None:
    """To another version, and to an account without it, as the fault makes one, the address is unknown: no code."""
    objects = {"customers": [person]}
    with pytest.raises(stripe.InvalidRequestError) as stable:
        client.raw_request("post", JOBS, objects=objects)
    sandbox.faults(do="unknown_url", path="/v1/privacy/*", method="*", times=2)
    with pytest.raises(stripe.InvalidRequestError) as without:
        ask("post", JOBS, objects=objects)
    with pytest.raises(stripe.InvalidRequestError):
        ask("get", JOBS)
    for refused in (stable, without):
        assert (refused.value.http_status, refused.value.code) == (404, None)
        assert "Unrecognized request URL" in str(refused.value)
    assert ask("get", JOBS)["data"] == []
