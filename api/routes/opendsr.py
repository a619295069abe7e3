"""`/opendsr/v2`: OpenDSR 2.0. A controller's own system passes requests on; what is answered is signed.

Where the specification leaves something open or can't be kept: `processor_signature` is a header only, `/status` is an
alias, 429 is left to a proxy in front.
"""

from typing import Any

from flask import Response, g, request

from api.door import Blueprint, needs, passed
from api.parts import parts
from api.problems import Problem
from api.wire.opendsr import (
    CancellationShown,
    DiscoveryShown,
    ReceiptShown,
    StatusShown,
    SubjectRequest,
    error_response,
)
from vault.errors import Invalid, KeyReused
from vault.protocols import callbacks, opendsr
from vault.protocols.opendsr import BASE, CERTIFICATE_PATH, PROTOCOL, Processor
from vault.requests import decisions, ordered, rights
from vault.requests.execution import Work
from vault.requests.intake import Identity, Order
from vault.requests.rights import RightsRequest

blueprint = Blueprint("opendsr", __name__, description="OpenDSR 2.0")
SIGNED = frozenset({200, 201, 202})
ONE = f"{BASE}/requests/<subject_request_id>"

blueprint.register_error_handler(Exception, error_response)


@blueprint.before_request
def _configured() -> None:
    if parts().opendsr is None:
        raise Problem(404, "not_configured", "OpenDSR is not configured here: PANLESS_OPENDSR_DOMAIN is not set.")


@blueprint.after_request
def _signed(response: Response) -> Response:
    processor = parts().opendsr
    if processor is not None and response.status_code in SIGNED:
        response.headers.update(opendsr.signed(processor, response.get_data()))
    return response


@blueprint.route(f"{BASE}/discovery", methods=["GET"])
@blueprint.response(200, DiscoveryShown)
def discovery() -> dict[str, Any]:
    """Say what is supported, and where the certificate is."""
    return opendsr.discovery(_processor())


@blueprint.route(CERTIFICATE_PATH, methods=["GET"])
@blueprint.response(200, description="The certificate, in PEM.")
def certificate() -> Response:
    """Get the certificate that signatures are checked with."""
    return Response(_processor().certificate, content_type="application/pem-certificate-chain")


@blueprint.route(f"{BASE}/requests", methods=["POST"])
@needs("rights:write", body=True, raw=True)
@blueprint.arguments(SubjectRequest)
@blueprint.response(201, ReceiptShown)
def submit(sent: dict[str, Any]) -> dict[str, Any]:
    """Take in a request that the controller verified, and carry it out. The same request again is one."""
    here = passed()
    urls, ident = dict.fromkeys(sent["status_callback_urls"]), sent["subject_request_id"]
    for url in urls:
        if not callbacks.is_allowed(here.parts.callback_hosts, here.caller.tenant, here.caller.client, url):
            raise Invalid("status_callback_urls", "Only https, and only hosts that are agreed on here.")

    def ask(tx: Any, request_id: str) -> None:  # noqa: ANN401  # a connection
        for number, url in enumerate(urls):
            callbacks.ask(here.desk, tx, request_id, str(number), PROTOCOL, {"url": url}, told="received")

    attempt = here.attempt_named("opendsr.request", ident, g.body)
    try:
        taken = ordered.carry_out(_work(), _order(sent), attempt, ask)
    except KeyReused:
        raise Problem(409, "duplicate_request", "Another request came with this subject_request_id.") from None
    return opendsr.receipt(taken, request.get_data())


@blueprint.route(ONE, methods=["GET"])
@needs("rights:read")
@blueprint.response(200, StatusShown)
def status(subject_request_id: str) -> dict[str, Any]:
    """See where a request stands."""
    return _standing(subject_request_id)


@blueprint.route(f"{ONE}/status", methods=["GET"])
@needs("rights:read")
@blueprint.response(200, StatusShown)
def status_alias(subject_request_id: str) -> dict[str, Any]:
    """See where a request stands: the same, under the name that the specification mentions and does not define."""
    return _standing(subject_request_id)


@blueprint.route(ONE, methods=["DELETE"])
@needs("rights:write")
@blueprint.response(202, CancellationShown)
def cancel(subject_request_id: str) -> dict[str, Any]:
    """Withdraw a request that is still pending."""
    here = passed()
    found = _found(subject_request_id)
    if opendsr.status(found.status) != "pending":
        raise Problem(409, "request_closed", "This request is not pending any more.")
    decisions.cancel(here.desk, here.parts.ledger, found.id)
    return {
        "controller_id": found.client,
        "received_time": opendsr.moment(here.caller.at),
        "subject_request_id": found.external_id,
        "api_version": opendsr.API_VERSION,
    }


def _standing(subject_request_id: str) -> dict[str, Any]:
    """HEAD gets no link: nobody would see it, and the one that was given out would open nothing any more."""
    links = request.method == "GET"
    return opendsr.document(_work(), _processor(), _found(subject_request_id), links=links)


def _order(sent: dict[str, Any]) -> Order:
    identities = [
        Identity(
            field=opendsr.FIELDS[each["identity_type"]], form=each["identity_format"], value=each["identity_value"]
        )
        for each in sent["subject_identities"]
    ]
    return Order(
        type=sent["subject_request_type"],
        identities=identities,
        regulation=sent["regulation"],
        submitted_at=sent["submitted_time"],
        verification=ordered.VERIFICATION,
        protocol=PROTOCOL,
        external_id=sent["subject_request_id"],
    )


def _found(subject_request_id: str) -> RightsRequest:
    return rights.by_external_id(passed().desk, PROTOCOL, subject_request_id)


def _work() -> Work:
    here = passed()
    house = here.parts
    return Work(desk=here.desk, ledger=house.ledger, policy=house.policy)


def _processor() -> Processor:
    processor = parts().opendsr
    if processor is None:
        raise AssertionError("no request comes here unconfigured")
    return processor
