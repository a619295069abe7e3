"""What the tests of OpenDSR and of Fides share: a house that speaks them, requests as controllers send them."""

import json
import secrets
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from house import Tenant, make_app
from werkzeug.test import TestResponse

from panless.settings import opendsr_files
from panless.wiring import utc_now
from vault.outgoing import NotPosted, Posted
from vault.protocols.opendsr import Processor

DOMAIN = "vault.example.com"
CONTROLLER = "controller.example.com"
OTHER = "other.example.com"
FIDES = "https://fides.example.com/api/v1"


@cache
def processor() -> Processor:
    """Who we are to controllers, for this whole run: making a key takes a while."""
    key, certificate = (Path(mkdtemp()) / name for name in ("key.pem", "certificate.pem"))
    opendsr_files.create(DOMAIN, key, certificate, utc_now())
    return opendsr_files.read(DOMAIN, key, certificate)


@dataclass
class Outside:
    """What answers for everybody whom we call: each call is kept, `answers` are given first, then 200."""

    calls: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)
    answers: list[Posted | NotPosted] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Posted | NotPosted:
        if "webhook-id" in headers:  # an event for an endpoint of another test's tenant
            return Posted(200)
        self.calls.append((url, body, headers))
        return self.answers.pop(0) if self.answers else Posted(200)

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, _ in self.calls]


def speaking(tenant: Tenant, *, outside: Outside | None = None, **policy: object) -> Tenant:
    """The tenant in a house that speaks OpenDSR and knows a Fides, whose calls go `outside`."""
    house, post = tenant.house, (outside or Outside()).post
    components = replace(
        house.components,
        settings=replace(house.components.settings, callback_hosts=frozenset({CONTROLLER, OTHER}), fides_url=FIDES),
        opendsr=processor(),
        post=post,
        post_anywhere=post,
        policy=replace(house.components.policy, **policy),
    )
    return replace(tenant, house=replace(house, components=components, app=make_app(components)))


def email(value: str, form: str = "raw") -> dict[str, str]:
    return {"identity_type": "email", "identity_value": value, "identity_format": form}


def order(kind: str = "erasure", *identities: dict[str, str], **changes: object) -> dict[str, Any]:
    """A request as a controller sends it (specification.md 7.2)."""
    return {
        "regulation": "gdpr",
        "subject_request_id": str(uuid.uuid4()),
        "subject_request_type": kind,
        "submitted_time": "2026-01-02T15:00:00Z",
        "subject_identities": list(identities) or [email("ada@example.com")],
        "api_version": "2.0",
        **changes,
    }


def send(tenant: Tenant, body: dict[str, Any], **headers: str) -> TestResponse:
    return tenant.call("POST", "/opendsr/v2/requests", body, role="privacy", **headers)


def sent(tenant: Tenant, body: dict[str, Any], **headers: str) -> str:
    """Send it, which succeeds; its subject_request_id."""
    answer = send(tenant, body, **headers)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return body["subject_request_id"]


def standing(tenant: Tenant, ident: str) -> dict[str, Any]:
    answer = tenant.call("GET", f"/opendsr/v2/requests/{ident}", role="privacy")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def details(shown: dict[str, Any]) -> dict[str, Any]:
    return shown["extensions"][DOMAIN]


def verify(folder: Path, certificate: bytes, body: bytes, signature: str) -> bool:
    """Whether openssl finds the signature to be the certificate's over these bytes."""
    name = secrets.token_hex(4)
    files = {each: folder / f"{name}.{each}" for each in ("pem", "pub", "sig", "body")}
    files["pem"].write_bytes(certificate)
    files["body"].write_bytes(body)
    run = ["openssl", "x509", "-in", files["pem"], "-pubkey", "-noout", "-out", files["pub"]]
    subprocess.run(run, check=True, capture_output=True)
    decode = ["openssl", "base64", "-d", "-A", "-out", files["sig"]]
    subprocess.run(decode, input=signature.encode(), check=True, capture_output=True)
    check = ["openssl", "dgst", "-sha256", "-verify", files["pub"], "-signature", files["sig"], files["body"]]
    return subprocess.run(check, check=False, capture_output=True).returncode == 0
