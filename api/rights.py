"""`/v1/rights-requests`: what data subjects ask for, from the day it comes in to the proof of what was done."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from marshmallow import Schema, fields, validate

from api.door import REPLAYED, Blueprint, needs, passed
from api.fields import ContactFields, Flag, Ident, Moment, PageOf, Strict, name, of_type, one_of
from api.parts import Parts
from vault import (
    erasure_completion,
    erasure_requests,
    package_links,
    pages,
    rights,
    rights_decisions,
    rights_execution,
    rights_intake,
)
from vault.caller import Caller
from vault.policy import Policy
from vault.restrictions import GROUNDS
from vault.rights import TYPES, RightsRequest
from vault.rights_decisions import DENIALS, EXTENSIONS
from vault.rights_execution import Work
from vault.rights_intake import MOST_CUSTOMERS, VERIFICATIONS, Identity, Order

blueprint = Blueprint("rights", __name__, description="What data subjects ask for")
EXTERNAL_ID = r"[A-Za-z0-9._:-]{1,64}"


class IdentityFields(Strict):
    """By what a person is named; `sha256` is the hex hash of the value as given or lower-cased."""

    type = one_of("email", "phone", "reference", required=True)
    value = name(required=True)
    format = one_of("raw", "sha256", load_default="raw")


class VerificationFields(Strict):
    """How the controller verified the person, as it says."""

    method = one_of(*VERIFICATIONS, required=True)
    verified_at = fields.AwareDateTime()


class RequestOrder(Strict):
    """What is asked for, and about whom: customers by their ids, or identities, which are looked up and not kept."""

    type = one_of(*TYPES, required=True)
    customers = fields.List(Ident("cus"), validate=validate.Length(min=1, max=MOST_CUSTOMERS))
    identities = fields.List(fields.Nested(IdentityFields), validate=validate.Length(min=1, max=20))
    regulation = fields.String(validate=validate.Regexp(r"[a-z0-9_-]{1,20}\Z"))
    submitted_at = fields.AwareDateTime()
    verification = fields.Nested(VerificationFields)
    ground = one_of(*GROUNDS)
    external_id = fields.String(validate=validate.Regexp(EXTERNAL_ID + r"\Z"))


class Approval(Strict):
    """That a request may go on; `correction` is what a rectification changes, and is kept nowhere else."""

    verification = one_of(*VERIFICATIONS)
    correction = fields.Nested(ContactFields)
    cancel_subscriptions = Flag()


class Denial(Strict):
    """Why a request is refused, and when the person was told so."""

    reason = one_of(*DENIALS, required=True)
    notified_at = fields.AwareDateTime(required=True)


class Extension(Strict):
    """Why a request takes longer, and when the person was told so."""

    reason = one_of(*EXTENSIONS, required=True)
    notified_at = fields.AwareDateTime(required=True)


class RequestQuery(PageOf):
    """Which requests."""

    status = fields.String(validate=validate.Regexp(r"[a-z_]{1,40}\Z"))
    type = one_of(*TYPES)
    customer = Ident("cus")
    overdue = fields.Boolean(truthy={"true"}, falsy={"false"})


class OfCustomer(Strict):
    """Whose certificate, where a request is about several customers."""

    customer = Ident("cus")


class TargetShown(Schema):
    """One customer that a request is about, and what stands in the way."""

    customer = fields.String()
    status = fields.String()
    reasons = fields.List(fields.String())
    until = Moment(allow_none=True)


class ComplaintShown(Schema):
    """Where the person can complain."""

    authority = fields.String()
    data_protection_officer = fields.String()


class RequestShown(Schema):
    """A rights request and where it stands; `customer` is null where it is not about exactly one."""

    id = fields.String()
    object = of_type("rights_request")
    type = fields.String()
    status = fields.String()
    customer = fields.String(allow_none=True)
    customers = fields.List(fields.String())
    targets = fields.List(fields.Nested(TargetShown))
    regulation = fields.String()
    protocol = fields.String()
    external_id = fields.String(allow_none=True)
    verification = fields.String(allow_none=True)
    verified_at = Moment(allow_none=True)
    ground = fields.String(allow_none=True)
    approvals = fields.Integer()
    approvals_needed = fields.Integer()
    submitted_at = Moment()
    received_at = Moment()
    due_at = Moment()
    extended_due_at = Moment(allow_none=True)
    extension_reason = fields.String(allow_none=True)
    denial_reason = fields.String(allow_none=True)
    notice_sent_at = Moment(allow_none=True)
    completed_at = Moment(allow_none=True)
    overdue = fields.Boolean()
    complaint = fields.Nested(ComplaintShown)


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
    request, replayed = rights_intake.submit(house.records, house.ledger, house.policy, here.caller, wanted, attempt)
    headers = {"Location": f"/v1/rights-requests/{request.id}", **(REPLAYED if replayed else {})}
    return _shown(request), 201, headers


@blueprint.route("/v1/rights-requests", methods=["GET"])
@needs("rights:read", query=frozenset({"limit", "cursor", "status", "type", "customer", "overdue"}))
@blueprint.arguments(RequestQuery, location="query")
@blueprint.response(200, RequestPage)
def listed(query: dict[str, Any]) -> dict[str, Any]:
    """List rights requests, newest first."""
    here = passed()
    filters = {each: query[each] for each in ("status", "type", "customer", "overdue") if each in query}
    wanted = pages.Wanted(**{each: query[each] for each in ("limit", "cursor") if each in query})
    page = rights.listed(here.parts.records, here.caller, filters, wanted)
    return {"data": [_shown(each) for each in page.data], "next_cursor": page.next_cursor}


@blueprint.route("/v1/rights-requests/<request_id>", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, RequestShown)
def read(request_id: str) -> dict[str, Any]:
    """Look at a rights request."""
    here = passed()
    return _shown(rights.read(here.parts.records, here.caller, request_id))


@blueprint.route("/v1/rights-requests/<request_id>/approve", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Approval)
@blueprint.response(200, RequestShown)
def approve(approval: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Approve a request and carry it out; erasures above the policy's rate need a second actor."""
    here = passed()
    house, keyring = here.parts, here.parts.keyring
    correction = approval.get("correction")
    edit = (lambda old: replace(old, **correction)) if correction is not None else None
    if approval.get("cancel_subscriptions"):
        rights_decisions.cancel_subscriptions(house.records, keyring, here.caller, request_id)
    request = rights_decisions.approve(
        house.records, keyring, house.policy, here.caller, request_id, approval.get("verification")
    )
    if request.status == "approved":
        rights_execution.execute(_work(here.parts, here.caller), request, edit)
    return _shown(rights.read(house.records, here.caller, request_id))


