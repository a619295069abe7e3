"""`/livez` says that the process runs, `/readyz` that it may serve."""

from typing import Any

from marshmallow import Schema, fields

from api.door import Blueprint
from api.parts import parts
from api.problems import Problem

blueprint = Blueprint("health", __name__, description="For the orchestrator")


class Health(Schema):
    """How the process is."""

    status = fields.String()


@blueprint.route("/livez", methods=["GET"])
@blueprint.response(200, Health)
def livez() -> dict[str, Any]:
    """Say that the process runs."""
    return {"status": "alive"}


@blueprint.route("/readyz", methods=["GET"])
@blueprint.response(200, Health)
def readyz() -> dict[str, Any]:
    """Say whether databases, keystore and ledger belong together and answer."""
    verdict = parts().guard.verdict
    if not verdict.is_good:
        raise Problem(503, verdict.code, verdict.message, {"Retry-After": "10"})
    return {"status": "ready"}
