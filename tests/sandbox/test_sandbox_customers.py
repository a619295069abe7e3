from collections.abc import Callable
from typing import Any

import pytest
import stripe
from sandbox_process import Running


def test_a_customer_is_created_read_and_updated(client: stripe.StripeClient) -> None:
    """What was sent comes back; an update merges metadata, and what is sent empty is unset."""
    made = client.v1.customers.create({"email": "jo@example.com", "metadata": {"a": "1", "b": "2"}})
    assert client.v1.customers.retrieve(made.id).email == "jo@example.com"
    changed = client.v1.customers.update(made.id, {"email": "", "name": "Jo", "metadata": {"a": "", "c": "3"}})
    assert changed.metadata
    assert (changed.email, changed.name, changed.metadata.to_dict()) == (None, "Jo", {"b": "2", "c": "3"})
    assert client.v1.customers.update(made.id, {"metadata": ""}).to_dict()["metadata"] == {}


def test_a_deleted_customer_leaves_a_stub(
    client: stripe.StripeClient, attached: Callable[..., Any], pay: Callable[..., Any]
) -> None:
    """Reading it answers 200 with the stub, deleting again 404; its method is detached, its charges stay."""
    customer, method = attached()
    paid = pay(method, customer)
    assert client.v1.customers.delete(customer).deleted
    assert client.v1.customers.retrieve(customer).to_dict() == {"id": customer, "object": "customer", "deleted": True}
    assert client.v1.payment_methods.retrieve(method).customer is None
    assert [one.id for one in client.v1.payment_intents.list({"customer": customer})] == [paid.id]
    assert client.v1.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.customers.delete(customer)
    assert (gone.value.http_status, gone.value.code) == (404, "resource_missing")
    with pytest.raises(stripe.InvalidRequestError) as referred:
        pay("pm_card_visa", customer)
    assert (referred.value.http_status, referred.value.param) == (400, "customer")


def test_lists_are_newest_first_and_paged(client: stripe.StripeClient) -> None:
    """Pages follow each other both ways, and ``has_more`` says whether there is another."""
    made = [client.v1.customers.create().id for _ in range(5)][::-1]
    first = client.v1.customers.list({"limit": 2})
    assert ([one.id for one in first], first.has_more) == (made[:2], True)
    last = client.v1.customers.list({"limit": 3, "starting_after": made[1]})
    assert ([one.id for one in last], last.has_more) == (made[2:], False)
    back = client.v1.customers.list({"limit": 1, "ending_before": made[3]})
    assert ([one.id for one in back], back.has_more) == ([made[2]], True)
    assert [one.id for one in client.v1.customers.list({"limit": 2}).auto_paging_iter()] == made


def test_lists_are_filtered_by_time(client: stripe.StripeClient) -> None:
    """``created`` takes bounds, and a bare second is both."""
    made = client.v1.customers.create()
    assert client.v1.customers.list({"created": {"gte": made.created, "lte": made.created}}).data
    assert client.v1.customers.list({"created": made.created}).data
    assert client.v1.customers.list({"created": {"gt": made.created}}).data == []
    assert client.v1.customers.list({"created": {"lt": made.created}}).data == []


def test_each_key_is_an_account_of_its_own(sandbox: Running, client: stripe.StripeClient) -> None:
    """Another key's objects are as if they never were."""
    made = client.v1.customers.create()
    with pytest.raises(stripe.InvalidRequestError) as missing:
        sandbox.client().v1.customers.retrieve(made.id)
    assert (missing.value.http_status, missing.value.param) == (404, "id")
    assert client.v1.accounts.retrieve_current().id != sandbox.client().v1.accounts.retrieve_current().id


@pytest.mark.parametrize("key", ["sk_live_1234567890", "pk_test_1234567890", "nonsense"])
def test_only_secret_test_keys_open_an_account(sandbox: Running, key: str) -> None:
    """Live keys, publishable keys and nonsense get Stripe's 401, which does not repeat the key."""
    with pytest.raises(stripe.AuthenticationError) as refused:
        sandbox.client(key).v1.customers.create()
    assert refused.value.http_status == 401
    assert key not in str(refused.value.json_body)


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"nickname": "Jo"}, "parameter_unknown", "nickname"),
        ({"balance": "much"}, "parameter_invalid_integer", "balance"),
        ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
    ],
)
def test_wrong_parameters_are_named(
    client: stripe.StripeClient, params: dict[str, Any], code: str | None, param: str
) -> None:
    """A 400 says which parameter is at fault, and no customer is made."""
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        client.v1.customers.create(params)
    assert (wrong.value.http_status, wrong.value.code, wrong.value.param) == (400, code, param)
    assert client.v1.customers.list().data == []


def test_an_unknown_endpoint_is_a_404(client: stripe.StripeClient) -> None:
    """What the sandbox does not have is refused as Stripe refuses what it does not have."""
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.products.create({"name": "Tea"})
    assert missing.value.http_status == 404


def test_customers_are_searched_by_metadata(client: stripe.StripeClient) -> None:
    """All of one value and nobody else, newest first; a deleted one is not found."""
    made = [client.v1.customers.create({"metadata": {"panless": "a"}}).id for _ in range(3)][::-1]
    client.v1.customers.create({"metadata": {"panless": "b", "other": "a"}})

    def found(query: str, **more: int) -> list[str]:
        given: Any = {"query": query, **more}
        return [one.id for one in client.v1.customers.search(given)]

    assert found('metadata["panless"]:"a"') == made
    assert found('metadata["panless"]:"a"', limit=2) == made[:2]
    assert found('metadata["panless"]:"c"') == []
    client.v1.customers.delete(made[0])
    assert found('metadata["panless"]:"a"') == made[1:]


@pytest.mark.parametrize(
    "params",
    [
        {"query": 'email:"jo@example.com"'},
        {"query": 'metadata["a"]:"b" OR metadata["c"]:"d"'},
        {"query": 'metadata["a"]:null'},
        {"query": ""},
        {"query": 'metadata["a"]:"b"', "page": "x"},
        {"query": 'metadata["a"]:"b"', "limit": 101},
    ],
)
def test_any_other_search_is_refused(client: stripe.StripeClient, params: Any) -> None:
    """A 400: what the sandbox cannot search it does not answer with nobody."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.customers.search(params)
    assert refused.value.http_status == 400
