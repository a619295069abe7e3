"""Setup intents: get a card ready to be charged later."""

from sandbox import errors, intents, listing, payment_methods, state
from sandbox import params as parameters
from sandbox.events import emit
from sandbox.params import Params, merged
from sandbox.state import Account, Object
from sandbox.wire import public

CANCELLATION_REASONS = ("abandoned", "duplicate", "requested_by_customer")


def create(account: Account, params: Params) -> Object:
    """A setup intent; with ``confirm`` it is carried out at once."""
    parameters.one_of(params, "usage", ("off_session", "on_session"))
    intent = _blank(account, params)
    if params.get("confirm"):
        intents.check_return_url(intent, params)
    intents.take(account, intent, params)
    if params.get("confirm"):
        intents.method_of(account, intent)
    state.add(account, "setup_intents", intent)
    emit(account, "setup_intent.created", intent)
    return _carry_out(account, intent, params) if params.get("confirm") else intent


def confirm(account: Account, name: str, params: Params) -> Object:
    """Carry it out: it succeeds, asks for authentication, or the card declines (402)."""
    intent = get(account, name, {})
    intents.check_status(intent, "confirmed", intents.CONFIRMABLE)
    intents.check_return_url(intent, params)
    intents.take(account, intent, params)
    return _carry_out(account, intent, params)


def get(account: Account, name: str, _: Params) -> Object:
    """One setup intent."""
    intent = state.find(account, "setup_intents", name)
    if intent is None:
        raise errors.missing("setupintent", name, param="intent")
    return intent


def update(account: Account, name: str, params: Params) -> Object:
    """Change what it is about, before it is carried out."""
    intent = get(account, name, params)
    if params.keys() & {"customer", "payment_method", "payment_method_data"}:
        intents.check_status(intent, "updated", intents.CONFIRMABLE)
    intents.take(account, intent, params)
    intent["description"] = params.get("description", intent["description"])
    intent["metadata"] = merged(intent["metadata"], params)
    return intent


def cancel(account: Account, name: str, params: Params) -> Object:
    """Give it up."""
    parameters.one_of(params, "cancellation_reason", CANCELLATION_REASONS)
    intent = get(account, name, {})
    intents.check_status(intent, "canceled", intents.CONFIRMABLE)
    intent.update(status="canceled", next_action=None, cancellation_reason=params.get("cancellation_reason"))
    emit(account, "setup_intent.canceled", intent)
    return intent


def index(account: Account, params: Params) -> Object:
    """Setup intents, newest first; by customer or payment method."""
    return listing.page(account, "setup_intents", params, by=("customer", "payment_method"))


def authenticated(account: Account, intent: Object, *, succeeded: bool) -> None:
    """The customer came back from the issuer."""
    method = intents.method_of(account, intent)
    if succeeded:
        _succeed(account, intent, method)
    else:
        intents.fail(intent, method, "last_setup_error", intents.failed_authentication("setup_intent"))
        emit(account, "setup_intent.setup_failed", intent)


def _carry_out(account: Account, intent: Object, params: Params) -> Object:
    method = intents.method_of(account, intent)
    behaviour = payment_methods.behaviour(method)
    intent["latest_attempt"] = state.new_id("setatt")
    if not behaviour.attaches:
        raise _declined(account, intent, method)
    off_session = behaviour.authentication == "on_session"
    if intents.wants_authentication(behaviour, method, off_session=off_session):
        intents.ask(account, intent, params)
        emit(account, "setup_intent.requires_action", intent)
    else:
        _succeed(account, intent, method)
    return intent


def _succeed(account: Account, intent: Object, method: Object) -> None:
    if intent["customer"]:
        payment_methods.attach_to(account, method, intent["customer"])
    method["_set_up"] = method["_set_up"] or intent["usage"] == "off_session"
    intent.update(status="succeeded", next_action=None, last_setup_error=None)
    emit(account, "setup_intent.succeeded", intent)


def _declined(account: Account, intent: Object, method: Object) -> errors.WireError:
    decline = intents.decline_of(payment_methods.behaviour(method)) or {}
    intents.fail(intent, method, "last_setup_error", decline)
    emit(account, "setup_intent.setup_failed", intent)
    return errors.card_error(decline, setup_intent=public(intent), payment_method=public(method))


def _blank(account: Account, params: Params) -> Object:
    name = state.new_id("seti")
    return {
        "id": name,
        "object": "setup_intent",
        "application": None,
        "cancellation_reason": None,
        "client_secret": intents.new_secret(name),
        "created": account.now(),
        "customer": None,
        "description": params.get("description"),
        "flow_directions": params.get("flow_directions") or None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": merged({}, params),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": params.get("usage") or "off_session",
        **intents.methods_taken(params),
    }
