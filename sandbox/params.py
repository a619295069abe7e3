"""The parameters each endpoint takes, and how their text becomes a value.

The names are those of the SDK's typed parameters (``stripe.params``), plus ``payment_method_types`` and the raw card
in ``payment_method_data``, which the wire still takes. An unknown name is a 400, as at Stripe.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox import errors

PAGE = "ending_before expand limit starting_after "
CUSTOMER = (
    "address balance business_name cash_balance description email expand individual_name invoice_prefix "
    "invoice_settings metadata name next_invoice_sequence phone preferred_locales shipping source tax "
    "tax_exempt validate "
)
TYPES_TAKEN = "allowed_payment_method_types excluded_payment_method_types "
METHOD = TYPES_TAKEN + "expand payment_method payment_method_data payment_method_options "
ABOUT = "customer customer_account description metadata payment_method_configuration payment_method_types "
CONFIRM = "confirmation_token mandate_data return_url use_stripe_sdk "
PAYMENT = "amount_details capture_method hooks payment_details receipt_email setup_future_usage shipping "
PRICE = (
    "amount application_fee_amount currency statement_descriptor statement_descriptor_suffix transfer_data "
    "transfer_group "
)
AWAY = "error_on_requires_action mandate off_session radar_options "
CREATE = "automatic_payment_methods confirm on_behalf_of "
ACCEPTED = {
    "POST /v1/customers": CUSTOMER + "payment_method tax_id_data test_clock",
    "POST /v1/customers/*": CUSTOMER + "default_source",
    "GET /v1/customers": PAGE + "created email test_clock",
    "GET /v1/customers/search": "expand limit page query",
    "GET /v1/customers/*/payment_methods": PAGE + "allow_redisplay type",
    "POST /v1/payment_methods": "allow_redisplay billing_details card customer expand metadata radar_options type",
    "POST /v1/payment_methods/*": "allow_redisplay billing_details card expand metadata",
    "GET /v1/payment_methods": PAGE + "allow_redisplay customer customer_account type",
    "POST /v1/payment_methods/*/attach": "customer customer_account expand",
    "POST /v1/setup_intents": METHOD + ABOUT + CONFIRM + CREATE + "attach_to_self flow_directions single_use usage",
    "POST /v1/setup_intents/*": METHOD + ABOUT + "attach_to_self flow_directions",
    "POST /v1/setup_intents/*/confirm": CONFIRM
    + "allowed_payment_method_types expand payment_method payment_method_data payment_method_options",
    "POST /v1/setup_intents/*/cancel": "cancellation_reason expand",
    "GET /v1/setup_intents": PAGE + "attach_to_self created customer customer_account payment_method",
    "POST /v1/payment_intents": METHOD + ABOUT + CONFIRM + CREATE + PAYMENT + PRICE + AWAY + "confirmation_method",
    "POST /v1/payment_intents/*": METHOD + ABOUT + PAYMENT + PRICE,
    "POST /v1/payment_intents/*/confirm": METHOD + CONFIRM + PAYMENT + AWAY + "amount_to_confirm payment_method_types",
    "POST /v1/payment_intents/*/capture": "amount_details amount_to_capture application_fee_amount expand "
    "final_capture hooks metadata payment_details statement_descriptor statement_descriptor_suffix transfer_data",
    "POST /v1/payment_intents/*/cancel": "cancellation_reason expand",
    "GET /v1/payment_intents": PAGE + "created customer customer_account",
    "GET /v1/charges": PAGE + "created customer payment_intent transfer_group",
    "POST /v1/charges/*": "customer description expand fraud_details metadata receipt_email shipping transfer_group",
    "POST /v1/refunds": "amount charge currency customer expand instructions_email metadata origin payment_intent "
    "reason refund_application_fee reverse_transfer",
    "POST /v1/refunds/*": "expand metadata",
    "GET /v1/refunds": PAGE + "charge created payment_intent",
    "GET /v1/disputes": PAGE + "charge created payment_intent",
    "POST /v1/disputes/*": "evidence expand intended_submission_method metadata submit",
    "POST /v1/subscriptions": "add_invoice_items application_fee_percent automatic_tax backdate_start_date "
    "billing_cycle_anchor billing_cycle_anchor_config billing_mode billing_schedules billing_thresholds cancel_at "
    "cancel_at_period_end collection_method currency customer customer_account days_until_due default_payment_method "
    "default_source default_tax_rates description discounts expand invoice_settings items metadata off_session "
    "on_behalf_of payment_behavior payment_settings pending_invoice_item_interval proration_behavior transfer_data "
    "trial_end trial_from_plan trial_period_days trial_settings",
    "GET /v1/subscriptions": PAGE + "automatic_tax collection_method created current_period_end current_period_start "
    "customer customer_account plan price status test_clock",
    "DELETE /v1/subscriptions/*": "cancellation_details expand invoice_now prorate",
    "POST /v1/privacy/redaction_jobs": "expand objects validation_behavior",
    "GET /v1/privacy/redaction_jobs": PAGE + "status",
    "GET /v1/events": PAGE + "created delivery_success type types",
    "POST /v1/webhook_endpoints": "api_version connect description enabled_events expand metadata url",
    "GET /v1/webhook_endpoints": PAGE,
}
ALWAYS = "expand"
METADATA_KEYS, METADATA_KEY, METADATA_VALUE = 50, 40, 500

Params = dict[str, Any]


def read(route: str, fields: Mapping[str, Any]) -> Params:
    """The typed parameters of one request; raises a 400 that names the parameter at fault."""
    unknown = fields.keys() - ACCEPTED.get(route, ALWAYS).split()
    if unknown:
        name = min(unknown)
        raise errors.invalid(f"Received unknown parameter: {name}", param=name, code="parameter_unknown")
    return {name: TYPES.get(name, text)(name, value) for name, value in fields.items()}


def need(params: Params, *names: str) -> None:
    """Refuse with 400 when one of these was not sent."""
    for name in names:
        if params.get(name) is None:
            raise errors.invalid(f"Missing required param: {name}.", param=name, code="parameter_missing")


def one_of(params: Params, name: str, allowed: tuple[str, ...]) -> None:
    """Refuse with 400 a value that is none of these; a parameter that was not sent is fine."""
    if params.get(name) is not None and params[name] not in allowed:
        raise errors.invalid(f"Invalid {name}: must be one of {', '.join(allowed)}", param=name)


def text(name: str, value: object) -> str | None:
    """Text as sent; nothing (which unsets) when empty."""
    if isinstance(value, dict):
        raise errors.invalid(f"Invalid string: {name} is a mapping.", param=name)
    return str(value or "") or None


def integer(name: str, value: object) -> int:
    """A whole number."""
    if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
        raise errors.invalid(f"Invalid integer: {name}", param=name, code="parameter_invalid_integer")
    return int(value)


def boolean(name: str, value: object) -> bool:
    """``true`` or ``false``."""
    if value not in ("true", "false"):
        raise errors.invalid(f"Invalid boolean: {name}", param=name)
    return value == "true"


def off_session(name: str, value: object) -> bool:
    """A boolean, or the words that mean that the customer is away."""
    return value in ("one_off", "recurring") or boolean(name, value)


def mapping(name: str, value: object) -> dict[str, Any] | None:
    """Nested fields; nothing (which unsets) when sent empty."""
    if isinstance(value, dict):
        return value or None
    if value:
        raise errors.invalid(f"Invalid object: {name}", param=name)
    return None


def strings(name: str, value: object) -> list[str]:
    """A list, in the order of its indexes."""
    items = value if isinstance(value, dict) else {"0": value} if value else {}
    if not all(index.isdecimal() and isinstance(item, str) for index, item in items.items()):
        raise errors.invalid(f"Invalid array: {name}", param=name)
    return [str(items[index]) for index in sorted(items, key=int)]


def moment(name: str, value: object) -> dict[str, int]:
    """Bounds on a time in seconds: ``gt``, ``gte``, ``lt``, ``lte``; a bare number is both bounds."""
    bounds = value if isinstance(value, dict) else {"gte": value, "lte": value}
    if not bounds.keys() <= {"gt", "gte", "lt", "lte"}:
        raise errors.invalid(f"Invalid time range: {name}", param=name)
    return {bound: integer(f"{name}[{bound}]", second) for bound, second in bounds.items()}


def metadata(name: str, given: object) -> dict[str, str] | None:
    """Up to 50 pairs; an empty value unsets a key, an empty ``metadata`` all of them."""
    pairs = mapping(name, given) or {}
    fits = len(pairs) <= METADATA_KEYS and all(
        isinstance(value, str) and len(key) <= METADATA_KEY and len(value) <= METADATA_VALUE
        for key, value in pairs.items()
    )
    if not fits:
        raise errors.invalid("Metadata takes 50 pairs, keys of 40 and values of 500 characters.", param=name)
    return pairs or None


def merged(old: Mapping[str, str], params: Params) -> dict[str, str]:
    """Metadata after an update: keys merge, an empty value unsets its key, an empty mapping unsets all."""
    if params.get("metadata") is None:
        return {} if "metadata" in params else dict(old)
    return {key: value for key, value in {**old, **params["metadata"]}.items() if value}


TYPES: dict[str, Callable[[str, object], Any]] = (
    dict.fromkeys(("amount", "amount_to_capture", "balance", "limit", "next_invoice_sequence"), integer)
    | dict.fromkeys(("confirm", "submit", "error_on_requires_action", "use_stripe_sdk", "connect"), boolean)
    | dict.fromkeys(("allowed_payment_method_types", "enabled_events", "expand", "payment_method_types"), strings)
    | dict.fromkeys(("preferred_locales", "types", "excluded_payment_method_types", "flow_directions"), strings)
    | dict.fromkeys(("address", "billing_details", "card", "evidence", "invoice_settings", "items", "objects"), mapping)
    | dict.fromkeys(("automatic_payment_methods", "mandate_data", "payment_method_data", "shipping"), mapping)
    | dict.fromkeys(("payment_method_options", "amount_details", "cash_balance", "tax", "tax_id_data"), mapping)
    | dict.fromkeys(("hooks", "payment_details", "radar_options", "transfer_data", "single_use"), mapping)
    | {"fraud_details": mapping, "metadata": metadata, "created": moment, "off_session": off_session}
)
