"""`/v1/customers/{id}/holds`, `/v1/holds`: legal holds, which keep records from being destroyed."""

from typing import Any

from marshmallow import Schema, fields, validate

from api.door import Blueprint, needs, passed, replay_headers
from api.wire.fields import Moment, PageOf, Strict, of_type, one_of
from vault import cursors
from vault.people import holds
from vault.people.holds import CLASSES, REASONS, Hold

blueprint = Blueprint("holds", __name__, description="Legal holds")


class HoldOrder(Strict):
    """What to hold, and why: all classes unless some are named, until it is lifted unless an end is named."""

    reason = one_of(*REASONS, required=True)
    classes = fields.List(one_of(*CLASSES), validate=validate.Length(min=1), load_default=CLASSES)
    until = Moment()


class HoldShown(Schema):
    """What is held of a customer, why, by whom and until when."""

    id = fields.String()
    object = of_type("hold")
    customer = fields.String()
    reason = fields.String()
    classes = fields.List(fields.String())
    until = Moment(allow_none=True)
    client = fields.String()
    actor = fields.String(allow_none=True)
    in_force = fields.Boolean()
    created_at = Moment()
    lifted_at = Moment(allow_none=True)


class HoldPage(Schema):
    """One page of holds."""

    data = fields.List(fields.Nested(HoldShown))
    next_cursor = fields.String(allow_none=True)


@blueprint.route("/v1/customers/<customer_id>/holds", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(HoldOrder)
@blueprint.response(201, HoldShown)
def hold(order: dict[str, Any], customer_id: str) -> tuple[Hold, int, dict[str, str]]:
    """Hold a customer's records: while it is in force, what is held is not destroyed."""
    here = passed()
    wanted = holds.Order(customer=customer_id, **order)
    made = holds.hold(here.desk, here.parts.ledger, wanted, here.attempt("hold.set"))
    return made.value, 201, {"Location": f"/v1/holds/{made.value.id}", **replay_headers(replayed=made.replayed)}


@blueprint.route("/v1/customers/<customer_id>/holds", methods=["GET"])
@needs("rights:read", query=frozenset({"limit", "cursor"}))
@blueprint.arguments(PageOf, location="query")
@blueprint.response(200, HoldPage)
def of_customer(query: dict[str, Any], customer_id: str) -> cursors.Page[Hold]:
    """List a customer's holds, newest first; those that are over too."""
    here = passed()
    return holds.of_customer(here.desk, customer_id, cursors.Wanted(**query))


@blueprint.route("/v1/holds/<hold_id>", methods=["DELETE"])
@needs("rights:write")
@blueprint.response(200, HoldShown)
def lift(hold_id: str) -> Hold:
    """Lift a hold; lifting it again changes nothing."""
    here = passed()
    return holds.lift(here.desk, here.parts.ledger, hold_id)
