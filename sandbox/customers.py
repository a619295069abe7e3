"""Customers."""

from typing import Any

from sandbox import errors, listing, payment_methods, state, subscriptions
from sandbox.events import emit
from sandbox.params import Params, merged, text
from sandbox.state import Account, Object

CONTACT = ("name", "email", "phone", "description", "business_name", "individual_name")
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
UPDATABLE = (*CONTACT, "address", "shipping", "tax_exempt", "balance", "preferred_locales", "invoice_prefix")


def create(account: Account, params: Params) -> Object:
    """A new customer; ``payment_method`` is attached to it."""
    if params.get("source"):
        raise errors.invalid("The sandbox knows payment methods, not sources.", param="source")
    customer = state.add(account, "customers", _blank(account))
    try:
        _change(account, customer, params)
        if params.get("payment_method"):
            method = payment_methods.referred(account, params["payment_method"])
            payment_methods.attach_to(account, method, customer["id"])
    except errors.WireError:
        state.remove(account, "customers", customer["id"])
        raise
    emit(account, "customer.created", customer)
    return customer


def get(account: Account, name: str, _: Params) -> Object:
    """A customer; once deleted, the stub that says so."""
    customer = state.find(account, "customers", name)
    if customer is None:
        raise errors.missing("customer", name, param="id")
    return customer


def update(account: Account, name: str, params: Params) -> Object:
    """Change what was sent; what was sent empty is unset."""
    customer = _living(account, name)
    previous = _change(account, customer, params)
    emit(account, "customer.updated", customer, previous)
    return customer


def delete(account: Account, name: str, _: Params) -> Object:
    """Leave a stub: subscriptions end, the data goes, payment methods are detached; charges and intents stay."""
    customer = _living(account, name)
    subscriptions.cancel_all(account, name)
    emit(account, "customer.deleted", customer)
    for method in list(state.newest_first(account, "payment_methods", {"customer": name})):
        payment_methods.release(account, method["id"])
    kept = {key: customer[key] for key in ("id", "object", "_order")}
    customer.clear()
    customer.update(kept, deleted=True)
    return customer


def index(account: Account, params: Params) -> Object:
    """Customers that were not deleted, newest first."""
    return listing.page(account, "customers", params, by=("email",))


def list_payment_methods(account: Account, name: str, params: Params) -> Object:
    """The payment methods of one customer."""
    _living(account, name)
    url = f"/v1/customers/{name}/payment_methods"
    return listing.page(account, "payment_methods", params, by=("type",), url=url, customer=name)


def get_payment_method(account: Account, name: str, method: str, params: Params) -> Object:
    """One payment method of one customer."""
    _living(account, name)
    found = payment_methods.get(account, method, params)
    if found["customer"] != name:
        raise errors.missing("PaymentMethod", method, param="payment_method")
    return found


def _living(account: Account, name: str) -> Object:
    customer = get(account, name, {})
    if customer.get("deleted"):
        raise errors.missing("customer", name, param="id")
    return customer


def _blank(account: Account) -> Object:
    return {
        "id": state.new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": account.now(),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": state.new_id("x")[-8:].upper(),
        "invoice_settings": _invoice_settings({}),
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _change(account: Account, customer: Object, params: Params) -> Object:
    """Apply the parameters; the answer holds the values before."""
    new: dict[str, Any] = {name: params[name] for name in UPDATABLE if name in params}
    if new.get("address"):
        new["address"] = dict.fromkeys(ADDRESS) | _unset(new["address"])
    if "invoice_settings" in params:
        default = text("default_payment_method", (params["invoice_settings"] or {}).get("default_payment_method", ""))
        if default and payment_methods.referred(account, default)["customer"] != customer["id"]:
            raise errors.refused("The default payment method is attached to another customer, or to none.")
        new["invoice_settings"] = _invoice_settings({"default_payment_method": default})
    if "metadata" in params:
        new["metadata"] = merged(customer["metadata"], params)
    previous = {name: customer.get(name) for name, value in new.items() if customer.get(name) != value}
    customer.update(new)
    return previous


def _unset(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value or None for name, value in fields.items()}


def _invoice_settings(fields: Object) -> Object:
    blank = dict.fromkeys(("custom_fields", "default_payment_method", "footer", "rendering_options"))
    return blank | fields
