"""A transit engine over HTTP: encrypt and decrypt with associated data, keys that can be read, tokens that end.

What it says is what OpenBao v2.6.2 says, after these files of its source; what the engine itself says was heard of it.

- `sdk/helper/keysutil/policy.go`: soft-deleted keys, versions too new and too old, `derived`, what does not open
- `builtin/logical/transit/path_encrypt.go`, `path_decrypt.go`: keys that are missing, types without associated data
- `builtin/logical/transit/path_keys.go`: what a key is
- `vault/request_handling.go`: to encrypt by a key that is missing is to create it, so who may only update gets 403
- `vault/routing/router.go`: no such mount
- `builtin/logical/kv/passthrough.go`: a kv engine takes what it is sent, and answers 204
- `vault/token_store.go`, `vault/expiration.go`: look-ups and renewals of tokens
- `builtin/credential/approle/path_login.go`: those whom it does not know

With `older` a forged ciphertext is answered with 500, as HashiCorp's does from 1.5 on (their issue 10842).
"""

import base64
import json
import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from http_front import Front

TOKEN = "hvs.canary-of-a-token"
MOUNT, KV = "some/transit", "kv"
ROLE, SECRET_ID, JWT = "role-of-panless", "canary-of-a-secret-id", "canary-of-a-service-account"
AEADS: dict[str, Callable[[], AESGCM | ChaCha20Poly1305]] = {
    "aes128-gcm96": lambda: AESGCM(AESGCM.generate_key(128)),
    "aes256-gcm96": lambda: AESGCM(AESGCM.generate_key(256)),
    "chacha20-poly1305": lambda: ChaCha20Poly1305(ChaCha20Poly1305.generate_key()),
    # As long as the real one's; what is inside is nobody's but the engine's.
    "xchacha20-poly1305": lambda: ChaCha20Poly1305(ChaCha20Poly1305.generate_key()),
}
Answer = tuple[str, dict[str, Any] | None]


@dataclass
class Key:
    """A key of the engine; a type that is none of AEADS can't have associated data."""

    type: str = "aes256-gcm96"
    derived: bool = False
    exportable: bool = False
    soft_deleted: bool = False
    min_decryption_version: int = 1
    versions: list[AESGCM | ChaCha20Poly1305] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> None:
        self.versions.append(AEADS.get(self.type, AEADS["aes256-gcm96"])())

    @property
    def nonce(self) -> int:
        return 24 if self.type == "xchacha20-poly1305" else 12


@dataclass
class Token:
    """A token: how long it lives each time, to when in all, by the stand-in's clock; 0 is for ever."""

    life: float = 0.0
    ends: float = float("inf")
    last: float = float("inf")
    renewable: bool = True
    may_read: bool = True

    def begin(self, now: float) -> "Token":
        if self.life:
            self.ends = min(now + self.life, self.last)
        return self


