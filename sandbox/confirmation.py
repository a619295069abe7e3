"""Carrying out a payment intent: what the issuer says decides."""

from sandbox import cards, charges, errors, intents, payment_methods
from sandbox.events import emit
from sandbox.params import Params
from sandbox.state import Account, Object
from sandbox.wire import public


def carry_out(account: Account, intent: Object, params: Params) -> Object:
    """Charge, ask for authentication, or raise the 402 of a decline."""
    method = intents.method_of(account, intent)
    intents.check_owner(intent, method)
    payment_methods.check_usable(method)
    away = bool(params.get("off_session"))
    wanted = intents.wants_authentication(payment_methods.behaviour(method), method, off_session=away)
    if wanted and (away or params.get("error_on_requires_action")):
        raise _declined(account, intent, method, cards.decline("authentication_required"))
    if wanted:
        intents.ask(account, intent, params)
        emit(account, "payment_intent.requires_action", intent)
        return intent
    return _charge(account, intent, method, authenticated=False)


def authenticated(account: Account, intent: Object, *, succeeded: bool) -> None:
    """The customer came back from the issuer: charge now, or fail."""
    method = intents.method_of(account, intent)
    if succeeded:
        try:
            _charge(account, intent, method, authenticated=True)
        except errors.WireError:
            return  # a decline after authentication stands in the intent; the one who asks here is the browser
    else:
        intents.fail(intent, method, "last_payment_error", intents.failed_authentication("payment_intent"))
        emit(account, "payment_intent.payment_failed", intent)


def _charge(account: Account, intent: Object, method: Object, *, authenticated: bool) -> Object:
    charge = charges.attempt(account, intent, method, authenticated=authenticated)
    intent["latest_charge"] = charge["id"]
    if charge["status"] == "failed":
        decline = intents.decline_of(payment_methods.behaviour(method)) or {}
        raise _declined(account, intent, method, decline, charge=charge["id"])
    _use(account, intent, method)
    intent.update(next_action=None, last_payment_error=None)
    if charge["captured"]:
        intent.update(status="succeeded", amount_received=intent["amount"])
        emit(account, "payment_intent.succeeded", intent)
    else:
        intent.update(status="requires_capture", amount_capturable=intent["amount"])
        emit(account, "payment_intent.amount_capturable_updated", intent)
    return intent


def _use(account: Account, intent: Object, method: Object) -> None:
    """Attach a card that is to be used again; one that belongs to nobody is used up."""
    if intent["customer"] and intent["setup_future_usage"]:
        payment_methods.attach_to(account, method, intent["customer"])
        method["_set_up"] = method["_set_up"] or intent["setup_future_usage"] == "off_session"
    elif not method["customer"]:
        method["_burnt"] = True


def _declined(
    account: Account, intent: Object, method: Object, decline: Object, *, charge: str | None = None
) -> errors.WireError:
    if not method["customer"]:
        method["_burnt"] = True
    reason = decline | ({"charge": charge} if charge else {})
    intents.fail(intent, method, "last_payment_error", reason)
    emit(account, "payment_intent.payment_failed", intent)
    return errors.card_error(reason, payment_intent=public(intent), payment_method=public(method))
