"""`/v1/rights-requests`: what data subjects ask for, from the day it comes in to the proof of what was done."""

from dataclasses import replace
from typing import Any

from marshmallow import Schema, fields, validate

from api.door import Blueprint, needs, passed, replay_headers
from api.parts import Parts
from api.wire.fields import ContactFields, Flag, Ident, Moment, PageOf, Strict, Whole, of_type, one_of, text
from api.wire.rights import RequestShown, shown
from vault import cursors
from vault.caller import Caller
from vault.exports import links
from vault.people.restrictions import GROUNDS
from vault.requests import decisions, execution, intake, rights
from vault.requests import listed as rights_listed
from vault.requests.decisions import DENIALS, EXTENSIONS
from vault.requests.execution import Work
from vault.requests.intake import MOST_CUSTOMERS, VERIFICATIONS, Identity, Order
from vault.requests.rights import TYPES

blueprint = Blueprint("rights", __name__, description="What data subjects ask for")
EXTERNAL_ID = r"[A-Za-z0-9._:-]{1,64}"


class IdentityFields(Strict):
    """By what a person is named; `sha256` is the hex hash of the value as given or lower-cased."""

    type = one_of("email", "phone", "reference", required=True)
    value = text(254, required=True)
    format = one_of("raw", "sha256", load_default="raw")


class VerificationFields(Strict):
    """How the controller verified the person, as it says."""

    method = one_of(*VERIFICATIONS, required=True)
    verified_at = Moment()


class RequestOrder(Strict):
    """What is asked for, and about whom: customers by their ids, or identities, which are looked up and not kept."""

    type = one_of(*TYPES, required=True)
    customers = fields.List(Ident("cus"), validate=validate.Length(min=1, max=MOST_CUSTOMERS))
    identities = fields.List(fields.Nested(IdentityFields), validate=validate.Length(min=1, max=20))
    regulation = fields.String(validate=Whole(r"^[a-z0-9_-]{1,20}$"))
    submitted_at = Moment()
    verification = fields.Nested(VerificationFields)
    ground = one_of(*GROUNDS)
    external_id = fields.String(validate=Whole(f"^{EXTERNAL_ID}$"))


class Approval(Strict):
    """That a request may go on; `correction` is what a rectification changes, and is kept nowhere else."""

    verification = one_of(*VERIFICATIONS)
    correction = fields.Nested(ContactFields)
    cancel_subscriptions = Flag()


class Denial(Strict):
    """Why a request is refused, and when the person was told so."""

    reason = one_of(*DENIALS, required=True)
    notified_at = Moment(required=True)


class Extension(Strict):
    """Why a request takes longer, and when the person was told so."""

    reason = one_of(*EXTENSIONS, required=True)
    notified_at = Moment(required=True)


class RequestQuery(PageOf):
    """Which requests."""

    status = fields.String(validate=Whole(r"^[a-z_]{1,40}$"))
    type = one_of(*TYPES)
    customer = Ident("cus")
    overdue = fields.Boolean(truthy={"true"}, falsy={"false"})


class RequestPage(Schema):
    """One page of rights requests."""

    data = fields.List(fields.Nested(RequestShown))
    next_cursor = fields.String(allow_none=True)


class PackageShown(Schema):
    """A package, and a link to take it, once; the link that was given out before opens nothing any more."""

    object = of_type("package")
    id = fields.String()
    request = fields.String()
    type = fields.String()
    status = fields.String()
    rows = fields.Integer()
    url = fields.String()
    created_at = Moment()
    expires_at = Moment(allow_none=True)