class Transit:
    def __init__(self, keys: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.keys = {name: Key() for name in keys}
        self.clock = clock
        self.tokens = {TOKEN: Token()}
        self.issues = Token(life=3600)
        """What those who sign in get one like."""
        self.older = False
        self.seen: list[dict[str, Any]] = []
        """What was sent to be encrypted or decrypted."""
        self.asked: list[str] = []
        """The other paths that were asked for."""
        self.kept: dict[str, dict[str, Any]] = {}
        """What the kv engine was given to keep."""
        self.front = Front(self)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        sent = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        path = environ["PATH_INFO"].removeprefix("/v1/")
        if re.search(r"/(en|de)crypt/", path):
            self.seen.append(sent)
        else:
            self.asked.append(path)
        status, body = self._login(path, sent) or self._answer(environ, path, sent)
        start_response(status, [("Content-Type", "application/json")])
        return [] if body is None else [json.dumps(body).encode()]

    def token(self, text: str, **what: Any) -> str:
        """Let a token live from now on."""
        self.tokens[text] = Token(**what).begin(self.clock())
        return text

    def _login(self, path: str, sent: dict[str, Any]) -> Answer | None:
        match path:
            case "auth/approle/login":
                knows = (sent["role_id"], sent["secret_id"]) == (ROLE, SECRET_ID)
                return self._issue() if knows else ("400 Bad Request", _errors("invalid role or secret ID"))
            case "auth/kubernetes/login":
                knows = (sent["role"], sent["jwt"]) == (ROLE, JWT)
                return self._issue() if knows else ("403 Forbidden", _errors("permission denied"))
        return None

    def _issue(self) -> Answer:
        text = self.token(f"hvs.canary-{len(self.tokens)}", **vars(self.issues))
        return "200 OK", _auth(text, self.tokens[text].ends - self.clock(), self.issues.renewable)

    def _answer(self, environ: dict[str, Any], path: str, sent: dict[str, Any]) -> Answer:
        text = environ.get("HTTP_X_VAULT_TOKEN", "")
        token = self.tokens.get(text)
        if token is None or token.ends <= self.clock():
            return _FORBIDDEN
        if path.startswith("auth/token/"):
            return self._of_token(path, text, token)
        if path.startswith(f"{KV}/"):
            self.kept[path] = sent
            return "204 No Content", None
        match = re.fullmatch(rf"{MOUNT}/(encrypt|decrypt|keys)/([\w.-]+)", path)
        if match is None:
            return "404 Not Found", _errors(f'no handler for route "{path}". route entry not found.')
        return self._of_key(match[1], self.keys.get(match[2]), match[2], token, sent)

    def _of_token(self, path: str, text: str, token: Token) -> Answer:
        left = 0 if token.ends == float("inf") else int(token.ends - self.clock())
        if path == "auth/token/renew-self":
            if not token.renewable:
                return "400 Bad Request", _errors("lease is not renewable")
            token.begin(self.clock())
            return "200 OK", _auth(text, token.ends - self.clock(), token.renewable)
        life = {"ttl": left, "creation_ttl": int(token.life), "renewable": token.renewable and left > 0}
        most = 0 if token.last == float("inf") else int(token.last)
        return "200 OK", {"data": life | {"explicit_max_ttl": most, "creation_time": 0}}

    def _of_key(self, what: str, key: Key | None, name: str, token: Token, sent: dict[str, Any]) -> Answer:
        if what == "keys":
            return self._read(key, name) if token.may_read else _FORBIDDEN
        if key is None:
            return _FORBIDDEN if what == "encrypt" else _wrong("encryption key not found")
        associated = base64.b64decode(sent.get("associated_data", ""))
        if associated and key.type not in AEADS:
            return _wrong(f"'[0].associated_data' provided for non-AEAD cipher suite {key.type}")
        if key.soft_deleted:
            return _wrong("refusing to use soft-deleted key")
        return self._encrypt(key, sent, associated) if what == "encrypt" else self._decrypt(key, sent, associated)

    def _read(self, key: Key | None, name: str) -> Answer:
        if key is None:
            return "404 Not Found", _errors()
        told = {"name": name, "type": key.type, "derived": key.derived, "soft_deleted": key.soft_deleted}
        return "200 OK", {"data": told | {"exportable": key.exportable, "allow_plaintext_backup": False}}

    def _encrypt(self, key: Key, sent: dict[str, Any], associated: bytes) -> Answer:
        if key.derived:
            return _wrong(_DERIVED)
        nonce, version = os.urandom(key.nonce), len(key.versions)
        sealed = nonce + key.versions[-1].encrypt(nonce[:12], base64.b64decode(sent["plaintext"]), associated)
        text = f"vault:v{version}:{base64.b64encode(sealed).decode()}"
        return "200 OK", {"data": {"ciphertext": text, "key_version": version}}

    def _decrypt(self, key: Key, sent: dict[str, Any], associated: bytes) -> Answer:
        parts = sent["ciphertext"].split(":")
        if len(parts) != 3 or parts[0] != "vault":
            return _wrong("invalid ciphertext: no prefix")
        version = int(parts[1].removeprefix("v"))
        if version > len(key.versions):
            return _wrong("invalid ciphertext: version is too new")
        if version < key.min_decryption_version:
            return _wrong("ciphertext or signature version is disallowed by policy (too old)")
        return self._open(key, version, base64.b64decode(parts[2]), associated)  # leniently, as Go does

    def _open(self, key: Key, version: int, sealed: bytes, associated: bytes) -> Answer:
        if key.derived:
            return _wrong(_DERIVED)
        if len(sealed) < key.nonce:
            return _wrong("invalid ciphertext length")
        try:
            plain = key.versions[version - 1].decrypt(sealed[:12], sealed[key.nonce :], associated)
        except (InvalidTag, ValueError):
            return self._forged()
        return "200 OK", {"data": {"plaintext": base64.b64encode(plain).decode()}}

    def _forged(self) -> Answer:
        text = "cipher: message authentication failed"
        if self.older:
            return "500 Internal Server Error", _errors(f"1 error occurred:\n\t* {text}")
        return _wrong(text)


_DERIVED = (
    "missing 'context' for key derivation; the key was created using a derived key, which means additional, "
    "per-request information must be included in order to perform operations with the key"
)


def _errors(*texts: str) -> dict[str, Any]:
    return {"errors": list(texts)}


def _wrong(text: str) -> Answer:
    return "400 Bad Request", _errors(text)


def _auth(text: str, life: float, renewable: bool) -> dict[str, Any]:  # noqa: FBT001  # as it stands in the answer
    return {"auth": {"client_token": text, "lease_duration": int(life), "renewable": renewable}}


_FORBIDDEN: Answer = "403 Forbidden", _errors("1 error occurred:\n\t* permission denied\n\n")
