"""API keys: whose account they open, which are refused, and what a restricted one may not do."""

from uuid import uuid4

import pytest
import stripe
from sandbox_process import Running


@pytest.fixture
def account() -> str:
    return uuid4().hex


def customers(client: stripe.StripeClient) -> list[str]:
    return [one.id for one in client.v1.customers.list().data]


def test_two_keys_of_one_account_open_the_same(sandbox: Running, account: str) -> None:
    """What stands before the suffix is the account: objects, its id and idempotency keys are shared."""
    first, second = (sandbox.client(f"sk_test_{account}{suffix}") for suffix in ("", "_new"))
    made = first.v1.customers.create({}, {"idempotency_key": "same"})
    assert customers(second) == [made.id]
    assert second.v1.customers.create({}, {"idempotency_key": "same"}).id == made.id
    assert first.v1.accounts.retrieve_current().id == second.v1.accounts.retrieve_current().id
    assert customers(sandbox.client(f"sk_test_{account}x")) == []


def test_a_restricted_key_may_not_read_the_account(sandbox: Running, account: str) -> None:
    """All but that: it makes and lists in the account it belongs to."""
    restricted = sandbox.client(f"rk_test_{account}_shop")
    made = restricted.v1.customers.create({})
    assert customers(sandbox.client(f"sk_test_{account}")) == [made.id]
    with pytest.raises(stripe.PermissionError) as refused:
        restricted.v1.accounts.retrieve_current()
    assert refused.value.http_status == 403
    assert refused.value.json_body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("status", "error"), [(401, stripe.AuthenticationError), (403, stripe.PermissionError)])
def test_a_key_is_refused_until_it_is_taken_again(
    sandbox: Running, account: str, status: int, error: type[stripe.StripeError]
) -> None:
    """That key alone; the account's other keys and what is there stay as they are."""
    key = f"sk_test_{account}"
    client, other = sandbox.client(key), sandbox.client(key + "_other")
    made = client.v1.customers.create({})
    assert sandbox.hook("POST", "/_keys", {"key": key, "refused": status}) == {"refused": status}
    with pytest.raises(error) as refused:
        client.v1.customers.create({}, {"idempotency_key": "k"})
    assert refused.value.http_status == status
    assert refused.value.json_body["error"]["type"] == "invalid_request_error"
    assert customers(other) == [made.id]
    assert sandbox.hook("POST", "/_keys", {"key": key, "refused": None}) == {"refused": None}
    assert client.v1.customers.create({}, {"idempotency_key": "k"}).id in customers(client)


@pytest.mark.parametrize("key", ["sk_live_x", "rk_live_x", "pk_test_x", "x"])
def test_a_live_key_or_none_opens_nothing(sandbox: Running, key: str) -> None:
    """Test keys only."""
    with pytest.raises(stripe.AuthenticationError):
        customers(sandbox.client(key))


@pytest.mark.parametrize(
    "order", [{}, {"key": "sk_test_a"}, {"key": "x", "refused": 401}, {"key": "sk_test_a", "refused": 500}, {"key": 7}]
)
def test_a_wrong_order_about_a_key_is_refused(sandbox: Running, order: dict[str, object]) -> None:
    """A 400 that says what to send."""
    assert sandbox.hook("POST", "/_keys", order)["status"] == 400
