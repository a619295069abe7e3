"""Charges: one attempt each to take money from a card."""

import secrets
from typing import Any

from sandbox import cards, disputes, errors, listing, payment_methods, state
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object

APPROVED = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 12,
    "seller_message": "Payment complete.",
    "type": "authorized",
}
UNUSED = (
    "application",
    "application_fee",
    "application_fee_amount",
    "failure_balance_transaction",
    "failure_code",
    "failure_message",
    "on_behalf_of",
    "receipt_number",
    "receipt_url",
    "review",
    "source_transfer",
    "transfer_data",
)
TAKEN_OVER = (
    "currency",
    "customer",
    "description",
    "receipt_email",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_group",
)
AUTHENTICATED = {
    "authentication_flow": "challenge",
    "electronic_commerce_indicator": "05",
    "exemption_indicator": None,
    "result": "authenticated",
    "result_reason": None,
    "transaction_id": None,
    "version": "2.2.0",
}


def attempt(account: Account, intent: Object, method: Object, *, authenticated: bool) -> Object:
    """Charge a card for a payment intent: the charge that succeeded (captured or not), or that failed."""
    charge = _blank(account, intent, method)
    decline = payment_methods.behaviour(method).decline
    if decline:
        _fail(charge, cards.decline(decline))
    else:
        payment_methods.pass_checks(method)
        _succeed(charge, intent)
    charge["payment_method_details"] = _details(method, authenticated=authenticated, succeeded=not decline)
    state.add(account, "charges", charge)
    emit(account, "charge.failed" if decline else "charge.succeeded", charge)
    if charge["captured"]:
        disputes.follow(account, charge)
    return charge


def capture(account: Account, charge: Object, amount: int) -> None:
    """Take all or part of what was authorized; the rest is released."""
    charge["captured"], charge["amount_captured"] = True, amount
    charge["balance_transaction"] = state.new_id("txn")
    emit(account, "charge.captured", charge)
    disputes.follow(account, charge)


def void(account: Account, charge: Object) -> None:
    """Give an authorization back untaken: Stripe shows it as refunded."""
    charge["refunded"], charge["amount_refunded"] = True, charge["amount"]
    emit(account, "charge.refunded", charge)


def get(account: Account, name: str, _: Params) -> Object:
    """One charge, failed ones too."""
    charge = state.find(account, "charges", name)
    if charge is None:
        raise errors.missing("charge", name, param="id")
    return charge


def update(account: Account, name: str, params: Params) -> Object:
    """Change the description, the receipt's address, shipping and metadata."""
    charge = get(account, name, params)
    charge |= {key: params[key] for key in ("description", "receipt_email", "shipping") if key in params}
    charge["metadata"] = merged(charge["metadata"], params)
    emit(account, "charge.updated", charge, {})
    return charge


def index(account: Account, params: Params) -> Object:
    """Charges, newest first; by customer or payment intent."""
    return listing.page(account, "charges", params, by=("customer", "payment_intent", "transfer_group"))


def _blank(account: Account, intent: Object, method: Object) -> Object:
    return {
        "id": state.new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "SANDBOX",
        "captured": False,
        "created": account.now(),
        "disputed": False,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "outcome": APPROVED,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "radar_options": {},
        "refunded": False,
        "status": "failed",
        "_behaviour": method["_behaviour"],
        **dict.fromkeys(UNUSED),
        **{name: intent[name] for name in TAKEN_OVER},
    }


def _succeed(charge: Object, intent: Object) -> None:
    charge.update(paid=True, status="succeeded")
    if intent["capture_method"] != "manual":
        charge.update(captured=True, amount_captured=charge["amount"], balance_transaction=state.new_id("txn"))


def _fail(charge: Object, decline: dict[str, Any]) -> None:
    charge.update(failure_code=decline["code"], failure_message=decline["message"])
    charge["outcome"] = APPROVED | {
        "advice_code": decline.get("advice_code"),
        "network_advice_code": decline.get("network_advice_code"),
        "network_decline_code": decline.get("network_decline_code"),
        "network_status": "declined_by_network",
        "reason": decline.get("decline_code", decline["code"]),
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }


def _details(method: Object, *, authenticated: bool, succeeded: bool) -> Object:
    face = method["card"]
    shown = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding", "last4", "wallet")
    card = {name: face[name] for name in shown} | {
        "authorization_code": f"{secrets.randbelow(10**6):06}" if succeeded else None,
        "installments": None,
        "mandate": None,
        "network": face["brand"],
        "network_token": {"used": False},
        "network_transaction_id": f"{secrets.randbelow(10**15):015}" if succeeded else None,
        "regulated_status": face["regulated_status"],
        "three_d_secure": AUTHENTICATED if authenticated else None,
    }
    return {"card": card, "type": "card"}
