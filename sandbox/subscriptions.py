"""Subscriptions, as far as a customer that goes needs them: active at once, take no money, end when cancelled."""

from typing import Any

from sandbox import errors, listing, references, state
from sandbox import params as parameters
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object

MONTH = 30 * 86_400
STATUSES = (
    "active",
    "all",
    "canceled",
    "ended",
    "incomplete",
    "incomplete_expired",
    "past_due",
    "paused",
    "trialing",
    "unpaid",
)
WITHIN: dict[str, dict[str, str]] = {"": {"_course": "live"}, "all": {}, "ended": {"_course": "ended"}}
"""Which fields a status of a list asks for; any other is the subscription's own. None at all leaves out what ended."""

PLAN = {"object": "plan", "amount": 1000, "interval": "month", "interval_count": 1, "usage_type": "licensed"}
PRICE = {"object": "price", "type": "recurring", "unit_amount": 1000}
UNUSED = (
    "application",
    "application_fee_percent",
    "billing_cycle_anchor_config",
    "billing_thresholds",
    "cancel_at",
    "canceled_at",
    "cancellation_details",
    "customer_account",
    "days_until_due",
    "default_source",
    "default_tax_rates",
    "ended_at",
    "latest_invoice",
    "next_pending_invoice_item_invoice",
    "on_behalf_of",
    "pause_collection",
    "payment_settings",
    "pending_invoice_item_interval",
    "pending_setup_intent",
    "pending_update",
    "schedule",
    "test_clock",
    "transfer_data",
    "trial_end",
    "trial_settings",
    "trial_start",
)


def create(account: Account, params: Params) -> Object:
    """A subscription of a customer to ``items[n][price]``: any id does as a price, for the sandbox keeps none."""
    parameters.need(params, "customer", "items")
    references.customer(account, params["customer"])
    subscription = _blank(account, params)
    subscription["items"] = _items(account, subscription, params["items"])
    state.add(account, "subscriptions", subscription)
    emit(account, "customer.subscription.created", subscription)
    return subscription


def get(account: Account, name: str, _: Params) -> Object:
    """One subscription, cancelled or not."""
    subscription = state.find(account, "subscriptions", name)
    if subscription is None:
        raise errors.missing("subscription", name, param="id")
    return subscription


def cancel(account: Account, name: str, params: Params) -> Object:
    """End it at once, for good. Again is a 404."""
    subscription = get(account, name, params)
    if subscription["_course"] == "ended":
        raise errors.missing("subscription", name, param="id")
    return _end(account, subscription)


def cancel_all(account: Account, customer: str) -> None:
    """End what a customer has: it goes."""
    for subscription in of(account, customer):
        _end(account, subscription)


def of(account: Account, customer: str) -> list[Object]:
    """A customer's subscriptions that have not ended."""
    return list(state.newest_first(account, "subscriptions", {"customer": customer, **WITHIN[""]}))


def index(account: Account, params: Params) -> Object:
    """Subscriptions, newest first; by customer and ``status``, without which those that ended are left out."""
    parameters.one_of(params, "status", STATUSES)
    if params.get("customer") and params["customer"] not in account.tables["customers"]:
        raise errors.missing("customer", params["customer"], param="customer", status=400)
    status = params.get("status") or ""
    within = WITHIN.get(status, {"status": status})
    return listing.page(account, "subscriptions", params, by=("customer",), **within)


def _end(account: Account, subscription: Object) -> Object:
    account.touched.add(("subscriptions", subscription["id"]))
    now = account.now()
    subscription.update(status="canceled", canceled_at=now, ended_at=now, _course="ended")
    emit(account, "customer.subscription.deleted", subscription)
    return subscription


def _items(account: Account, subscription: Object, given: dict[str, Any]) -> Object:
    rows = [_item(account, subscription, item) for item in given.values()]
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    return {"object": "list", "data": rows, "has_more": False, "url": url}


def _item(account: Account, subscription: Object, given: object) -> Object:
    price = given.get("price") if isinstance(given, dict) else None
    if not isinstance(price, str) or not isinstance(given, dict) or not given.keys() <= {"price", "quantity"}:
        raise errors.invalid("The sandbox takes items[n][price] and items[n][quantity].", param="items")
    now = account.now()
    return {
        "id": state.new_id("si"),
        "object": "subscription_item",
        "billing_thresholds": None,
        "created": now,
        "current_period_end": now + MONTH,
        "current_period_start": now,
        "discounts": [],
        "metadata": {},
        "plan": PLAN | _priced(account, price),
        "price": PRICE | _priced(account, price),
        "quantity": parameters.integer("items[quantity]", given.get("quantity", "1")),
        "subscription": subscription["id"],
        "tax_rates": [],
    }


def _priced(account: Account, price: str) -> Object:
    """What a price and the plan of the same id say alike."""
    return {
        "id": price,
        "active": True,
        "billing_scheme": "per_unit",
        "created": account.now(),
        "currency": "usd",
        "livemode": False,
        "metadata": {},
        "product": "prod_sandbox",
    }


def _blank(account: Account, params: Params) -> Object:
    now = account.now()
    return {
        "id": state.new_id("sub"),
        "object": "subscription",
        "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
        "billing_cycle_anchor": now,
        "billing_mode": {"type": "flexible"},
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": "usd",
        "customer": params["customer"],
        "default_payment_method": params.get("default_payment_method"),
        "description": params.get("description"),
        "discounts": [],
        "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
        "livemode": False,
        "metadata": merged({}, params),
        "start_date": now,
        "status": "active",
        "_course": "live",
        **dict.fromkeys(UNUSED),
    }
