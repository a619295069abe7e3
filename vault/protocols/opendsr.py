"""OpenDSR 2.0 (github.com/opengdpr/OpenDSR, specification.md): how a rights request is told to its controller.

The specification knows four states and none for a refusal or a failure: a request that is denied is `cancelled`, one
that something stands in the way of is `in_progress`, and the rest is said in `extensions`, under our own domain.
"""

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from vault.erasing import completion
from vault.errors import Gone, NotFoundHere, NotUsable
from vault.exports import links as package_links
from vault.requests.execution import Work
from vault.requests.rights import COMPLETED, RightsRequest

PROTOCOL = "opendsr"
API_VERSION = "2.0"
BASE = "/opendsr/v2"
CERTIFICATE_PATH = f"{BASE}/certificate.pem"
TYPES = ("access", "portability", "erasure")
FIELDS = {"controller_customer_id": "reference", "email": "email"}
"""The identity types that a vault can hold, by what we call each."""

FORMATS = ("raw", "sha256")
DELIVERED = ("access", "portability")
STATES = {"verifying": "pending", "received": "pending", "approved": "pending"} | dict.fromkeys(
    ("blocked", "executing", "awaiting_processor"), "in_progress"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """Who we are to controllers: a domain, the certificate for it (PEM), and the key that it is about."""

    domain: str
    certificate: bytes
    key: RSAPrivateKey = field(repr=False)


def signed(processor: Processor, body: bytes) -> dict[str, str]:
    """The headers that prove a body ours: RSA PKCS#1 v1.5 with SHA-256 over exactly these bytes, on one line."""
    signature = processor.key.sign(body, PKCS1v15(), SHA256())
    return {
        "X-OpenDSR-Processor-Domain": processor.domain,
        "X-OpenDSR-Signature": base64.b64encode(signature).decode(),
    }


def discovery(processor: Processor) -> dict[str, Any]:
    """What we support, and where the certificate is."""
    identities = [{"identity_type": kind, "identity_format": form} for kind in FIELDS for form in FORMATS]
    return {
        "api_version": API_VERSION,
        "supported_identities": identities,
        "supported_subject_request_types": [*TYPES],
        "processor_certificate": _url(processor, CERTIFICATE_PATH),
    }


def status(state: str) -> str:
    """How OpenDSR calls where a request stands."""
    return STATES.get(state) or ("completed" if state in COMPLETED else "cancelled")


def receipt(request: RightsRequest, body: bytes) -> dict[str, Any]:
    """The answer to a request that was taken in; it holds the body, which neither side may keep."""
    return {
        "controller_id": request.client,
        "expected_completion_time": moment(request.final_due_at),
        "received_time": moment(request.received_at),
        "encoded_request": base64.b64encode(body).decode(),
        "subject_request_id": request.external_id,
    }


def document(work: Work, processor: Processor, request: RightsRequest, *, links: bool = True) -> dict[str, Any]:
    """Where a request stands. A link in `results_url` works once, and takes the place of the one given out before.

    What is retained stands in certificates, which are out a moment later than the request is complete: until then it is
    in progress.
    """
    try:
        details = _details(work, processor, request)
    except NotUsable:
        return standing(request, "in_progress")
    shown = standing(request, status(request.status))
    shown["extensions"] = {processor.domain: details}
    if request.is_complete:
        shown["results_count"] = len(request.targets)
        if links and request.type in DELIVERED:
            with suppress(Gone, NotFoundHere, NotUsable):  # it was taken, its seven days are over, nobody matched
                _, link = package_links.link_of_request(work.desk, request.id)
                shown["results_url"] = _url(processor, f"/v1/packages/{link}")
    return shown


def standing(request: RightsRequest, status: str) -> dict[str, Any]:
    """What is told of a request in any status."""
    return {
        "controller_id": request.client,
        "expected_completion_time": moment(request.final_due_at),
        "subject_request_id": request.external_id,
        "request_status": status,
        "api_version": API_VERSION,
    }


def _details(work: Work, processor: Processor, request: RightsRequest) -> dict[str, Any]:
    reasons = {reason for target in request.targets for reason in target.reasons}
    certified = _certificates(work, request) if request.type == "erasure" and request.is_complete else {}
    about = f"/v1/rights-requests/{request.id}/certificate"
    urls = [_url(processor, f"{about}?customer={customer}") for customer in certified]
    return {
        "outcome": request.status,
        "reason": request.denial_reason or " ".join(sorted(reasons)) or None,
        "retained": [kept for certificate in certified.values() for kept in certificate["retained"]],
        "certificate_url": urls[0] if len(urls) == 1 else None,
        **({"certificate_urls": urls} if len(urls) > 1 else {}),
    }


def _certificates(work: Work, request: RightsRequest) -> dict[str, Mapping[str, Any]]:
    """What certifies the erasure of each customer; of one whom another request erased there is none here.

    Raises NotUsable while one that says what is retained is not out.
    """
    found = {}
    for target in request.targets:
        try:
            entry = completion.certificate(work.desk, work.ledger, work.policy, request.id, target.customer)
        except NotUsable:
            if target.status == "retained":
                raise
            continue
        found[target.customer] = entry["certificate"]
    return found


def moment(at: datetime) -> str:
    """RFC 3339, UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _url(processor: Processor, path: str) -> str:
    return f"https://{processor.domain}{path}"
