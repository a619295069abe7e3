"""OpenDSR 2.0 on the wire: what controllers send, what they get, and its own form of errors."""

import json
from typing import Any

from flask import Response
from marshmallow import ValidationError, fields, validate, validates_schema

from api.door import SUBJECT_REQUEST_ID
from api.problems import answer_to
from api.wire.fields import Lenient, Moment, Whole, one_of, text
from vault.protocols.opendsr import FIELDS, FORMATS, TYPES

MOST_CALLBACKS = 5
SHA256 = validate.Regexp(r"[0-9A-Fa-f]{64}\Z")


class SubjectIdentity(Lenient):
    """By what a person is named."""

    identity_type = one_of(*FIELDS, required=True)
    identity_value = text(254, required=True)
    identity_format = one_of(*FORMATS, required=True)

    @validates_schema
    def _hash(self, data: dict[str, Any], **_kwargs: Any) -> None:  # noqa: ANN401  # marshmallow's
        if data["identity_format"] == "sha256" and not SHA256.regex.match(data["identity_value"]):
            raise ValidationError("A SHA-256 has 64 hex digits.", "identity_value")


class SubjectRequest(Lenient):
    """A request of a data subject, as its controller passes it on. `extensions` has nothing for us."""

    regulation = one_of("gdpr", "ccpa", required=True)
    subject_request_id = fields.String(
        required=True, validate=Whole(f"^{SUBJECT_REQUEST_ID.pattern}$", error="A lower-case UUID, version 4.")
    )
    subject_request_type = one_of(*TYPES, required=True)
    submitted_time = Moment(required=True)
    subject_identities = fields.List(
        fields.Nested(SubjectIdentity), required=True, validate=validate.Length(min=1, max=20)
    )
    api_version = fields.String(validate=Whole(r"^2(\.[0-9]{1,3}){0,2}$", error="This is version 2."))
    status_callback_urls = fields.List(text(2000), validate=validate.Length(max=MOST_CALLBACKS), load_default=list)
    extensions = fields.Dict()


class ReceiptShown(Lenient):
    """That a request was received; `encoded_request` is its body in base64, and nobody may keep it."""

    controller_id = fields.String()
    expected_completion_time = fields.String()
    received_time = fields.String()
    encoded_request = fields.String()
    subject_request_id = fields.String()


class StatusShown(Lenient):
    """Where a request stands. `results_url` works once, and takes the place of the one given out before."""

    controller_id = fields.String()
    expected_completion_time = fields.String()
    subject_request_id = fields.String()
    request_status = fields.String()
    api_version = fields.String()
    results_url = fields.String()
    results_count = fields.Integer()
    extensions = fields.Dict()


class CancellationShown(Lenient):
    """That a cancellation was received."""

    controller_id = fields.String()
    received_time = fields.String()
    subject_request_id = fields.String()
    api_version = fields.String()


class SupportedIdentity(Lenient):
    """A kind of identity that people are found by."""

    identity_type = fields.String()
    identity_format = fields.String()


class DiscoveryShown(Lenient):
    """What is supported here."""

    api_version = fields.String()
    supported_identities = fields.List(fields.Nested(SupportedIdentity))
    supported_subject_request_types = fields.List(fields.String())
    processor_certificate = fields.String()


class OpenDsrErrorDetail(Lenient):
    """One thing that is wrong."""

    domain = fields.String()
    reason = fields.String()
    message = fields.String()


class OpenDsrErrorBody(Lenient):
    """What is wrong; it quotes nothing that was sent."""

    code = fields.Integer()
    message = fields.String()
    errors = fields.List(fields.Nested(OpenDsrErrorDetail))


class OpenDsrError(Lenient):
    """An error in OpenDSR's own form."""

    error = fields.Nested(OpenDsrErrorBody)


def error_response(error: Exception) -> Response:
    """Any error in OpenDSR's form (specification.md 7.6). What cannot be read or is not valid is 400 there."""
    problem = answer_to(error)
    found = problem.get_json()
    status = 400 if problem.status_code in {413, 415, 422} else problem.status_code
    domain = "Validation" if status == 400 else "Request"  # noqa: PLR2004  # its name
    messages = [f"{each['field']}: {each['message']}" for each in found.get("errors", ())] or [found["detail"]]
    details = [{"domain": domain, "reason": found["code"], "message": message} for message in messages]
    body = {"error": {"code": status, "message": messages[0], "errors": details}}
    headers = {name: value for name, value in problem.headers if name in {"Allow", "Retry-After", "WWW-Authenticate"}}
    return Response(json.dumps(body), status, headers, content_type="application/json")
