"""How a rights request is shown: to all who ask about one, in the same form."""

from datetime import datetime
from typing import Any

from marshmallow import Schema, fields

from api.door import passed
from api.wire.fields import Moment, of_type
from vault.policy import Policy
from vault.requests import deadlines, rights
from vault.requests.rights import RightsRequest


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
    matched = fields.Integer(metadata={"description": "How many customers it is about; 0: nobody here was named."})
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
    acknowledge_by = Moment(allow_none=True)
    due_at = Moment()
    extended_due_at = Moment(allow_none=True)
    extension_reason = fields.String(allow_none=True)
    denial_reason = fields.String(allow_none=True)
    notice_sent_at = Moment(allow_none=True)
    completed_at = Moment(allow_none=True)
    overdue = fields.Boolean()
    complaint = fields.Nested(ComplaintShown)


def shown(request: RightsRequest) -> dict[str, Any]:
    """A request with what the answer to every request says: whether it is late, and where the person can complain."""
    here = passed()
    late = request.status in rights.OPEN and request.final_due_at < here.caller.at
    values = {field: getattr(request, field) for field in RequestShown._declared_fields if hasattr(request, field)}  # noqa: SLF001  # marshmallow's
    values["acknowledge_by"] = _acknowledge_by(here.parts.policy, request)
    return {**values, "overdue": late, "complaint": _complaint(here.parts.policy)}


def _acknowledge_by(policy: Policy, request: RightsRequest) -> datetime | None:
    """By when receipt must be confirmed, where the regulation asks for that and the policy still names it."""
    if request.regulation not in policy.regulations:
        return None
    return deadlines.acknowledge_by(policy, request.regulation, received_at=request.received_at)


def _complaint(policy: Policy) -> dict[str, str]:
    return {"authority": policy.authority, "data_protection_officer": policy.data_protection_officer}