@blueprint.route("/v1/rights-requests/<request_id>/deny", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Denial)
@blueprint.response(200, RequestShown)
def deny(denial: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Refuse a request, after the person was told why and where to complain."""
    here = passed()
    return _shown(rights_decisions.deny(here.parts.records, here.parts.keyring, here.caller, request_id, **denial))


@blueprint.route("/v1/rights-requests/<request_id>/extend", methods=["POST"])
@needs("rights:write", body=True)
@blueprint.arguments(Extension)
@blueprint.response(200, RequestShown)
def extend(extension: dict[str, Any], request_id: str) -> dict[str, Any]:
    """Take the longer time that the law grants, after the person was told."""
    here = passed()
    house = here.parts
    extended = rights_decisions.extend(
        house.records, house.keyring, house.policy, here.caller, request_id, **extension
    )
    return _shown(extended)


@blueprint.route("/v1/rights-requests/<request_id>", methods=["DELETE"])
@needs("rights:write")
@blueprint.response(200, RequestShown)
def cancel(request_id: str) -> dict[str, Any]:
    """Withdraw a request that nothing was done for yet."""
    here = passed()
    return _shown(rights_decisions.cancel(here.parts.records, here.parts.keyring, here.caller, request_id))


@blueprint.route("/v1/rights-requests/<request_id>/package", methods=["GET"])
@needs("rights:read", purpose=True)
@blueprint.response(200, PackageShown)
def package(request_id: str) -> dict[str, Any]:
    """Get a link to the package of an access or portability request: it works once, and the last one given out."""
    here = passed()
    found, link = package_links.link_of_request(here.parts.records, here.parts.keyring, here.caller, request_id)
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


@blueprint.route("/v1/rights-requests/<request_id>/certificate", methods=["GET"])
@needs("rights:read", query=frozenset({"customer"}))
@blueprint.arguments(OfCustomer, location="query")
@blueprint.response(200, CertificateShown)
def certificate(query: dict[str, str], request_id: str) -> Mapping[str, Any]:
    """Get the latest certificate of an erasure, signed."""
    here = passed()
    house = here.parts
    return erasure_completion.certificate(
        house.records, house.ledger, house.policy, here.caller, request_id, query.get("customer")
    )


@blueprint.route("/v1/customers/<customer_id>", methods=["DELETE"])
@needs("rights:write")
@blueprint.response(200, RequestShown)
@blueprint.alt_response(202, schema=RequestShown, description="Erased here; processors are being told.")
def erase(customer_id: str) -> tuple[dict[str, Any], int]:
    """Erase a customer: here at once, at the processors by the worker. Ask again for how far it came."""
    here = passed()
    house = here.parts
    request = erasure_requests.erase(house.records, house.ledger, house.policy, here.caller, customer_id)
    return _shown(request), 200 if request.is_complete else 202


def _work(house: Parts, caller: Caller) -> Work:
    return Work(records=house.records, ledger=house.ledger, policy=house.policy, caller=caller)


def _shown(request: RightsRequest) -> dict[str, Any]:
    """A request with what the answer to every request says: whether it is late, and where the person can complain."""
    here = passed()
    late = request.status in rights.OPEN and request.final_due_at < here.caller.at
    values = {field: getattr(request, field) for field in RequestShown._declared_fields if hasattr(request, field)}  # noqa: SLF001  # marshmallow's
    return {**values, "overdue": late, "complaint": _complaint(here.parts.policy)}


def _complaint(policy: Policy) -> dict[str, str]:
    return {"authority": policy.authority, "data_protection_officer": policy.data_protection_officer}


