"""Refunds: at once for most cards; pending first, or failing later, for two of them."""

from typing import Any

from sandbox import currencies, disputes, errors, listing, state
from sandbox import params as parameters
from sandbox.cards import BEHAVIOURS
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object, Sandbox

SETTLES_AFTER = 30
REASONS = ("duplicate", "fraudulent", "requested_by_customer")
COURSES: dict[str, tuple[str, str | None]] = {
    "succeeds": ("succeeded", None),
    "pending": ("pending", "succeeded"),
    "fails": ("succeeded", "failed"),
}


def create(account: Account, params: Params) -> Object:
    """Refund a charge, in full or in part."""
    parameters.one_of(params, "reason", REASONS)
    charge = _charge(account, params)
    left = charge["amount_captured"] - charge["amount_refunded"]
    amount = params.get("amount", left)
    _check(account, charge, amount, left)
    currencies.check_amount(amount, charge["currency"])
    refund = state.add(account, "refunds", _blank(account, charge, params, amount))
    emit(account, "refund.created", refund)
    _count(charge, amount)
    emit(account, "charge.refunded", charge)
    return refund


def get(account: Account, name: str, _: Params) -> Object:
    """One refund."""
    refund = state.find(account, "refunds", name)
    if refund is None:
        raise errors.missing("refund", name, param="id")
    return refund


def update(account: Account, name: str, params: Params) -> Object:
    """Change the metadata."""
    refund = get(account, name, params)
    previous = {"metadata": refund["metadata"]}
    refund["metadata"] = merged(refund["metadata"], params)
    emit(account, "refund.updated", refund, previous)
    return refund


def index(account: Account, params: Params) -> Object:
    """Refunds, newest first; by charge or payment intent."""
    return listing.page(account, "refunds", params, by=("charge", "payment_intent"))


def settle(sandbox: Sandbox) -> None:
    """Bring the refunds whose time has come to their end."""
    for account in sandbox.accounts.values():
        due = [name for name, moment in account.settling.items() if moment <= account.now()]
        for name in due:
            del account.settling[name]
            _settle(account, get(account, name, {}))


def _settle(account: Account, refund: Object) -> None:
    previous = {"status": refund["status"]}
    refund["status"] = refund.pop("_becomes")
    refund.pop("_settles_at")
    if refund["status"] == "failed":
        refund["failure_reason"] = "unknown"
        refund["failure_balance_transaction"] = state.new_id("txn")
        _count(_found(account, refund["charge"]), -refund["amount"])
    emit(account, "refund.updated", refund, previous)
    emit(account, "charge.refund.updated", refund, previous)
    if refund["status"] == "failed":
        emit(account, "refund.failed", refund)


def _charge(account: Account, params: Params) -> Object:
    if params.get("charge"):
        charge = state.find(account, "charges", params["charge"])
        if charge is None:
            raise errors.missing("charge", params["charge"], param="charge", status=400)
        return charge
    parameters.need(params, "payment_intent")
    intent = state.find(account, "payment_intents", params["payment_intent"])
    if intent is None:
        raise errors.missing("payment_intent", params["payment_intent"], param="payment_intent", status=400)
    charge = state.find(account, "charges", intent["latest_charge"])
    if charge is None or charge["status"] != "succeeded":
        raise errors.refused(f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.")
    return charge


def _check(account: Account, charge: Object, amount: int, left: int) -> None:
    if charge["status"] != "succeeded":
        raise errors.refused(f"Charge {charge['id']} failed: there is nothing to refund.")
    if not charge["captured"]:
        raise errors.refused(f"Charge {charge['id']} is not captured. Cancel its PaymentIntent to release it.")
    if disputes.blocks_refund(account, charge):
        raise errors.refused(f"Charge {charge['id']} has been charged back.", code="charge_disputed")
    if charge["refunded"]:
        raise errors.refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if not 0 < amount <= left:
        raise errors.refused(f"Refund amount ({amount}) must be from 1 to what is left ({left}).", param="amount")


def _count(charge: Object, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] >= charge["amount_captured"]


def _found(account: Account, charge: str) -> Object:
    found = state.find(account, "charges", charge)
    if found is None:
        raise LookupError
    return found


def _blank(account: Account, charge: Object, params: Params, amount: int) -> Object:
    status, becomes = COURSES[BEHAVIOURS[charge["_behaviour"]].refund]
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number", "type": "refund"}
    refund: dict[str, Any] = {
        "id": state.new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": state.new_id("txn"),
        "charge": charge["id"],
        "created": account.now(),
        "currency": charge["currency"],
        "destination_details": {"card": card, "type": "card"},
        "metadata": merged({}, params),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if becomes:
        refund |= {"_becomes": becomes, "_settles_at": account.now() + SETTLES_AFTER}
        account.settling[refund["id"]] = refund["_settles_at"]
    return refund
