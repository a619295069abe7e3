"""`/livez` says that the process runs, `/readyz` that it may serve."""

from typing import Any

from marshmallow import Schema, fields
from sqlalchemy import literal, select

from api.door import Blueprint
from api.parts import parts
from api.problems import TABLE, Problem
from keys.errors import RootKeyAway, RootKeyDenied
from keys.keyring import Keyring
from rows.engine import reading

PROBES = ("/livez", "/readyz")

blueprint = Blueprint("health", __name__, description="For the orchestrator")


class Health(Schema):
    """How the process is."""

    status = fields.String()


@blueprint.route(PROBES[0], methods=["GET"])
@blueprint.response(200, Health)
def livez() -> dict[str, Any]:
    """Say that the process runs."""
    return {"status": "alive"}


@blueprint.route(PROBES[1], methods=["GET"])
@blueprint.response(200, Health)
def readyz() -> dict[str, Any]:
    """Say whether databases, keystore and ledger belong together and answer, and a root key opens what they hold."""
    verdict = parts().guard.verdict
    if not verdict.is_good:
        raise Problem(503, verdict.code, verdict.message, {"Retry-After": "10"})
    for database in parts().probes:
        with reading(database) as connection:
            connection.execute(select(literal(1)))
    _open_kek(parts().keyring)
    return {"status": "ready"}


def _open_kek(keyring: Keyring) -> None:
    """Have the deployment's own KEK in memory, as every request needs one. A cached one asks nobody."""
    try:
        keyring.warm(keyring.deployment)
    except (RootKeyAway, RootKeyDenied) as error:
        does = "answers" if error.retryable else "lets us use it"
        providers = ", ".join(sorted({root.provider for root in keyring.roots}))
        raise Problem(
            503, TABLE[type(error)].code, f"No root key {does}. Asked were: {providers}.", {"Retry-After": "10"}
        ) from error
