"""`/v1/audit`: the tenant's audit log, as C2SP's tlog-tiles lays one out below a prefix; and its entries for people."""

from typing import Any

from flask import Response
from marshmallow import Schema, fields

from api.door import Blueprint, needs, passed
from api.wire.fields import Ident, PageOf
from rows.engine import reading
from vault.cursors import Page, Wanted
from vault.errors import NotFoundHere
from vault.tlog import kept, listed
from vault.tlog.listed import Entry
from vault.tlog.merkle import HASH_BYTES
from vault.tlog.paths import ENTRIES, parse_tail, unbundled

blueprint = Blueprint("audit", __name__, description="Who looked and who changed, on a record that shows tampering")
TEXT, BYTES = "text/plain; charset=utf-8", "application/octet-stream"
HIGHEST_LEVEL = 7
_AS_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}
_AS_BYTES = {"content": {BYTES: {"schema": {"type": "string", "format": "binary"}}}}


class EntryShown(Schema):
    """An entry: who did what to whom, when and why. Ids and codes, nothing of a person."""

    position = fields.Integer()
    at = fields.String(attribute="leaf.at")
    action = fields.String(attribute="leaf.action")
    client = fields.String(attribute="leaf.client")
    client_name = fields.String(allow_none=True)
    actor = fields.String(attribute="leaf.actor", allow_none=True)
    customer = fields.String(attribute="leaf.customer", allow_none=True)
    resource = fields.String(attribute="leaf.resource", allow_none=True)
    purpose = fields.String(attribute="leaf.purpose", allow_none=True)
    reference = fields.String(attribute="leaf.reference", allow_none=True)
    request_id = fields.String(attribute="leaf.request_id")
    details = fields.Dict(attribute="leaf.details")


class EntryPage(Schema):
    """One page of entries."""

    data = fields.List(fields.Nested(EntryShown))
    next_cursor = fields.String(allow_none=True)


class EntryQuery(PageOf):
    """Which entries."""

    customer = Ident("cus")


@blueprint.route("/v1/audit/checkpoint", methods=["GET"])
@needs("audit:read", refusals=frozenset({404}))
@blueprint.response(200, description="A signed note (C2SP tlog-checkpoint).")
@blueprint.doc(responses={200: _AS_TEXT})
def checkpoint() -> Response:
    """The newest checkpoint of the tenant's log: its size and root hash, signed."""
    here = passed()
    with reading(here.parts.records) as connection:
        log = kept.log_of(connection, here.caller.tenant)
    if log is None or not log.checkpoint:
        raise NotFoundHere("No checkpoint yet: the worker signs the first one within a second.")
    return Response(log.checkpoint, content_type=TEXT)


@blueprint.route("/v1/audit/tile/<level>/<path:place>", methods=["GET"])
@needs("audit:read")
@blueprint.response(200, description="Hashes of a tile, or entries (C2SP tlog-tiles).")
@blueprint.doc(responses={200: _AS_BYTES})
def tile(level: str, place: str) -> Response:
    """A tile of the log's tree, or for the level `entries` the entries themselves."""
    here, found = passed(), parse_tail(place)
    if found is None or level not in {ENTRIES, *map(str, range(HIGHEST_LEVEL + 1))}:
        raise NotFoundHere("No such tile.")
    number, width = found
    with reading(here.parts.records) as connection:
        if level == ENTRIES:
            here.parts.tallies.read_log(here.caller)
            content = kept.entry_bundle(connection, here.caller.tenant, number, width)
            held = sum(1 for _ in unbundled(content))
        else:
            content = kept.tile(connection, here.caller.tenant, int(level), number, width)
            held = len(content) // HASH_BYTES
    if held < width:
        raise NotFoundHere("No such tile.")
    return Response(content, content_type=BYTES)


@blueprint.route("/v1/audit/entries", methods=["GET"])
@needs("audit:read", query=frozenset({"customer", "limit", "cursor"}))
@blueprint.arguments(EntryQuery, location="query")
@blueprint.response(200, EntryPage)
def entries(query: dict[str, Any]) -> Page[Entry]:
    """List entries, the last in the log first: all, or those about one customer, erased or not."""
    here = passed()
    here.parts.tallies.read_log(here.caller)
    wanted = Wanted(limit=query["limit"], cursor=query.get("cursor"))
    return listed.entries(here.parts.records, here.caller.tenant, query.get("customer"), wanted)
