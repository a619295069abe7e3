"""Refunds: give back what a charge took, and see how that stands."""

from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed, replay_headers
from api.wire.fields import Moment, PageOf, Strict, amount, of_type, one_of
from vault import cursors
from vault.money.refund import listed, refunds
from vault.money.refund.listed import Refund

blueprint = Blueprint("refunds", __name__, description="Money back")


class RefundOrder(Strict):
    """What to give back: all that is left where `amount` is missing."""

    amount = amount()
    reason = one_of("duplicate", "fraudulent", "requested_by_customer")


class RefundShown(Schema):
    """A refund."""

    id = fields.String()
    object = of_type("refund")
    charge = fields.String()
    status = fields.String()
    amount = fields.Integer()
    currency = fields.String()
    reason = fields.String(allow_none=True)
    origin = fields.String()
    created_at = Moment()


class RefundPage(Schema):
    """One page of refunds."""

    data = fields.List(fields.Nested(RefundShown))
    next_cursor = fields.String(allow_none=True)


@blueprint.route("/v1/charges/<charge_id>/refunds", methods=["POST"])
@needs("refunds:create", key=True, body=True, optional=True, refusals=frozenset({502}))
@blueprint.arguments(RefundOrder)
@blueprint.response(201, RefundShown)
@blueprint.alt_response(202, schema=RefundShown, description="What became of it is not known yet, or it is on its way.")
def refund(order: dict[str, Any], charge_id: str) -> tuple[Refund, int, dict[str, str]]:
    """Give back what a charge took, or a part of it."""
    here = passed()
    house = here.parts
    made = refunds.refund(
        house.desk(here.caller),
        house.processors,
        charge_id,
        order.get("amount"),
        order.get("reason"),
        here.attempt("refund.create"),
    )
    return made.value, 202 if made.value.status == "unknown" else 201, replay_headers(replayed=made.replayed)


@blueprint.route("/v1/charges/<charge_id>/refunds", methods=["GET"])
@needs("charges:read", query=frozenset({"limit", "cursor"}))
@blueprint.arguments(PageOf, location="query")
@blueprint.response(200, RefundPage)
def find(query: dict[str, Any], charge_id: str) -> cursors.Page[Refund]:
    """List the refunds of a charge, newest first."""
    here = passed()
    page = cursors.Wanted(limit=query["limit"], cursor=query.get("cursor"))
    return listed.of_charge(here.desk, charge_id, page)


@blueprint.route("/v1/refunds/<refund_id>", methods=["GET"])
@needs("charges:read")
@blueprint.response(200, RefundShown)
def read(refund_id: str) -> Refund:
    """Look at one refund."""
    here = passed()
    return listed.read(here.desk, refund_id)