@blueprint.route("/v1/rights-requests", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(RequestOrder)
@blueprint.response(201, RequestShown)
def submit(order: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Take in a rights request. It waits for approval; its clock runs."""
    here = passed()
    house, verification = here.parts, order.pop("verification", {})
    identities = [
        Identity(field=each["type"], form=each["format"], value=each["value"]) for each in order.pop("identities", ())
    ]
    wanted = Order(
        identities=identities,
        verification=verification.get("method"),
        verified_at=verification.get("verified_at"),
        **order,
    )
    attempt = here.attempt("rights.request")
    made = intake.submit(house.desk(here.caller), house.ledger, house.policy, wanted, attempt)
    headers = {"Location": f"/v1/rights-requests/{made.value.id}", **replay_headers(replayed=made.replayed)}
    return shown(made.value), 201, headers


@blueprint.route("/v1/rights-requests", methods=["GET"])
@needs("rights:read", query=frozenset({"limit", "cursor", "status", "type", "customer", "overdue"}))
@blueprint.arguments(RequestQuery, location="query")
@blueprint.response(200, RequestPage)
def listed(query: dict[str, Any]) -> dict[str, Any]:
    """List rights requests, newest first."""
    here = passed()
    filters: dict[str, Any] = {each: query[each] for each in ("status", "type", "customer", "overdue") if each in query}
    wanted = cursors.Wanted(**{each: query[each] for each in ("limit", "cursor") if each in query})
    page = rights_listed.listed(here.desk, filters, wanted)
    return {"data": [shown(each) for each in page.data], "next_cursor": page.next_cursor}


@blueprint.route("/v1/rights-requests/<request_id>", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, RequestShown)
def read(request_id: str) -> dict[str, Any]:
    """Look at a rights request."""
    here = passed()
    return shown(rights.read(here.desk, request_id))


@blueprint.route("/v1/rights-requests/<request_id>/approve", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Approval)
@blueprint.response(200, RequestShown)
def approve(approval: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Approve a request and carry it out; erasures above the policy's rate need a second actor."""
    here = passed()
    house = here.parts
    correction = approval.get("correction")
    edit = (lambda old: replace(old, **correction)) if correction is not None else None
    request = decisions.approve(
        here.desk,
        house.policy,
        request_id,
        approval.get("verification"),
        corrects=edit is not None,
        cancels=approval.get("cancel_subscriptions", False),
    )
    if request.status == "approved":
        execution.execute(_work(here.parts, here.caller), request, edit)
    return shown(rights.read(house.desk(here.caller), request_id))


@blueprint.route("/v1/rights-requests/<request_id>/deny", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Denial)
@blueprint.response(200, RequestShown)
def deny(denial: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Refuse a request, after the person was told why and where to complain."""
    here = passed()
    return shown(decisions.deny(here.desk, here.parts.ledger, request_id, **denial))


@blueprint.route("/v1/rights-requests/<request_id>/extend", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Extension)
@blueprint.response(200, RequestShown)
def extend(extension: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Take the longer time that the law grants, after the person was told."""
    here = passed()
    house = here.parts
    extended = decisions.extend(house.desk(here.caller), house.policy, request_id, **extension)
    return shown(extended)


@blueprint.route("/v1/rights-requests/<request_id>", methods=["DELETE"])
@needs("rights:write")
@blueprint.response(200, RequestShown)
def cancel(request_id: str) -> dict[str, Any]:
    """Withdraw a request that nothing was done for yet."""
    here = passed()
    return shown(decisions.cancel(here.desk, here.parts.ledger, request_id))


@blueprint.route("/v1/rights-requests/<request_id>/package", methods=["GET"])
@needs("rights:read", refusals=frozenset({409}), provable=True)
@blueprint.response(200, PackageShown)
def package(request_id: str) -> dict[str, Any]:
    """Get a link to the package of an access or portability request: it works once, and the last one given out."""
    here = passed()
    found, link = links.link_of_request(here.desk, request_id)
    return {
        "id": found.id,
        "request": found.request,
        "type": found.kind,
        "status": found.status,
        "rows": found.progress,
        "url": f"/v1/packages/{link}",
        "created_at": found.created_at,
        "expires_at": found.expires_at,
    }


def _work(house: Parts, caller: Caller) -> Work:
    return Work(desk=house.desk(caller), ledger=house.ledger, policy=house.policy)
