"""What must hold of money however things went: our records against the sandbox's book, for one tenant."""

from collections import Counter
from typing import Any

from house import Tenant, word
from records_scene import at_processor, end_leases, rows

from vault.processing import intents
from vault.tables import charges, refunds, tokens
from vault.tables import intents as intent_table

OPERATIONS = ("tokenize", "charge", "capture", "refund", "void")
PAID = {"succeeded", "captured"}
DONE = {"tokenize": "active", "charge": "succeeded", "capture": "captured", "refund": "succeeded", "void": "voided"}
NOT_DONE: dict[str, tuple[int, str, str]] = {
    "tokenize": (409, "code", "never_stored"),
    "charge": (409, "code", "never_charged"),
    "capture": (200, "status", "authorized"),
    "refund": (201, "status", "failed"),
    "void": (200, "status", "authorized"),
}
"""What the key of a call is answered that was never carried out, and never will be."""


def prepared(tenant: Tenant, operation: str) -> dict[str, Any]:
    """A call that is ready to be made once: method, path, body and its idempotency key."""
    path, body = _PREPARED[operation](tenant)
    return {"method": "POST", "path": path, "body": body, "key": word(), "api_key": tenant.keys["all"]}


def made(tenant: Tenant, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Make the call, or make it again: status and body."""
    answer = tenant.call(order["method"], order["path"], order["body"], Idempotency_Key=order["key"])
    return answer.status_code, answer.get_json()


def _card(_tenant: Tenant) -> tuple[str, dict[str, Any]]:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    return "/v1/tokens", {"type": "card", "card": card, "customer": {"reference": word()}}


def _order(tenant: Tenant, **more: object) -> dict[str, Any]:
    if tenant.id not in _TOKENS:
        _TOKENS[tenant.id] = tenant.token()["id"]
    return {"token": _TOKENS[tenant.id], "amount": 1234, "currency": "eur", "obligation": word(), **more}


def _authorized(tenant: Tenant) -> str:
    charge = tenant.call("POST", "/v1/charges", _order(tenant, capture_method="manual"), Idempotency_Key=word())
    return f"/v1/charges/{charge.get_json()['id']}"


def _paid(tenant: Tenant) -> str:
    charge = tenant.call("POST", "/v1/charges", _order(tenant), Idempotency_Key=word())
    return f"/v1/charges/{charge.get_json()['id']}"


_TOKENS: dict[str, str] = {}
_PREPARED = {
    "tokenize": _card,
    "charge": lambda tenant: ("/v1/charges", _order(tenant)),
    "capture": lambda tenant: (f"{_authorized(tenant)}/capture", {"amount": 1000}),
    "refund": lambda tenant: (f"{_paid(tenant)}/refunds", {"amount": 500}),
    "void": lambda tenant: (f"{_authorized(tenant)}/void", None),
}


def settled(tenant: Tenant, rounds: int = 10) -> None:
    """Rounds of the worker, each after all leases are over, until no intent is open."""
    for _ in range(rounds):
        open_ones = [row.operation for row in rows(tenant.house, intent_table, tenant_id=tenant.id, state="pending")]
        if not open_ones:
            return
        end_leases(tenant.house)
        tenant.house.work()
    raise AssertionError(f"intents do not come to their end: {open_ones}")


def book(tenant: Tenant) -> dict[str, dict[str, Any]]:
    """The payments of this tenant at the processor, by the id of our charge. None is there twice."""
    keyring = tenant.house.components.keyring
    ids = {intents.tag(keyring, tenant.id, row.charge_id): row.charge_id for row in charges_of(tenant)}
    theirs = [row for row in tenant.house.sandbox.book()["charges"] if row["metadata"].get("panless") in ids]
    twice = [tag for tag, number in Counter(row["metadata"]["panless"] for row in theirs).items() if number > 1]
    assert twice == [], "double charges"
    return {ids[row["metadata"]["panless"]]: row for row in theirs}


def charges_of(tenant: Tenant) -> Any:
    return rows(tenant.house, charges, tenant_id=tenant.id)


def assert_money_is_true(tenant: Tenant) -> None:
    """Nothing is open; each charge, capture and refund is as the book has it; no obligation is paid twice."""
    found = book(tenant)
    for row in charges_of(tenant):
        assert row.step is None
        there = found.get(row.charge_id)
        taken = there["amount"] if there and there["captured"] else 0
        assert (row.state in PAID, row.amount_captured) == (taken > 0, taken), (row.state, there)
        assert row.amount_refunded == (there["refunded"] if there and taken else 0), (row.state, there)
        given = sum(
            each.amount
            for each in rows(tenant.house, refunds, tenant_id=tenant.id, charge_id=row.charge_id)
            if each.state == "succeeded"
        )
        assert given == row.amount_refunded
    paid = Counter(row.obligation_digest for row in charges_of(tenant) if row.state in PAID)
    assert max(paid.values(), default=1) == 1


def assert_no_orphans(tenant: Tenant) -> None:
    """Each payment method at the processor is one active token's, each customer there one of ours."""
    active = [row for row in rows(tenant.house, tokens, tenant_id=tenant.id) if row.state == "active"]
    there = at_processor(tenant)
    assert sum(len(methods) for methods in there.values()) == len(active)
    assert len([customer for customer, methods in there.items() if methods]) == len({row.customer_id for row in active})
