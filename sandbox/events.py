"""Events: what happened, with the object as it was then. They live in memory only, the newest 10,000 of an account."""

import json

from sandbox import errors, listing, state
from sandbox.params import Params
from sandbox.state import MOST_EVENTS, Account, Object
from sandbox.wire import encode, public

API_VERSION = "2026-10-28.endive"


def emit(account: Account, kind: str, thing: Object, previous: Object | None = None) -> None:
    """Record an event and put it out for the webhook endpoints; ``previous`` holds the old values of an update."""
    data = {"object": public(thing)} | ({} if previous is None else {"previous_attributes": previous})
    event = {
        "id": state.new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": account.now(),
        "livemode": False,
        "pending_webhooks": len(listeners(account, kind)),
        "request": dict(account.cause),
        "type": kind,
        "_data": encode(data),
    }
    state.add(account, "events", event)
    account.outbox.append(event)
    if len(account.tables["events"]) > MOST_EVENTS:
        state.remove(account, "events", next(iter(account.tables["events"])))


def listeners(account: Account, kind: str) -> list[Object]:
    """The endpoints that want events of this type."""
    endpoints = account.tables["webhook_endpoints"].values()
    return [one for one in endpoints if {"*", kind} & set(one["enabled_events"])]


def get(account: Account, name: str, _: Params) -> Object:
    """One event, as it was."""
    event = state.find(account, "events", name)
    if event is None:
        raise errors.missing("event", name, param="id")
    return shown(event)


def index(account: Account, params: Params) -> Object:
    """Events, newest first; ``type`` filters."""
    page = listing.page(account, "events", params, by=("type",))
    return page | {"data": [shown(event) for event in page["data"]]}


def shown(event: Object) -> Object:
    """An event as it was; what it is about is kept as text, which takes a fifth of the memory."""
    return public(event) | {"data": json.loads(event["_data"])}
