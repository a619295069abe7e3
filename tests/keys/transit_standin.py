"""A transit engine over HTTP, after its documentation: encrypt and decrypt, with associated data.

It answers a forged ciphertext with 400 or, `older`, with 500, as HashiCorp's does from 1.5 on (their issue 10842).
"""

import base64
import json
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from http_front import Front

TOKEN = "hvs.canary-of-a-token"
MOUNT = "some/transit"
Answer = tuple[str, dict[str, Any]]


class Transit:
    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = {name: AESGCM(AESGCM.generate_key(256)) for name in keys}
        self.older = False
        self.seen: list[dict[str, Any]] = []
        self.front = Front(self)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        sent = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        self.seen.append(sent)
        status, body = self._answer(environ, sent)
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(body).encode()]

    def _answer(self, environ: dict[str, Any], sent: dict[str, Any]) -> Answer:
        match = re.fullmatch(rf"/v1/{MOUNT}/(encrypt|decrypt)/([\w.-]+)", environ["PATH_INFO"])
        if environ.get("HTTP_X_VAULT_TOKEN") != TOKEN:
            return "403 Forbidden", _errors("permission denied")
        if match is None or environ["REQUEST_METHOD"] not in {"POST", "PUT"}:
            return "404 Not Found", _errors("no handler for route")
        if match[2] not in self.keys:
            return "400 Bad Request", _errors("encryption key not found")
        associated = base64.b64decode(sent.get("associated_data", ""))
        return (
            self._encrypt(match[2], sent, associated)
            if match[1] == "encrypt"
            else self._decrypt(match[2], sent, associated)
        )

    def _encrypt(self, key: str, sent: dict[str, Any], associated: bytes) -> Answer:
        nonce = os.urandom(12)
        sealed = nonce + self.keys[key].encrypt(nonce, base64.b64decode(sent["plaintext"]), associated)
        return "200 OK", {"data": {"ciphertext": f"vault:v1:{base64.b64encode(sealed).decode()}", "key_version": 1}}

    def _decrypt(self, key: str, sent: dict[str, Any], associated: bytes) -> Answer:
        parts = sent["ciphertext"].split(":")
        if len(parts) != 3 or parts[0] != "vault":
            return "400 Bad Request", _errors("invalid ciphertext: no prefix")
        if int(parts[1].removeprefix("v")) > 1:
            return "400 Bad Request", _errors("ciphertext or signature version is disallowed by policy (too new)")
        sealed = base64.b64decode(parts[2])  # leniently, as Go does
        try:
            plain = self.keys[key].decrypt(sealed[:12], sealed[12:], associated)
        except (InvalidTag, ValueError):
            if self.older:
                return "500 Internal Server Error", _errors(
                    "1 error occurred:\n\t* cipher: message authentication failed"
                )
            return "400 Bad Request", _errors("invalid ciphertext: unable to decrypt")
        return "200 OK", {"data": {"plaintext": base64.b64encode(plain).decode()}}


def _errors(*texts: str) -> dict[str, Any]:
    return {"errors": list(texts)}
