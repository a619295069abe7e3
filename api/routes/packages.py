"""`/v1/customers/{id}/export` and `/v1/packages/{link}`: what a person is handed of what is kept about them."""

from collections.abc import Generator
from typing import Any

from flask import Response, g
from marshmallow import Schema, fields

from api.door import Blueprint, needs, open_to_links, passed, refuse_unproven
from api.parts import parts
from api.wire.fields import Strict, one_of
from api.wire.pieces import begun
from vault.exports import at_once, links
from vault.exports.disclosure import FIELDS, Source
from vault.exports.notices import notices_of

blueprint = Blueprint("packages", __name__, description="What a person is handed: access and portability")
ZIP = "application/zip"
_AS_ZIP = {"content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}


class ExportQuery(Strict):
    """Under which right, and in which form."""

    type = one_of(*FIELDS, load_default="access")
    format = one_of("json", "zip", load_default="json")


class ExportShown(Schema):
    """What is kept of a customer; for portability what the person provided, and the fields of access are missing."""

    kind = one_of(*FIELDS)
    generated_at = fields.String()
    customer = fields.String()
    contact_known = fields.Boolean()
    person = fields.Dict()
    customer_reference = fields.String(allow_none=True)
    created_at = fields.String()
    restriction = fields.Dict(allow_none=True)
    rights_requests = fields.List(fields.Dict())
    processing = fields.Dict()
    payment_methods = fields.List(fields.Dict())
    charges = fields.List(fields.Dict())
    refunds = fields.List(fields.Dict())
    access_log = fields.List(fields.Dict())


@blueprint.route("/v1/customers/<customer_id>/export", methods=["GET"])
@needs("rights:read", purpose=True, query=frozenset({"type", "format"}), provable=True)
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, ExportShown)
@blueprint.doc(responses={200: _AS_ZIP})
def export(query: dict[str, Any], customer_id: str) -> Response:
    """Export what is kept of a customer. The look is on the record before the answer goes out."""
    here = passed()
    notices = notices_of(here.parts.policy)
    source = Source(desk=here.desk, customer_id=customer_id, kind=query["type"], notices=notices)
    written = at_once.export(source, query["format"])
    return _file(written, ZIP, "export.zip") if query["format"] == "zip" else _file(written, "application/json")


@blueprint.route("/v1/packages/<link>", methods=["GET"])
@open_to_links
@blueprint.response(200, description="A ZIP.")
@blueprint.doc(responses={200: _AS_ZIP})
def take(link: str) -> Response:
    """Take the package behind a link, once: the link is the key."""
    house = parts()
    refuse_unproven(house, links.tenant_of(link))
    written = links.take(house.records, house.ledger, link, house.clock(), g.request_id)
    return _file(written, ZIP, "package.zip")


def _file(written: Generator[bytes], media_type: str, name: str | None = None) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if name else {}
    return Response(begun(written), headers=headers, content_type=media_type)
