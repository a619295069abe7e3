"""Payment methods: cards, taken apart at once into what a test card does and what may be shown of it.

The object holds the behaviour's name, the brand, the last four and a keyed fingerprint; see ``raw_card``.
"""

import time
from typing import Any

from sandbox import cards, errors, listing, raw_card, references, state
from sandbox import params as parameters
from sandbox.cards import BEHAVIOURS, BY_SHORTCUT, Behaviour, Card
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object

BILLING = ("address", "email", "name", "phone", "tax_id")
ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")
SHORTCUT = "pm_card_"
REUSED = (
    "This PaymentMethod was used without being attached to a Customer, or was detached from one. It may not be used "
    "again."
)


def create(account: Account, params: Params) -> Object:
    """A payment method from a raw test card; 402 for a card that is malformed, out of date or not a test card."""
    parameters.need(params, "type")
    if params.get("customer"):
        raise errors.invalid("Attach the PaymentMethod to the Customer afterwards.", param="customer")
    return make(account, params)


def make(account: Account, fields: dict[str, Any]) -> Object:
    """A payment method from ``type``, ``card``, ``billing_details`` and ``metadata``, with no word about a customer."""
    if fields.get("type") != "card":
        raise errors.invalid("The sandbox knows payment methods of type card only.", param="type")
    fields = fields | {"metadata": parameters.metadata("metadata", fields.get("metadata"))}
    raw = fields.get("card")
    if not isinstance(raw, dict):
        raise errors.invalid("Missing required param: card.", param="card", code="parameter_missing")
    return _add(account, *raw_card.read(account, raw), fields)


def referred(account: Account, name: str, *, param: str = "payment_method") -> Object:
    """The payment method that another object refers to; each use of a ``pm_card_`` id makes a new one."""
    if name in BY_SHORTCUT:
        card = BY_SHORTCUT[name]
        year = time.gmtime(account.now()).tm_year + 3
        return _add(account, card, raw_card.face(account, card, exp_month=12, exp_year=year, cvc=True), {})
    method = state.find(account, "payment_methods", name)
    if method is None:
        raise errors.missing("PaymentMethod", name, param=param, status=400)
    return method


def behaviour(method: Object) -> Behaviour:
    """What this card does."""
    return BEHAVIOURS[method["_behaviour"]]


def get(account: Account, name: str, _: Params) -> Object:
    """A payment method, attached or not."""
    if name.startswith(SHORTCUT):
        return referred(account, name)
    method = state.find(account, "payment_methods", name)
    if method is None:
        raise errors.missing("PaymentMethod", name, param="payment_method")
    return method


def update(account: Account, name: str, params: Params) -> Object:
    """Change billing details, expiry and metadata of an attached payment method."""
    method = get(account, name, params)
    if not method["customer"]:
        raise errors.refused("You must attach this PaymentMethod to a Customer before you can update it.")
    previous = {key: method[key] for key in ("billing_details", "metadata", "card")}
    if "billing_details" in params:
        method["billing_details"] = _billing(params["billing_details"] or {}, method["billing_details"])
    card = params.get("card") or {}
    for part in ("exp_month", "exp_year"):
        if part in card:
            method["card"] = method["card"] | {part: parameters.integer(f"card[{part}]", card[part])}
    raw_card.check_expiry(account, method["card"]["exp_month"], method["card"]["exp_year"])
    method["metadata"] = merged(method["metadata"], params)
    changed = {key: old for key, old in previous.items() if method[key] != old}
    emit(account, "payment_method.updated", method, changed)
    return method


def attach(account: Account, name: str, params: Params) -> Object:
    """Attach to a customer, for good or until detached; cards that always decline refuse with 402."""
    parameters.need(params, "customer")
    method = get(account, name, params)
    references.customer(account, params["customer"])
    if not behaviour(method).attaches:
        raise errors.card_error(cards.decline(str(behaviour(method).decline)))
    attach_to(account, method, params["customer"])
    return method


def attach_to(account: Account, method: Object, customer: str) -> None:
    """Attach; 400 when it belongs to another customer or may not be used again. Again to the same is fine."""
    if method["customer"] == customer:
        return
    if method["customer"]:
        raise errors.refused("The payment method you provided has already been attached to a customer.")
    check_usable(method)
    method["customer"] = customer
    pass_checks(method)
    state.reindex(account, "payment_methods", method)
    emit(account, "payment_method.attached", method)


def check_usable(method: Object) -> None:
    """Refuse with 400 what was detached, or used once without a customer."""
    if method["_burnt"]:
        raise errors.refused(REUSED)


def pass_checks(method: Object) -> None:
    """The issuer has seen the CVC and the address, and they were right."""
    checks = method["card"]["checks"]
    seen = {name: "pass" if value == "unchecked" else value for name, value in checks.items()}
    method["card"] = method["card"] | {"checks": seen}


def detach(account: Account, name: str, _: Params) -> Object:
    """Detach for good: it can still be read, never used or attached again. Again is a 400."""
    method = get(account, name, {})
    if not method["customer"]:
        raise errors.refused(
            "The payment method you provided is not attached to a customer, so detaching is impossible."
        )
    return release(account, name)


def release(account: Account, name: str) -> Object:
    """Take a payment method from its customer, irreversibly."""
    method = account.tables["payment_methods"][name]
    account.touched.add(("payment_methods", name))
    previous = {"customer": method["customer"]}
    method["customer"], method["_burnt"] = None, True
    emit(account, "payment_method.detached", method, previous)
    return method


def index(account: Account, params: Params) -> Object:
    """Payment methods, of one customer if named."""
    if params.get("customer") and params["customer"] not in account.tables["customers"]:
        raise errors.missing("customer", params["customer"], param="customer", status=400)
    return listing.page(account, "payment_methods", params, by=("customer", "type"))


def _add(account: Account, card: Card, face: Object, fields: dict[str, Any]) -> Object:
    details = _billing(parameters.mapping("billing_details", fields.get("billing_details")) or {})
    for part in ("line1", "postal_code"):
        if details["address"][part]:
            face["checks"][f"address_{part}_check"] = "unchecked"
    method = {
        "id": state.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": parameters.text("allow_redisplay", fields.get("allow_redisplay", "")) or "unspecified",
        "billing_details": details,
        "card": face,
        "created": account.now(),
        "customer": None,
        "livemode": False,
        "metadata": merged({}, fields),
        "type": "card",
        "_behaviour": card.behaviour,
        "_set_up": False,
        "_burnt": False,
    }
    return state.add(account, "payment_methods", method)


def _billing(given: dict[str, Any], before: Object | None = None) -> Object:
    """The details with what was given merged in; what was given empty is unset, a whole address too."""
    details: Object = before or dict.fromkeys(BILLING) | {"address": dict.fromkeys(ADDRESS)}
    address = parameters.mapping("billing_details[address]", given.get("address")) or {}
    if given.get("address") == "":
        address = dict.fromkeys(ADDRESS, "")
    plain = {name: parameters.text(name, given[name]) for name in BILLING if name in given and name != "address"}
    lines = {name: parameters.text(name, address[name]) for name in ADDRESS if name in address}
    return details | plain | {"address": details["address"] | lines}
