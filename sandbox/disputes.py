"""Disputes: what follows a charge of the cards that make them, and what evidence does to it."""

from typing import Any

from sandbox import errors, listing, state
from sandbox.cards import BEHAVIOURS
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object

DAYS_TO_RESPOND = 7
FEE = 1500
KINDS = {
    "fraudulent": {"status": "needs_response", "is_charge_refundable": False, "case_type": "chargeback"},
    "inquiry": {"status": "warning_needs_response", "is_charge_refundable": True, "case_type": "inquiry"},
}
EVIDENCE = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
)
OPEN = ("needs_response", "warning_needs_response")
VERDICTS = {
    ("winning_evidence", "needs_response"): "won",
    ("losing_evidence", "needs_response"): "lost",
    ("winning_evidence", "warning_needs_response"): "warning_closed",
    ("losing_evidence", "warning_needs_response"): "lost",
}
UNDER_REVIEW = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}


def follow(account: Account, charge: Object) -> None:
    """Dispute a captured charge if its card does that."""
    name = BEHAVIOURS[charge["_behaviour"]].dispute
    if name is None:
        return
    kind = KINDS[name]
    dispute = state.add(account, "disputes", _blank(account, charge, kind))
    charge["disputed"] = True
    emit(account, "charge.dispute.created", dispute)
    if not dispute["is_charge_refundable"]:
        dispute["balance_transactions"].append(_movement(account, dispute, -charge["amount"], FEE))
        emit(account, "charge.dispute.funds_withdrawn", dispute)


def blocks_refund(account: Account, charge: Object) -> bool:
    """Whether a dispute keeps this charge from being refunded."""
    disputes = state.newest_first(account, "disputes", {"charge": charge["id"]})
    return any(not dispute["is_charge_refundable"] for dispute in disputes)


def get(account: Account, name: str, _: Params) -> Object:
    """One dispute."""
    dispute = state.find(account, "disputes", name)
    if dispute is None:
        raise errors.missing("dispute", name, param="id")
    return dispute


def update(account: Account, name: str, params: Params) -> Object:
    """Take evidence; ``winning_evidence`` and ``losing_evidence`` as its text decide at once, other text waits."""
    dispute = _open(account, name)
    given = {key: text or None for key, text in (params.get("evidence") or {}).items()}
    unknown = given.keys() - EVIDENCE.split()
    if unknown:
        raise errors.invalid(f"Received unknown parameter: evidence[{min(unknown)}]", code="parameter_unknown")
    dispute["evidence"] = dispute["evidence"] | given
    dispute["metadata"] = merged(dispute["metadata"], params)
    if given and params.get("submit", True):
        _submit(dispute)
    emit(account, "charge.dispute.updated", dispute, {})
    _end(account, dispute)
    return dispute


def close(account: Account, name: str, _: Params) -> Object:
    """Accept the dispute: it is lost, an inquiry is over."""
    dispute = _open(account, name)
    dispute["status"] = "warning_closed" if dispute["is_charge_refundable"] else "lost"
    _end(account, dispute)
    return dispute


def index(account: Account, params: Params) -> Object:
    """Disputes, newest first; by charge or payment intent."""
    return listing.page(account, "disputes", params, by=("charge", "payment_intent"))


def _open(account: Account, name: str) -> Object:
    dispute = get(account, name, {})
    if dispute["status"] not in OPEN:
        raise errors.refused("This dispute is already closed, or under review.")
    return dispute


def _submit(dispute: Object) -> None:
    text = str(dispute["evidence"]["uncategorized_text"])
    dispute["status"] = VERDICTS.get((text, dispute["status"]), UNDER_REVIEW[dispute["status"]])
    dispute["evidence_details"] |= {"has_evidence": True, "submission_count": 1, "submission_method": "manual"}


def _end(account: Account, dispute: Object) -> None:
    if dispute["status"] == "won":
        dispute["balance_transactions"].append(_movement(account, dispute, dispute["amount"], -FEE))
        emit(account, "charge.dispute.funds_reinstated", dispute)
    if dispute["status"] in ("won", "lost", "warning_closed"):
        emit(account, "charge.dispute.closed", dispute)


def _blank(account: Account, charge: Object, kind: dict[str, Any]) -> Object:
    card = {"brand": charge["payment_method_details"]["card"]["brand"], "network_reason_code": "10"}
    return {
        "id": state.new_id("du"),
        "object": "dispute",
        "amount": charge["amount"],
        "balance_transactions": [],
        "charge": charge["id"],
        "created": account.now(),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys(EVIDENCE.split()) | {"enhanced_evidence": {}},
        "evidence_details": _evidence_details(account),
        "is_charge_refundable": kind["is_charge_refundable"],
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": card | {"case_type": kind["case_type"], "network": card["brand"]},
            "type": "card",
        },
        "reason": "fraudulent",
        "status": kind["status"],
    }


def _evidence_details(account: Account) -> Object:
    return {
        "due_by": account.now() + DAYS_TO_RESPOND * 86_400,
        "enhanced_eligibility": {},
        "has_evidence": False,
        "past_due": False,
        "submission_count": 0,
        "submission_method": "not_submitted",
    }


def _movement(account: Account, dispute: Object, amount: int, fee: int) -> Object:
    entry = {"amount": fee, "application": None, "currency": dispute["currency"], "type": "stripe_fee"}
    return {
        "id": state.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": account.now(),
        "balance_type": "payments",
        "created": account.now(),
        "currency": dispute["currency"],
        "description": f"Dispute of {dispute['charge']}",
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [entry | {"description": "Dispute fee"}],
        "net": amount - fee,
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "source": dispute["id"],
        "status": "available",
        "type": "adjustment",
    }
