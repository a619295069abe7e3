"""`/v1/rights-requests`: where a rights request stands, and the proof of what was done."""

from typing import Any

from marshmallow import Schema, fields

from api.customers import RequestShown
from api.door import Blueprint, needs, passed
from vault import erasure, rights
from vault.rights import RightsRequest

blueprint = Blueprint("rights", __name__, description="What data subjects asked for")


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


@blueprint.route("/v1/rights-requests/<request_id>", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, RequestShown)
def read(request_id: str) -> RightsRequest:
    """Look at a rights request."""
    here = passed()
    return rights.read(here.parts.records, here.caller, request_id)


@blueprint.route("/v1/rights-requests/<request_id>/certificate", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, CertificateShown)
def certificate(request_id: str) -> dict[str, Any]:
    """Get the latest certificate of an erasure, signed."""
    here = passed()
    house = here.parts
    return erasure.certificate(house.records, house.ledger, house.policy, here.caller, request_id)
