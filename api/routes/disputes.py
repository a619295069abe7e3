"""`/v1/disputes`: what cardholders want back, and how that stands."""

from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed
from api.wire.fields import Ident, Moment, PageOf, of_type
from vault import cursors
from vault.money import disputes
from vault.money.disputes import Dispute

blueprint = Blueprint("disputes", __name__, description="What cardholders want back")


class DisputeShown(Schema):
    """A dispute. It is answered at the processor."""

    id = fields.String()
    object = of_type("dispute")
    charge = fields.String()
    status = fields.String()
    amount = fields.Integer()
    currency = fields.String()
    reason = fields.String()
    due_at = Moment(allow_none=True)
    created_at = Moment()


class DisputePage(Schema):
    """One page of disputes."""

    data = fields.List(fields.Nested(DisputeShown))
    next_cursor = fields.String(allow_none=True)


class DisputeQuery(PageOf):
    """Which disputes."""

    charge = Ident("chg")


@blueprint.route("/v1/disputes", methods=["GET"])
@needs("charges:read", query=frozenset({"charge", "limit", "cursor"}))
@blueprint.arguments(DisputeQuery, location="query")
@blueprint.response(200, DisputePage)
def find(query: dict[str, Any]) -> cursors.Page[Dispute]:
    """List disputes, newest first."""
    here = passed()
    page = cursors.Wanted(limit=query["limit"], cursor=query.get("cursor"))
    return disputes.find(here.desk, query.get("charge"), page)


@blueprint.route("/v1/disputes/<dispute_id>", methods=["GET"])
@needs("charges:read")
@blueprint.response(200, DisputeShown)
def read(dispute_id: str) -> Dispute:
    """Look at one dispute."""
    here = passed()
    return disputes.read(here.desk, dispute_id)
