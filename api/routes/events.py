"""`/v1/events`: what happened, as a tenant's own systems are told of it."""

from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed
from api.wire.fields import Moment, PageOf, name, of_type
from vault import cursors
from vault.events import listed
from vault.events.listed import Event

blueprint = Blueprint("events", __name__, description="What happened")


class EventShown(Schema):
    """An event: ids, states and amounts, nothing of a person."""

    id = fields.String()
    object = of_type("event")
    type = fields.String()
    resource = fields.String()
    live = fields.Boolean()
    data = fields.Dict()
    created_at = Moment()


class EventPage(Schema):
    """One page of events."""

    data = fields.List(fields.Nested(EventShown))
    next_cursor = fields.String(allow_none=True)


class EventQuery(PageOf):
    """Which events."""

    type = name()
    resource = name()
    since = Moment()


@blueprint.route("/v1/events", methods=["GET"])
@needs("events:read", query=frozenset({"type", "resource", "since", "limit", "cursor"}))
@blueprint.arguments(EventQuery, location="query")
@blueprint.response(200, EventPage)
def find(query: dict[str, Any]) -> cursors.Page[Event]:
    """List events of the last 30 days, newest first."""
    here = passed()
    page = cursors.Wanted(limit=query.pop("limit"), cursor=query.pop("cursor", None))
    return listed.find(here.desk, listed.Filter(**query), page)


@blueprint.route("/v1/events/<event_id>", methods=["GET"])
@needs("events:read")
@blueprint.response(200, EventShown)
def read(event_id: str) -> Event:
    """Look at one event."""
    here = passed()
    return listed.read(here.desk, event_id)
