"""`/fides/pre-execution`: Fides' two-way webhook before it carries a privacy request out (fides/policy_webhooks).

An erasure that was approved there is one here (vault/protocols/fides_runs.py); what blocks it here halts Fides, which
is told to go on by the worker (vault/protocols/fides.py). Whatever else Fides asks about is not held up.
"""

import re
from collections.abc import Sequence
from typing import Any

from flask import request
from marshmallow import Schema, fields, validate

from api.bodies import check_values
from api.door import Blueprint, needs, passed
from api.problems import Problem
from api.wire.fields import Lenient, Whole, text
from rows.engine import transaction
from vault.protocols import callbacks, fides_runs
from vault.protocols.fides import PROTOCOL, WAITING
from vault.requests.execution import Work
from vault.requests.intake import Identity
from vault.requests.rights import RightsRequest

blueprint = Blueprint("fides", __name__, description="Fides")
FIELDS = {"email": "email", "phone_number": "phone", "external_id": "reference"}
"""The identities of Fides that a vault can hold, by what we call each."""

RUN = r"pri_[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""What Fides calls a privacy request (FidesBase.generate_uuid); it goes into the path of a URL."""

TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class FidesIdentity(Lenient):
    """By what Fides knows the person."""

    email = text(254, allow_none=True)
    phone_number = text(40, allow_none=True)
    external_id = text(200, allow_none=True)


class FidesRule(Lenient):
    """One rule of the policy that a request runs under."""

    action_type = text(40, allow_none=True)


class FidesPolicy(Lenient):
    """The policy that a request runs under."""

    rules = fields.List(fields.Nested(FidesRule), allow_none=True)


class FidesRequest(Lenient):
    """The privacy request as Fides has it."""

    policy = fields.Nested(FidesPolicy, allow_none=True)


class FidesAnnouncement(Lenient):
    """What Fides is about to do. `policy_action` is its first rule's alone; all rules stand in `privacy_request`."""

    privacy_request_id = fields.String(required=True, validate=Whole(f"^{RUN}$"))
    direction = fields.String(required=True, validate=validate.OneOf(("one_way", "two_way")))
    callback_type = fields.String(required=True, validate=validate.Length(max=40))
    policy_action = fields.String(allow_none=True, load_default=None, validate=validate.Length(max=40))
    identity = fields.Nested(FidesIdentity, required=True)
    privacy_request = fields.Nested(FidesRequest, allow_none=True)


class FidesDirection(Schema):
    """Whether Fides is to wait; we derive no identities."""

    derived_identity = fields.Dict()
    halt = fields.Boolean()


@blueprint.route("/fides/pre-execution", methods=["POST"])
@needs("rights:write", body=True, reads=FidesAnnouncement)
@blueprint.arguments(FidesAnnouncement)
@blueprint.response(200, FidesDirection)
def pre_execution(sent: dict[str, Any]) -> dict[str, Any]:
    """Erase whom Fides is about to erase, and have Fides wait while something stands in the way."""
    if not passed().parts.resumes_fides:
        raise Problem(404, "not_configured", "Fides is not configured here: PANLESS_FIDES_URL is not set.")
    check_values([(("reply-to-token",), request.headers.get("reply-to-token", ""))])
    identities = [
        Identity(field=FIELDS[kind], form="raw", value=value) for kind, value in sent["identity"].items() if value
    ]
    waiting: list[RightsRequest] = []
    if identities and sent["callback_type"] == "pre" and "erasure" in _actions(sent):
        waiting = [each for each in _erase(sent["privacy_request_id"], identities) if each.status in WAITING]
        _have_it_resumed(sent["privacy_request_id"], waiting)
    return {"derived_identity": {}, "halt": bool(waiting)}


def _actions(sent: dict[str, Any]) -> set[str | None]:
    """What the rules of the request's policy do: a policy may give access before it erases."""
    policy = (sent.get("privacy_request") or {}).get("policy") or {}
    return {sent["policy_action"], *(rule.get("action_type") for rule in policy.get("rules") or ())}


def _erase(run: str, identities: list[Identity]) -> Sequence[RightsRequest]:
    """The erasures that the run is about: its own, and those that are under way for the same customers."""
    here = passed()
    house = here.parts
    work = Work(desk=here.desk, ledger=house.ledger, policy=house.policy)
    # the name twice, and no body: a retry may know more identities
    return fides_runs.erase(work, run, identities, lambda name: here.attempt_named("fides.request", name, name))


def _have_it_resumed(run: str, waiting: Sequence[RightsRequest]) -> None:
    """Keep what Fides sent for going on, with each request. Without it (one-way) Fides does not wait anyway."""
    here, token = passed(), request.headers.get("reply-to-token", "")
    if not TOKEN.fullmatch(token):
        return
    address = {"privacy_request": run, "token": token}
    with transaction(here.parts.records) as tx:
        for each in waiting:
            callbacks.ask(here.desk, tx, each.id, run, PROTOCOL, address, told=each.status)
