"""Erasing one customer: the dry run, the erasure itself, and the proof of what was done."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed
from api.wire.fields import Ident, Moment, Strict, of_type
from api.wire.rights import RequestShown, shown
from vault.erasing import completion, requests
from vault.erasing import plan as erasure_plan
from vault.erasing.plan import Plan

blueprint = Blueprint("erasures", __name__, description="Erasing a customer, and the proof of it")


class OfCustomer(Strict):
    """Whose certificate, where a request is about several customers."""

    customer = Ident("cus")


class CertificateShown(Schema):
    """The ledger's signed entry that certifies an erasure (docs/ledger.md)."""

    v = fields.Integer()
    deployment = fields.String()
    seq = fields.Integer()
    prev_hash = fields.String()
    entry_id = fields.String()
    kind = fields.String()
    tenant = fields.String()
    subject_id = fields.String()
    dek_id = fields.String(allow_none=True)
    version = fields.Integer()
    live = fields.Boolean()
    at = fields.String()
    key_id = fields.String()
    certificate = fields.Dict()
    terms = fields.Dict(allow_none=True)
    signature = fields.String()


class ObstacleShown(Schema):
    """What an erasure must wait for."""

    reason = fields.String()
    until = Moment(allow_none=True)


class DestroyedShown(Schema):
    """What goes, and how much of it there is."""

    name = fields.String()
    records = fields.Integer()


class RetainedShown(Schema):
    """What stays, on which basis and until when."""

    class_ = fields.String(data_key="class", attribute="class")
    basis = fields.String()
    until = fields.String()


class ToldShown(Schema):
    """Who is told; `subscriptions` end with the customer there, and are null where it does not answer now.

    `redaction_at` is when it will be asked to redact what it keeps, such as payments; null where it never is.
    """

    processor = fields.String()
    name = fields.String()
    processor_account = fields.String()
    payment_methods = fields.Integer()
    subscriptions = fields.Integer(allow_none=True)
    redaction_at = Moment(allow_none=True)


class PlanShown(Schema):
    """The dry run of an erasure."""

    object = of_type("erasure_plan")
    customer = fields.String()
    blocked = fields.Boolean()
    blocked_by = fields.List(fields.Nested(ObstacleShown))
    destroyed = fields.List(fields.Nested(DestroyedShown))
    retained = fields.List(fields.Nested(RetainedShown))
    recipients = fields.List(fields.Nested(ToldShown))


@blueprint.route("/v1/customers/<customer_id>/erasure-plan", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, PlanShown)
def plan(customer_id: str) -> Plan:
    """See what erasing a customer would do: what goes, what stays and why, what is in the way, who is told."""
    here = passed()
    house = here.parts
    return erasure_plan.plan(house.desk(here.caller), house.processors, house.policy, customer_id)


@blueprint.route("/v1/customers/<customer_id>", methods=["DELETE"])
@needs("rights:write")
@blueprint.response(200, RequestShown)
@blueprint.alt_response(202, schema=RequestShown, description="Erased here; processors are being told.")
def erase(customer_id: str) -> tuple[dict[str, Any], int]:
    """Erase a customer: here at once, at the processors by the worker. Ask again for how far it came."""
    here = passed()
    house = here.parts
    request = requests.erase(house.desk(here.caller), house.ledger, house.policy, customer_id)
    return shown(request), 200 if request.is_complete else 202


@blueprint.route("/v1/rights-requests/<request_id>/certificate", methods=["GET"])
@needs("rights:read", query=frozenset({"customer"}), refusals=frozenset({409}), provable=True)
@blueprint.arguments(OfCustomer, location="query")
@blueprint.response(200, CertificateShown)
def certificate(query: dict[str, str], request_id: str) -> Mapping[str, Any]:
    """Get the latest certificate of an erasure, signed."""
    here = passed()
    house = here.parts
    return completion.certificate(
        house.desk(here.caller), house.ledger, house.policy, request_id, query.get("customer")
    )
