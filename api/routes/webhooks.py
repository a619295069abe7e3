"""`/webhooks/{processor_account}`: where processors tell what happened there. Signed; no API key."""

from flask import request

from api.bodies import read_raw
from api.door import Blueprint, open_to_signatures
from api.parts import parts
from api.problems import Problem
from vault.recovering import webhooks_in

blueprint = Blueprint("webhooks", __name__, description="From processors")


@blueprint.route("/webhooks/<processor_account>", methods=["POST"])
@open_to_signatures
@blueprint.response(204)
def receive(processor_account: str) -> None:
    """Take an event. It is kept before this answers, and looked into afterwards."""
    house = parts()
    body = read_raw(request)
    known = webhooks_in.receive(
        house.records, house.keyring, house.processors, processor_account, body, dict(request.headers), house.clock()
    )
    if not known:
        raise Problem(400, "webhook_refused", "No such webhook, or it is not signed as it should be.")
