"""`/v1/customers/{id}/restriction`: keep a customer's data and do not use it, until the person was told of its end."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, fields, validate

from api.door import Blueprint, needs, passed
from api.wire.fields import Moment, Strict, of_type
from vault.people import restrictions
from vault.people.restrictions import GROUNDS, Restriction

blueprint = Blueprint("restrictions", __name__, description="Restriction of processing")


class RestrictionOrder(Strict):
    """Why processing is restricted."""

    ground = fields.String(required=True, validate=validate.OneOf(GROUNDS))


class Notice(Strict):
    """When the person was told that the restriction ends: before it does."""

    notified_at = Moment(required=True)


class RestrictionShown(Schema):
    """Whether a customer is restricted, since when and why."""

    object = of_type("restriction")
    customer = fields.String()
    restricted = fields.Boolean()
    ground = fields.String(allow_none=True)
    since = Moment(allow_none=True)


@blueprint.route("/v1/customers/<customer_id>/restriction", methods=["PUT"])
@needs("rights:write", body=True)
@blueprint.arguments(RestrictionOrder)
@blueprint.response(200, RestrictionShown)
def restrict(order: dict[str, Any], customer_id: str) -> Restriction:
    """Restrict processing: charging, tokenizing and billing's look at the contact answer 423."""
    here = passed()
    return restrictions.restrict(here.desk, here.parts.ledger, customer_id, order["ground"])


@blueprint.route("/v1/customers/<customer_id>/restriction", methods=["DELETE"])
@needs("rights:write", query=frozenset({"notified_at"}))
@blueprint.arguments(Notice, location="query")
@blueprint.response(200, RestrictionShown)
def lift(notice: dict[str, datetime], customer_id: str) -> Restriction:
    """Lift a restriction, after the person was told."""
    here = passed()
    told = notice["notified_at"]
    return restrictions.lift(here.desk, here.parts.ledger, customer_id, told)
