"""What schemathesis can't know: what it made before, cards that the sandbox takes, purposes, what goes with what.

Half of the calls get it, so that they come further than the door; the rest stay as they were made up.
"""

import os
from datetime import UTC, datetime
from typing import Any

import schemathesis

CARDS = (
    "4242424242424242",
    "5555555555554444",
    "378282246310005",
    "4000000000000002",
    "4000002760003184",
    "4000000000009995",
    "4000000000000341",
)
NAMES = {
    "tok": "token_id",
    "cus": "customer_id",
    "chg": "charge_id",
    "rfd": "refund_id",
    "rr": "request_id",
    "hold": "hold_id",
    "evt": "event_id",
    "whe": "endpoint_id",
}
"""What paths call an id, by how it begins."""

KEPT = {
    "POST /v1/tokens": ("metadata",),
    "POST /v1/charges": ("capture_method",),
    "POST /v1/rights-requests": ("external_id",),
    "POST /v1/webhook-endpoints": ("events",),
    "POST /v1/webhook-endpoints/{endpoint_id}/replay": (),
    "POST /v1/customers/search": (),
    "POST /opendsr/v2/requests": ("subject_request_id", "subject_request_type", "regulation"),
    "POST /fides/pre-execution": ("privacy_request_id", "direction"),
}
"""Fields that stay as they are; of all others in the body there are then those of `_good` alone."""

SEEN: dict[str, str] = {}
"""The last id of each kind that was answered."""


@schemathesis.hook
def after_call(_context: Any, _case: Any, response: Any) -> None:
    """Remember what was made, or is there."""
    shown = response.json() if response.status_code in {200, 201, 202} and b"{" in response.content[:1] else {}
    ident = shown.get("id")
    if str(shown.get("url")).startswith("/v1/packages/"):
        SEEN["link"] = shown["url"].rpartition("/")[2]
    if isinstance(ident, str) and (ident[:4] != "tok_" or shown["status"] == "active"):
        SEEN[NAMES.get(ident.partition("_")[0], "")] = ident


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: dict[str, Any]) -> None:
    """Mend every other call where it can't come far otherwise, and more of those that make what others need."""
    chance = sum(repr((case.headers, case.body, case.query)).encode())  # the same for the same call
    if chance % 2 == 0 or (chance % 3 and case.operation.label in KEPT):
        _mend(case, chance // 2)
    _spare_the_account(case)


def _mend(case: Any, number: int) -> None:
    if "Access-Purpose" in (case.headers or {}):
        case.headers["Access-Purpose"] = 'support; ref="T-1"'
    if "Idempotency-Key" in (case.headers or {}) and number % 4:
        case.headers["Idempotency-Key"] = f"call-{number}"  # one that was made up has mostly named another call before
    for name, ident in SEEN.items() if _leaves_it_usable(case) else ():
        if name in (case.path_parameters or {}):
            case.path_parameters[name] = ident
    if case.operation.label in KEPT and isinstance(case.body, dict):
        kept = {name: case.body[name] for name in KEPT[case.operation.label] if name in case.body}
        case.body = {**_good(case.operation.label, number), **kept}


def _leaves_it_usable(case: Any) -> bool:
    """What deletes or restricts is for what links lead to: the last thing made is what the next calls need."""
    return case.operation.method != "delete" and not case.operation.path.endswith("/restriction")


def _spare_the_account(case: Any) -> None:
    """Accounts that the fuzzer adds have credentials that the sandbox takes; the one that there is stays as it is."""
    path_ids = case.path_parameters or {}
    if path_ids.get("account_id") == os.environ["FUZZ_ACCOUNT"]:
        path_ids["account_id"] = "pa_00aaaaaaaaaaaaaaaaaaaaaaaaaa"
    if case.operation.path.startswith("/v1/processor-accounts") and isinstance(case.body, dict):
        credentials = case.body.get("credentials", case.body)
        if isinstance(credentials, dict) and isinstance(credentials.get("api_key"), str):
            credentials["api_key"] = "sk_test_fuzz"
        case.body.pop("default", None)


def _good(label: str, number: int) -> dict[str, Any]:
    card = CARDS[number % len(CARDS)]
    cvc = "1234" if len(card) == len("378282246310005") else "123"
    customer = {"customer": SEEN["customer_id"]} if "customer_id" in SEEN and number % 3 == 0 else {}
    kept = os.environ["FUZZ_TOKEN"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    email = {"identity_type": "email", "identity_value": "ada@example.com", "identity_format": "raw"}
    bodies: dict[str, dict[str, Any]] = {
        "POST /v1/tokens": {
            "type": "card",
            "card": {"number": card, "exp_month": 12, "exp_year": 2034, "cvc": cvc},
            **customer,
        },
        "POST /v1/charges": {
            "token": SEEN.get("token_id", kept) if number % 2 else kept,
            "currency": "eur",
            "amount": 100 + number % 9000,
            "obligation": f"invoice-{number}",
        },
        "POST /v1/rights-requests": {
            "type": ("access", "portability", "rectification", "erasure")[number % 4],
            "customers": [SEEN.get("customer_id", "none")],
            "submitted_at": now,
            "verification": {"method": "account"},
        },
        "POST /v1/webhook-endpoints": {"url": "https://shop.example/"},
        "POST /v1/webhook-endpoints/{endpoint_id}/replay": {"since": "2026-01-01T00:00:00Z"},
        "POST /v1/customers/search": {"email": "ada@example.com"},
        "POST /opendsr/v2/requests": {
            "submitted_time": now,
            "subject_identities": [email],
            "status_callback_urls": ["https://controller.example.com/dsr"],
        },
        "POST /fides/pre-execution": {
            "callback_type": "pre",
            "policy_action": "erasure",
            "identity": {"email": "ada@example.com"},
        },
    }
    return bodies[label]
