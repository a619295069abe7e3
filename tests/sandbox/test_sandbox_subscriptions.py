import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe
from sandbox_process import Running


@pytest.fixture
def subscribe(client: stripe.StripeClient) -> Callable[[str], stripe.Subscription]:
    def make(customer: str) -> stripe.Subscription:
        return client.v1.subscriptions.create({"customer": customer, "items": [{"price": "price_tea", "quantity": 2}]})

    return make


def test_a_subscription_is_made_and_read(client: stripe.StripeClient, subscribe: Callable[..., Any]) -> None:
    """It is active at once, to the price that was named."""
    customer = client.v1.customers.create().id
    made = subscribe(customer)
    read = client.v1.subscriptions.retrieve(made.id).to_dict()
    assert (read["id"], read["customer"], read["status"]) == (made.id, customer, "active")
    [item] = read["items"]["data"]
    assert (item["price"]["id"], item["quantity"], item["subscription"]) == ("price_tea", 2, made.id)


def test_a_cancelled_subscription_ends_for_good(client: stripe.StripeClient, subscribe: Callable[..., Any]) -> None:
    """It can be read, and found by its status; lists leave it out unless asked; cancelling again is a 404."""
    customer = client.v1.customers.create().id
    ended, live = subscribe(customer), subscribe(customer)
    subscribe(client.v1.customers.create().id)
    assert client.v1.subscriptions.cancel(ended.id).status == "canceled"
    assert client.v1.subscriptions.retrieve(ended.id).ended_at

    def listed(**by: str) -> list[str]:
        given: Any = {"customer": customer, **by}
        return [one.id for one in client.v1.subscriptions.list(given)]

    assert listed() == listed(status="active") == [live.id]
    assert listed(status="canceled") == listed(status="ended") == [ended.id]
    assert listed(status="all") == [live.id, ended.id]
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.subscriptions.cancel(ended.id)
    assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")


def test_a_deleted_customers_subscriptions_end_at_once(
    client: stripe.StripeClient, subscribe: Callable[..., Any]
) -> None:
    """Each is announced, once; the customer's list is empty then, and of no customer at all it is a 400."""
    customer = client.v1.customers.create().id
    before, live = subscribe(customer), subscribe(customer)
    client.v1.subscriptions.cancel(before.id)
    client.v1.customers.delete(customer)
    assert client.v1.subscriptions.retrieve(live.id).status == "canceled"
    assert client.v1.subscriptions.list({"customer": customer}).data == []
    events = client.v1.events.list({"type": "customer.subscription.deleted"}).data
    assert [event.data.object["id"] for event in events] == [live.id, before.id]
    with pytest.raises(stripe.InvalidRequestError) as referred:
        client.v1.subscriptions.list({"customer": "cus_none"})
    assert (referred.value.http_status, referred.value.param) == (400, "customer")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"customer": "cus_none"}, "customer"),
        ({"customer": ""}, "customer"),
        ({"items": []}, "items"),
        ({"items": [{"price_data": {"currency": "usd"}}]}, "items"),
        ({"items": [{"price": "price_tea", "quantity": "many"}]}, "items[quantity]"),
    ],
)
def test_what_the_sandbox_cannot_subscribe(client: stripe.StripeClient, change: dict[str, Any], param: str) -> None:
    """A 400 that names the parameter, and nothing is made."""
    given: Any = {"customer": client.v1.customers.create().id, "items": [{"price": "price_tea"}], **change}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.subscriptions.create(given)
    assert (refused.value.http_status, refused.value.param) == (400, param)
    assert client.v1.subscriptions.list().data == []


def test_subscriptions_outlive_a_restart(launch: Callable[..., Running], tmp_path: Path) -> None:
    """They are in the state file, and a file from before there were any is read all the same."""
    first = launch("--state", "state.json")
    client = first.client("sk_test_a")
    customer = client.v1.customers.create().id
    made = client.v1.subscriptions.create({"customer": customer, "items": [{"price": "price_tea"}]})
    assert first.stop() == 0

    second = launch("--state", "state.json")
    assert [one.id for one in second.client("sk_test_a").v1.subscriptions.list({"customer": customer})] == [made.id]
    assert second.stop() == 0

    path = tmp_path / "state.json"
    content = json.loads(path.read_text())
    for kinds in content["accounts"].values():
        del kinds["subscriptions"], kinds["redaction_jobs"]
    path.write_text(json.dumps(content))
    third = launch("--state", "state.json").client("sk_test_a")
    assert third.v1.customers.retrieve(customer).id == customer
    assert third.v1.subscriptions.list({"customer": customer}).data == []
