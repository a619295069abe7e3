"""`/v1/webhook-endpoints`: where a tenant's own systems hear of events."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.door import Blueprint, needs, passed
from api.wire.fields import Ident, Moment, PageOf, Strict, Whole, of_type, one_of, text
from vault import cursors
from vault.events import listed, webhook_endpoints
from vault.events.listed import Delivery
from vault.events.webhook_endpoints import Endpoint

blueprint = Blueprint("webhook-endpoints", __name__, description="Where events are delivered")


MOST_TYPES = 50


def _types() -> fields.List[Any]:
    kind = fields.String(validate=Whole(r"^[a-z_]{1,20}\.[a-z_]{1,30}$", error="Not a type of events."))
    return fields.List(kind, validate=validate.Length(min=1, max=MOST_TYPES))


class EndpointOrder(Strict):
    """A new endpoint; without `events` it hears of all."""

    url = text(2000, required=True)
    events = _types()


class EndpointChange(Strict):
    """What to change."""

    url = text(2000)
    events = _types()
    status = one_of("enabled", "disabled")


class Replay(Strict):
    """What to deliver again: one event, or all since a moment."""

    event = Ident("evt")
    since = Moment()

    @validates_schema
    def _one(self, data: dict[str, Any], **_: object) -> None:
        if len(data) != 1:
            raise ValidationError("Name an event, or the moment since when.", "since")


class EndpointShown(Schema):
    """An endpoint. `secret` is there in the answer that makes it, and never again."""

    id = fields.String()
    object = of_type("webhook_endpoint")
    url = fields.String()
    events = fields.List(fields.String())
    status = fields.String()
    secret = fields.Function(
        lambda endpoint: endpoint.secret.value if endpoint.secret else None, metadata={"type": ["string", "null"]}
    )
    created_at = Moment()


class EndpointPage(Schema):
    """One page of endpoints."""

    data = fields.List(fields.Nested(EndpointShown))
    next_cursor = fields.String(allow_none=True)


class Replayed(Schema):
    """How many events will be delivered again."""

    object = of_type("replay")
    events = fields.Integer()


class DeliveryShown(Schema):
    """What became of one event at one endpoint."""

    object = of_type("delivery")
    event = fields.String()
    status = fields.String()
    attempts = fields.Integer()
    last_status = fields.Integer(allow_none=True)
    last_error = fields.String(allow_none=True)
    next_attempt_at = Moment(allow_none=True)
    delivered_at = Moment(allow_none=True)


class DeliveryPage(Schema):
    """One page of deliveries."""

    data = fields.List(fields.Nested(DeliveryShown))
    next_cursor = fields.String(allow_none=True)


@blueprint.route("/v1/webhook-endpoints", methods=["POST"])
@needs("webhooks:write", body=True)
@blueprint.arguments(EndpointOrder)
@blueprint.response(201, EndpointShown)
def create(order: dict[str, Any]) -> Endpoint:
    """Add an endpoint and get its secret."""
    here = passed()
    house = here.parts
    return webhook_endpoints.create(house.desk(here.caller), order["url"], order.get("events", []))


@blueprint.route("/v1/webhook-endpoints", methods=["GET"])
@needs("webhooks:write", query=frozenset({"limit", "cursor"}))
@blueprint.arguments(PageOf, location="query")
@blueprint.response(200, EndpointPage)
def find(query: dict[str, Any]) -> cursors.Page[Endpoint]:
    """List endpoints, newest first."""
    here = passed()
    page = cursors.Wanted(limit=query["limit"], cursor=query.get("cursor"))
    return webhook_endpoints.find(here.desk, page)


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>", methods=["GET"])
@needs("webhooks:write")
@blueprint.response(200, EndpointShown)
def read(endpoint_id: str) -> Endpoint:
    """Look at one endpoint."""
    here = passed()
    return webhook_endpoints.read(here.desk, endpoint_id)


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>", methods=["PATCH"])
@needs("webhooks:write", body=True)
@blueprint.arguments(EndpointChange)
@blueprint.response(200, EndpointShown)
def change(changes: dict[str, Any], endpoint_id: str) -> Endpoint:
    """Change where an endpoint is, what it hears of, or whether it is enabled."""
    here = passed()
    return webhook_endpoints.change(here.desk, endpoint_id, changes)


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>", methods=["DELETE"])
@needs("webhooks:write")
@blueprint.response(204)
def remove(endpoint_id: str) -> None:
    """Take an endpoint away."""
    here = passed()
    webhook_endpoints.remove(here.desk, endpoint_id)


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>/rotate", methods=["POST"])
@needs("webhooks:write")
@blueprint.response(200, EndpointShown)
def rotate(endpoint_id: str) -> Endpoint:
    """Get a new secret; the one before signs beside it for 24 hours."""
    here = passed()
    return webhook_endpoints.rotate(here.desk, endpoint_id)


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>/replay", methods=["POST"])
@needs("webhooks:write", body=True)
@blueprint.arguments(Replay)
@blueprint.response(202, Replayed)
def replay(order: dict[str, Any], endpoint_id: str) -> dict[str, int]:
    """Deliver again what an endpoint has missed."""
    here = passed()
    house = here.parts
    count = listed.replay(house.desk(here.caller), endpoint_id, event=order.get("event"), since=order.get("since"))
    return {"events": count}


@blueprint.route("/v1/webhook-endpoints/<endpoint_id>/deliveries", methods=["GET"])
@needs("webhooks:write", query=frozenset({"limit", "cursor"}))
@blueprint.arguments(PageOf, location="query")
@blueprint.response(200, DeliveryPage)
def deliveries(query: dict[str, Any], endpoint_id: str) -> cursors.Page[Delivery]:
    """List what was and will be sent to an endpoint, the newest event first."""
    here = passed()
    page = cursors.Wanted(limit=query["limit"], cursor=query.get("cursor"))
    return listed.deliveries(here.desk, endpoint_id, page)
