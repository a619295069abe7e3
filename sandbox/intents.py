"""What setup intents and payment intents share: the card they are about, and authentication."""

import re
from typing import Any

from sandbox import cards, errors, payment_methods, references, state
from sandbox import params as parameters
from sandbox.cards import Behaviour
from sandbox.params import Params
from sandbox.state import Account, Object
from sandbox.wire import public

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
RETURN_URL = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+")
FAILED_AUTHENTICATION = "The card's issuer could not authenticate the customer. Take another payment method."
REDIRECTS = (
    "This intent takes payment methods that might redirect. Send return_url, or "
    "automatic_payment_methods[allow_redirects]=never, or payment_method_types[0]=card."
)


def methods_taken(params: Params) -> Object:
    """The fields that say which payment methods an intent takes; cards are all that the sandbox has.

    Without a list Stripe takes whatever the account's dashboard enables, and says so in the intent.
    """
    types = params.get("payment_method_types") or params.get("allowed_payment_method_types")
    if types and types != ["card"]:
        raise errors.invalid("The sandbox knows payment methods of type card only.", param="payment_method_types")
    given = params.get("automatic_payment_methods") or {"enabled": "false" if types else "true"}
    if parameters.boolean("automatic_payment_methods[enabled]", given.get("enabled", "false")):
        automatic = {"allow_redirects": given.get("allow_redirects", "always"), "enabled": True}
    else:
        automatic = None
    return {"automatic_payment_methods": automatic, "payment_method_types": ["card"]}


def check_return_url(intent: Object, params: Params) -> None:
    """Refuse a malformed ``return_url``, and its absence where a redirect may follow."""
    url = params.get("return_url")
    if url and not RETURN_URL.fullmatch(url):
        raise errors.invalid("Not a valid URL", param="return_url", code="url_invalid")
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] != "never" and not url:
        raise errors.refused(REDIRECTS)


def take(account: Account, intent: Object, params: Params) -> None:
    """Note the customer and the payment method that were sent; raises 400, and notes nothing, if they do not fit."""
    references.customer(account, params.get("customer"))
    new = {"customer": params.get("customer") or intent["customer"], "payment_method": intent["payment_method"]}
    method = _sent(account, params)
    if method:
        check_owner(new, method)
        payment_methods.check_usable(method)
        new["payment_method"] = method["id"]
    intent.update(new)
    if intent["payment_method"] and intent["status"] == "requires_payment_method":
        intent["status"] = "requires_confirmation"


def _sent(account: Account, params: Params) -> Object | None:
    if params.get("payment_method_data"):
        return payment_methods.make(account, params["payment_method_data"])
    if params.get("payment_method"):
        return payment_methods.referred(account, params["payment_method"])
    return None


def method_of(account: Account, intent: Object) -> Object:
    """The payment method an intent is about; 400 when it has none."""
    if not intent["payment_method"]:
        raise errors.refused("You cannot confirm this intent: it has no payment method.", param="payment_method")
    return payment_methods.referred(account, intent["payment_method"])


def check_owner(intent: Object, method: Object) -> None:
    """Refuse with 400 a payment method that is attached to somebody else than the intent's customer."""
    if method["customer"] and not intent["customer"]:
        raise errors.refused("The PaymentMethod is attached to a Customer: send that customer too.", param="customer")
    if method["customer"] and method["customer"] != intent["customer"]:
        raise errors.refused(
            f"PaymentMethod {method['id']} does not belong to the customer {intent['customer']}.",
            param="payment_method",
        )


def wants_authentication(behaviour: Behaviour, method: Object, *, off_session: bool) -> bool:
    """Whether the issuer wants to see the customer for this payment."""
    return {
        "never": False,
        "always": True,
        "on_session": not off_session,
        "unless_set_up": not (off_session and method["_set_up"]),
    }[behaviour.authentication]


def ask(account: Account, intent: Object, params: Params) -> None:
    """Stop at ``requires_action``: the customer authenticates on the sandbox's page, or its hook does."""
    page = f"{account.sandbox.base_url}/_authenticate/{intent['id']}"
    return_url = params.get("return_url")
    if return_url and not params.get("use_stripe_sdk"):
        action = {"redirect_to_url": {"return_url": return_url, "url": page}, "type": "redirect_to_url"}
    else:
        step = {"stripe_js": page, "type": "three_d_secure_redirect"}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": step}
    intent["status"], intent["next_action"] = "requires_action", action


def fail(intent: Object, method: Object, error_field: str, error: dict[str, Any]) -> None:
    """Go back to ``requires_payment_method`` with the reason and the whole payment method."""
    reason = errors.explained({"type": "card_error", **error, "payment_method": public(method)})
    intent.update({error_field: reason, "status": "requires_payment_method"})
    intent.update(payment_method=None, next_action=None)


def failed_authentication(noun: str) -> dict[str, Any]:
    """The error of an intent whose customer failed to authenticate."""
    return {"code": f"{noun}_authentication_failure", "message": FAILED_AUTHENTICATION}


def decline_of(behaviour: Behaviour) -> dict[str, Any] | None:
    """The error of a card that declines, if it does."""
    return cards.decline(behaviour.decline) if behaviour.decline else None


def check_status(intent: Object, verb: str, allowed: tuple[str, ...]) -> None:
    """Refuse with 400 what an intent in this state cannot do; the intent is embedded."""
    if intent["status"] in allowed:
        return
    noun = intent["object"]
    message = f"This {noun} could not be {verb} because it has a status of {intent['status']}."
    sentence = f"{message} It may be when it is {', '.join(allowed)}."
    raise errors.refused(sentence, code=f"{noun}_unexpected_state", objects={noun: public(intent)})


def new_secret(name: str) -> str:
    """A client secret of an intent."""
    return state.new_id(f"{name}_secret")
