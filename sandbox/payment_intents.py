"""Payment intents: take money from a card, now or in two steps."""

from sandbox import charges, confirmation, currencies, errors, intents, listing, state
from sandbox import params as parameters
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object

CANCELLATION_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
CAPTURE_METHODS = ("automatic", "automatic_async", "manual")
FUTURE_USAGES = ("off_session", "on_session")
CONFIRMATION_METHODS = ("automatic", "manual")
CANCELABLE = (*intents.CONFIRMABLE, "requires_capture", "processing")
OPTIONS = ("installments", "mandate_options", "network")
UNUSED = (
    "application",
    "application_fee_amount",
    "canceled_at",
    "cancellation_reason",
    "customer",
    "last_payment_error",
    "latest_charge",
    "next_action",
    "on_behalf_of",
    "payment_method",
    "payment_method_configuration_details",
    "processing",
    "review",
    "source",
    "statement_descriptor",
    "transfer_data",
)
GIVEN = (
    "description",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor_suffix",
    "transfer_group",
)


def create(account: Account, params: Params) -> Object:
    """A payment intent; with ``confirm`` it is carried out at once."""
    parameters.need(params, "amount", "currency")
    _check(params)
    if "off_session" in params and not params.get("confirm"):
        raise errors.invalid("off_session goes with confirm=true.", param="off_session")
    intent = _blank(account, params)
    _check_amount(intent["amount"], intent["currency"])
    if params.get("confirm"):
        intents.check_return_url(intent, params)
    intents.take(account, intent, params)
    if params.get("confirm"):
        intents.method_of(account, intent)
    state.add(account, "payment_intents", intent)
    emit(account, "payment_intent.created", intent)
    return confirmation.carry_out(account, intent, params) if params.get("confirm") else intent


def confirm(account: Account, name: str, params: Params) -> Object:
    """Carry it out: paid, held, asking for authentication, or declined (402)."""
    _check(params)
    intent = get(account, name, {})
    intents.check_status(intent, "confirmed", intents.CONFIRMABLE)
    intents.check_return_url(intent, params)
    intents.take(account, intent, params)
    intent.update({key: params[key] for key in (*GIVEN, "capture_method") if key in params})
    return confirmation.carry_out(account, intent, params)


def get(account: Account, name: str, _: Params) -> Object:
    """One payment intent."""
    intent = state.find(account, "payment_intents", name)
    if intent is None:
        raise errors.missing("payment_intent", name, param="intent")
    return intent


def update(account: Account, name: str, params: Params) -> Object:
    """Change it; amount, currency, customer and payment method only before it is carried out."""
    _check(params)
    intent = get(account, name, {})
    if params.keys() & {"amount", "currency", "customer", "payment_method", "payment_method_data"}:
        intents.check_status(intent, "updated", intents.CONFIRMABLE)
    new: Object = {key: params[key] for key in (*GIVEN, "amount", "currency", "capture_method") if key in params}
    after = intent | new
    _check_amount(after["amount"], after["currency"])
    intents.take(account, intent, params)
    intent.update(new, metadata=merged(intent["metadata"], params))
    return intent


def capture(account: Account, name: str, params: Params) -> Object:
    """Take all or part of what is held; what is not taken is released."""
    intent = get(account, name, {})
    intents.check_status(intent, "captured", ("requires_capture",))
    amount: int = params["amount_to_capture"] if "amount_to_capture" in params else intent["amount_capturable"]
    if not 0 < amount <= intent["amount_capturable"]:
        message = f"You can capture up to {intent['amount_capturable']}, not {amount}."
        raise errors.refused(message, param="amount_to_capture", code="amount_too_large" if amount > 0 else None)
    currencies.check_amount(amount, intent["currency"], param="amount_to_capture")
    intent["metadata"] = merged(intent["metadata"], params)
    intent.update(status="succeeded", amount_capturable=0, amount_received=amount)
    charges.capture(account, charges.get(account, intent["latest_charge"], {}), amount)
    emit(account, "payment_intent.succeeded", intent)
    return intent


def cancel(account: Account, name: str, params: Params) -> Object:
    """Give it up; what is held is released."""
    parameters.one_of(params, "cancellation_reason", CANCELLATION_REASONS)
    intent = get(account, name, {})
    intents.check_status(intent, "canceled", CANCELABLE)
    if intent["status"] == "requires_capture":
        charges.void(account, charges.get(account, intent["latest_charge"], {}))
    reason = params.get("cancellation_reason")
    intent.update(status="canceled", canceled_at=account.now(), cancellation_reason=reason)
    intent.update(next_action=None, amount_capturable=0)
    emit(account, "payment_intent.canceled", intent)
    return intent


def index(account: Account, params: Params) -> Object:
    """Payment intents, newest first; by customer and time."""
    return listing.page(account, "payment_intents", params, by=("customer",))


def _check(params: Params) -> None:
    parameters.one_of(params, "capture_method", CAPTURE_METHODS)
    parameters.one_of(params, "confirmation_method", CONFIRMATION_METHODS)
    parameters.one_of(params, "setup_future_usage", FUTURE_USAGES)
    if params.get("statement_descriptor"):
        raise errors.invalid("Cards take statement_descriptor_suffix instead.", param="statement_descriptor")
    if "currency" in params:
        params["currency"] = (params["currency"] or "").lower()
        currencies.check(params["currency"])


def _check_amount(amount: int, currency: str) -> None:
    currencies.check_size(amount, currency)
    currencies.check_amount(amount, currency)


def _blank(account: Account, params: Params) -> Object:
    name = state.new_id("pi")
    options = dict.fromkeys(OPTIONS) | {"request_three_d_secure": "automatic"}
    return {
        "id": name,
        "object": "payment_intent",
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "capture_method": params.get("capture_method") or "automatic_async",
        "client_secret": intents.new_secret(name),
        "confirmation_method": params.get("confirmation_method") or "automatic",
        "created": account.now(),
        "currency": params["currency"],
        "livemode": False,
        "metadata": merged({}, params),
        "payment_method_options": {"card": options},
        "status": "requires_payment_method",
        **dict.fromkeys(UNUSED),
        **{key: params.get(key) for key in GIVEN},
        **intents.methods_taken(params),
    }
