"""Which function answers which request. Every second part of a path is an id, ``*``, but for ``search``.

What is in preview at Stripe answers only to a version that ends in ``.preview``.
"""

from collections.abc import Callable

from sandbox import (
    account,
    charges,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    redaction,
    refunds,
    search,
    setup_intents,
    subscriptions,
    webhooks,
)
from sandbox.state import Object

Handler = Callable[..., Object]

ROUTES: dict[str, Handler] = {
    "GET /v1/account": account.get,
    "POST /v1/customers": customers.create,
    "GET /v1/customers": customers.index,
    "GET /v1/customers/search": search.customers,
    "GET /v1/customers/*": customers.get,
    "POST /v1/customers/*": customers.update,
    "DELETE /v1/customers/*": customers.delete,
    "GET /v1/customers/*/payment_methods": customers.list_payment_methods,
    "GET /v1/customers/*/payment_methods/*": customers.get_payment_method,
    "POST /v1/payment_methods": payment_methods.create,
    "GET /v1/payment_methods": payment_methods.index,
    "GET /v1/payment_methods/*": payment_methods.get,
    "POST /v1/payment_methods/*": payment_methods.update,
    "POST /v1/payment_methods/*/attach": payment_methods.attach,
    "POST /v1/payment_methods/*/detach": payment_methods.detach,
    "POST /v1/setup_intents": setup_intents.create,
    "GET /v1/setup_intents": setup_intents.index,
    "GET /v1/setup_intents/*": setup_intents.get,
    "POST /v1/setup_intents/*": setup_intents.update,
    "POST /v1/setup_intents/*/confirm": setup_intents.confirm,
    "POST /v1/setup_intents/*/cancel": setup_intents.cancel,
    "POST /v1/payment_intents": payment_intents.create,
    "GET /v1/payment_intents": payment_intents.index,
    "GET /v1/payment_intents/*": payment_intents.get,
    "POST /v1/payment_intents/*": payment_intents.update,
    "POST /v1/payment_intents/*/confirm": payment_intents.confirm,
    "POST /v1/payment_intents/*/capture": payment_intents.capture,
    "POST /v1/payment_intents/*/cancel": payment_intents.cancel,
    "GET /v1/charges": charges.index,
    "GET /v1/charges/*": charges.get,
    "POST /v1/charges/*": charges.update,
    "POST /v1/refunds": refunds.create,
    "GET /v1/refunds": refunds.index,
    "GET /v1/refunds/*": refunds.get,
    "POST /v1/refunds/*": refunds.update,
    "GET /v1/disputes": disputes.index,
    "GET /v1/disputes/*": disputes.get,
    "POST /v1/disputes/*": disputes.update,
    "POST /v1/disputes/*/close": disputes.close,
    "POST /v1/subscriptions": subscriptions.create,
    "GET /v1/subscriptions": subscriptions.index,
    "GET /v1/subscriptions/*": subscriptions.get,
    "DELETE /v1/subscriptions/*": subscriptions.cancel,
    "POST /v1/privacy/redaction_jobs": redaction.create,
    "GET /v1/privacy/redaction_jobs": redaction.index,
    "GET /v1/privacy/redaction_jobs/*": redaction.get,
    "POST /v1/privacy/redaction_jobs/*/run": redaction.run,
    "GET /v1/events": events.index,
    "GET /v1/events/*": events.get,
    "POST /v1/webhook_endpoints": webhooks.create,
    "GET /v1/webhook_endpoints": webhooks.index,
    "GET /v1/webhook_endpoints/*": webhooks.get,
    "DELETE /v1/webhook_endpoints/*": webhooks.delete,
}
PREVIEW = "privacy"


def route(method: str, path: str) -> tuple[str, list[str]]:
    """The route's name as in the table, and the ids in the path: both as far as the path tells."""
    version, *parts = path.removeprefix("/").rstrip("/").split("/")
    if parts[0] == PREVIEW:
        parts[:2] = ["/".join(parts[:2])]
    if parts[1:] == ["search"]:
        return f"{method} /{version}/{parts[0]}/search", []
    names = [part if place % 2 == 0 else "*" for place, part in enumerate(parts)]
    return f"{method} /{'/'.join((version, *names))}", parts[1::2]


def is_known(name: str, version: str) -> bool:
    """Whether there is such a route in a version of Stripe's API."""
    return name in ROUTES and (f"/v1/{PREVIEW}/" not in name or version.endswith(".preview"))
