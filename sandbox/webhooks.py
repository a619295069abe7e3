"""Webhook endpoints, and the signature of what they receive."""

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from sandbox import errors, listing, state
from sandbox import params as parameters
from sandbox.events import API_VERSION
from sandbox.params import Params, merged
from sandbox.state import Account, Object

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def create(account: Account, params: Params) -> Object:
    """A new endpoint on this machine; its secret is shown in this answer only."""
    parameters.need(params, "url", "enabled_events")
    _check_url(params["url"])
    endpoint = {
        "id": state.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version") or API_VERSION,
        "application": None,
        "created": account.now(),
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merged({}, params),
        "status": "enabled",
        "url": params["url"],
        "_secret": "whsec_" + secrets.token_urlsafe(24),
    }
    state.add(account, "webhook_endpoints", endpoint)
    return endpoint | {"secret": endpoint["_secret"]}


def get(account: Account, name: str, _: Params) -> Object:
    """One endpoint, without its secret."""
    endpoint = state.find(account, "webhook_endpoints", name)
    if endpoint is None:
        raise errors.missing("webhook endpoint", name, param="webhook_endpoint")
    return endpoint


def delete(account: Account, name: str, _: Params) -> Object:
    """Send nothing more to it."""
    get(account, name, {})
    state.remove(account, "webhook_endpoints", name)
    return {"id": name, "object": "webhook_endpoint", "deleted": True}


def index(account: Account, params: Params) -> Object:
    """Endpoints, newest first."""
    return listing.page(account, "webhook_endpoints", params)


def signature(secret: str, body: bytes, second: int) -> str:
    """The ``Stripe-Signature`` header: HMAC-SHA256 under the whole ``whsec_...`` over ``"{second}.{body}"``."""
    digest = hmac.new(secret.encode(), f"{second}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={second},v1={digest}"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_local = parts.scheme == "http" and parts.hostname in LOOPBACK and (parts.port or 80) > 0
    except ValueError:
        is_local = False
    if not is_local:
        message = "The sandbox sends webhooks to http:// addresses on this machine only: 127.0.0.1, localhost or [::1]."
        raise errors.invalid(message, param="url", code="url_invalid")
