"""A KMS over HTTP: moto's, before which stands what answers as AWS documents it where moto does not."""

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

import boto3
from http_front import Front
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app

REGION = "eu-central-1"
KIND = "application/x-amz-json-1.1"


class Kms:
    """moto takes a ciphertext for another key for a denial; KMS calls it IncorrectKeyException (Decrypt, Errors)."""

    def __init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.refuses: dict[str, str] = {}
        """By ARN, the code that KMS answers every use of the key with; moto keeps no key from being used."""
        self.seen: list[dict[str, Any]] = []
        self.front = Front(self, MotoRequestHandler)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started: list[Any] = []
        asked = _body(environ)
        self.seen.append(asked)
        if code := self.refuses.get(asked.get("KeyId", "")):
            start_response("400 BAD REQUEST", [("Content-Type", KIND)])
            return [refusal(code)]
        answer = b"".join(self._moto(environ, lambda *said: started.append(said)))
        if b"AccessDeniedException" in answer:
            start_response("400 BAD REQUEST", [("Content-Type", KIND)])
            return [refusal("IncorrectKeyException")]
        start_response(*started[0])
        return [answer]

    def client(self) -> Any:
        return boto3.client("kms", region_name=REGION, endpoint_url=self.front.url)

    def new_key(self) -> str:
        return self.client().create_key()["KeyMetadata"]["Arn"]


def refusal(code: str) -> bytes:
    """The body of an error."""
    return json.dumps({"__type": code, "message": "canary-of-a-message"}).encode()


def _body(environ: dict[str, Any]) -> dict[str, Any]:
    """The JSON of a request, which stays readable."""
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(raw)
    return json.loads(raw or b"{}")
