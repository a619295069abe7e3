"""Access tokens of an issuer instead of API keys: real keys, a real JWKS over HTTP, and whoever tries to forge one."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from api_scene import fixed, never_was, problem
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from house import PURPOSE, House, Tenant, make_app
from jwt.algorithms import get_default_algorithms
from werkzeug.test import TestResponse

from api.parts import IssuerAway
from panless.issuing.issuer import Trust, reader, scopes_of
from panless.issuing.keys import FETCH_SECONDS, WAIT_SECONDS, IssuerKeys, loader, parse
from vault.tenancy import clients
from vault.tenancy.client_keys import Terms, of_issuer
from vault.tenancy.scopes import ROLES, SCOPES

ISSUER, AUDIENCE = "https://issuer.example/", "panless"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SHORT_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505  # to be refused
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, tuple[str, Any]] = {"rsa": ("RS256", RSA), "ec": ("ES256", EC), "ed": ("EdDSA", ED)}


def jwk(algorithm: str, key: Any, kid: str, **members: object) -> dict[str, object]:
    """The public key as an issuer publishes it."""
    written = json.loads(get_default_algorithms()[algorithm].to_jwk(key.public_key()))
    return {**written, "kid": kid, "alg": algorithm, "use": "sig", **members}


@dataclass
class Issuer:
    """A server that publishes keys, and how often it was asked."""

    keys: list[dict[str, object]] = field(default_factory=list)
    asked: int = 0
    status: int = 200
    url: str = ""

    def answer(self) -> tuple[int, bytes]:
        self.asked += 1
        return self.status, json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer(keys=[jwk(algorithm, key, kid) for kid, (algorithm, key) in KEYS.items()])

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = made.answer()
            self.send_response(status)
            self.send_header("Location", made.url)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    made.url = f"http://127.0.0.1:{server.server_port}/jwks"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Scene:
    """A tenant with a client that the issuer calls `till`, and the door that takes its tokens."""

    tenant: Tenant
    issuer: Issuer
    app: Flask
    clock: list[float]

    def send(self, token: str, path: str, body: object) -> TestResponse:
        return self.app.test_client().post(path, json=body, headers={"Authorization": f"Bearer {token}"})

    def ask(self, token: str, path: str = "/v1/processor-accounts", **environ: str) -> TestResponse:
        headers = {"Authorization": f"Bearer {token}", **PURPOSE}
        return self.app.test_client().get(path, headers=headers, environ_base={"REMOTE_ADDR": "127.0.0.1"} | environ)

    def register(self, subject: str, scopes: frozenset[str] = SCOPES, issuer: str = ISSUER, **terms: Any) -> str:
        parts = self.tenant.house.components
        return clients.register_client(
            parts.records,
            parts.keyring,
            of_issuer(self.tenant.id, issuer, subject),
            name=subject,
            live=False,
            scopes=scopes,
            at=parts.clock(),
            terms=Terms(**terms),
        )


@pytest.fixture
def scene(tenant: Tenant, issuer: Issuer) -> Scene:
    clock = [0.0]
    keys = IssuerKeys(loader(issuer.url), lambda: clock[0])
    trust = Trust(
        issuer=ISSUER, audience=AUDIENCE, tenant="panless_tenant", client_claim="client_id", scopes_claim="scope"
    )
    app = make_app(replace(tenant.house.components, issued=reader(trust, keys)))
    made = Scene(tenant=tenant, issuer=issuer, app=app, clock=clock)
    made.register("till")
    return made


def claims(scene: Scene, **changed: object) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "exp": now + 300, "iat": now, "nbf": now, "jti": "1", "sub": "till"}
    good |= {"client_id": "till", "panless_tenant": scene.tenant.id, "scope": " ".join(SCOPES)}
    return {name: value for name, value in (good | changed).items() if value is not None}


def token(scene: Scene, kid: str = "rsa", headers: dict[str, Any] | None = None, **changed: object) -> str:
    algorithm, key = KEYS[kid]
    body = json.dumps(claims(scene, **changed)).encode()  # as it is: for a JWT the library would look at it
    return jwt.PyJWS().encode(body, key, algorithm, headers={"kid": kid, "typ": "at+jwt", **(headers or {})})


def by_hand(header: dict[str, Any], body: dict[str, Any], sign: Any) -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in (header, body)]
    signature = base64.urlsafe_b64encode(sign(b".".join(parts))).rstrip(b"=")
    return b".".join([*parts, signature]).decode()


@pytest.mark.parametrize("kid", KEYS)
def test_a_token_stands_for_its_client(scene: Scene, kid: str) -> None:
    """RS256, ES256 and EdDSA: a good token is answered as the client's API key would be, and audited as the client."""
    assert scene.ask(token(scene, kid)).status_code == 200
    assert scene.ask(token(scene, kid, aud=["other", AUDIENCE])).status_code == 200
    assert scene.ask(token(scene, kid, nbf=None)).status_code == 200
    assert scene.ask(token(scene, kid, headers={"typ": "JWT"})).status_code == 200


def test_a_token_has_the_scopes_that_it_and_its_client_have(scene: Scene) -> None:
    """Of both the smaller set: fewer in the token are fewer, more are no more; roles stand for theirs; none is none."""
    assert scene.ask(token(scene, scope="tokens:read")).get_json()["scope"] == "accounts:write"
    assert scene.ask(token(scene, scope="openid admin offline_access")).status_code == 200
    for nothing in (None, "", "openid", 7, {"accounts:write": 1}, ["accounts:write tokens:read"]):
        problem(scene.ask(token(scene, scope=nothing)), 403, "insufficient_scope")
    assert scene.ask(token(scene, scope=["accounts:write", 7])).status_code == 200
    scene.register("reader", frozenset({"charges:read"}))
    problem(scene.ask(token(scene, client_id="reader")), 403, "insufficient_scope")
    assert scene.ask(token(scene, client_id="reader"), "/v1/charges").status_code == 200
    assert scopes_of("checkout charges:read x") == ROLES["checkout"] | {"charges:read"}


def _forged(scene: Scene) -> Iterator[tuple[str, str]]:
    """What people try, with what they are called."""
    now, good = int(time.time()), claims(scene)
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    n = base64.urlsafe_b64encode(str(jwk("RS256", RSA, "rsa")["n"]).encode())
    for name, secret in (("pem", pem), ("der", der), ("modulus", n), ("nothing", b"")):
        for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
            header = {"alg": algorithm, "kid": "rsa", "typ": "at+jwt"}
            sign = lambda data, secret=secret, digest=digest: hmac.digest(secret, data, digest)  # noqa: E731
            yield f"{algorithm} with the public key as {name}", by_hand(header, good, sign)
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, ["RS256"]):
        yield f"alg {algorithm}", by_hand({"alg": algorithm, "kid": "rsa"}, good, lambda _: b"")
    real = token(scene)
    head, body, signature = real.split(".")
    yield "no signature", f"{head}.{body}."
    yield "two parts", f"{head}.{body}"
    yield (
        "another body",
        f"{head}.{base64.urlsafe_b64encode(json.dumps(good | {'sub': 'x'}).encode()).decode()}.{signature}",
    )
    yield "signature of another", f"{head}.{body}.{token(scene, sub='x').split('.')[2]}"
    yield "signature cut", real[:-4]
    sign_with = lambda key, algorithm, header: jwt.encode(good, key, algorithm, headers=header)  # noqa: E731
    yield "signed by another key", sign_with(OTHER_RSA, "RS256", {"kid": "rsa"})
    yield "key id unknown", sign_with(OTHER_RSA, "RS256", {"kid": "other"})
    yield "key id of another kind", sign_with(EC, "ES256", {"kid": "rsa"})
    yield "algorithm of another strength", sign_with(RSA, "RS512", {"kid": "rsa"})
    yield "padding of another kind", sign_with(RSA, "PS256", {"kid": "rsa"})
    yield "no key id", sign_with(RSA, "RS256", {})
    for kid in ("../../../../dev/null", "' OR 1=1 --", "rsa\0", ""):
        yield f"key id {kid!r}", sign_with(OTHER_RSA, "RS256", {"kid": kid})
    yield (
        "its own key in the header",
        sign_with(
            OTHER_RSA, "RS256", {"kid": "mine", "jwk": jwk("RS256", OTHER_RSA, "mine"), "jku": "http://127.0.0.1:1/"}
        ),
    )
    yield "critical extension", sign_with(RSA, "RS256", {"kid": "rsa", "crit": ["exp"], "exp": now + 9})
    for kind in ("logout+jwt", "dpop+jwt", "secevent+jwt", "JWE"):
        yield f"type {kind}", sign_with(RSA, "RS256", {"kid": "rsa", "typ": kind})
    wrong: dict[str, Any] = {
        "expired": {"exp": now - 60},
        "never expires": {"exp": None},
        "expires in words": {"exp": "tomorrow"},
        "not yet": {"nbf": now + 120},
        "issued in the future": {"iat": now + 120},
        "issued never": {"iat": None},
        "another issuer": {"iss": "https://issuer.example"},
        "no issuer": {"iss": None},
        "issuers": {"iss": [ISSUER]},
        "another audience": {"aud": "panless2"},
        "part of an audience": {"aud": "pan"},
        "no audience": {"aud": None},
        "no client": {"client_id": None},
        "unknown client": {"client_id": "nobody"},
        "client that is none": {"client_id": ["till"]},
        "client too long": {"client_id": "x" * 300},
        "no tenant": {"panless_tenant": None},
        "unknown tenant": {"panless_tenant": never_was("ten")},
        "tenant that is none": {"panless_tenant": "till"},
        "another tenant": {"panless_tenant": scene.tenant.house.tenant().id},
        "bound to a key": {"cnf": {"jkt": "x"}},
        "client that is no Unicode": {"client_id": "\ud800"},
        "expires at infinity": {"exp": float("inf")},
        "expires at no number": {"exp": float("nan")},
        "issued at infinity": {"iat": float("inf")},
    }
    for name, changed in wrong.items():
        yield name, token(scene, **changed)
    yield "too long", token(scene, note="x" * 9000)
    yield "not JSON", by_hand({"alg": "RS256", "kid": "rsa"}, good, lambda _: b"x").replace(".", "!", 1)
    yield "a nested one", by_hand({"alg": "RS256", "kid": "rsa", "cty": "JWT"}, good, lambda _: b"x")
    deep = base64.urlsafe_b64encode(b"[" * 5000).decode()
    yield "a deep header", f"{deep}.{body}.{signature}"
    yield "a deep body", by_hand({"alg": "ES256", "kid": "ec"}, good, lambda _: b"x").replace(body, deep)
    yield "blank", " "
    yield "five parts", "a.b.c.d.e"
    yield "not ASCII", f"{head}.{body}.\xe9"


def test_forged_tokens_answer_like_no_key(scene: Scene) -> None:
    """Each of some sixty attacks: 401, the bytes of a call without a key."""
    none = scene.app.test_client().get("/v1/processor-accounts")
    problem(none, 401, "unauthenticated")
    tried = dict(_forged(scene))
    assert len(tried) > 55
    for name, forged in tried.items():
        assert fixed(scene.ask(forged)) == fixed(none), name
    assert scene.ask(token(scene)).status_code == 200


def test_a_token_names_who_is_registered_for_its_issuer(scene: Scene) -> None:
    """Registered under another issuer's name, in another tenant, or by an edit of the database: nobody."""
    scene.register("moved", issuer="https://before.example/")
    problem(scene.ask(token(scene, client_id="moved")), 401, "unauthenticated")
    with pytest.raises(ValueError, match="of that name"):
        scene.register("till")


def test_a_revoked_client_has_no_tokens(scene: Scene) -> None:
    """From the revocation on its tokens are nothing, however long they live."""
    parts, client = scene.tenant.house.components, scene.register("gone")
    assert scene.ask(token(scene, client_id="gone")).status_code == 200
    clients.revoke_client(scene.tenant.desk, parts.ledger, client)
    problem(scene.ask(token(scene, client_id="gone")), 401, "unauthenticated")


def test_terms_bind_tokens_too(scene: Scene) -> None:
    """A client that may come from some networks only may come with a token from those only."""
    scene.register("near", networks="192.0.2.0/24")
    assert scene.ask(token(scene, client_id="near"), REMOTE_ADDR="192.0.2.1").status_code == 200
    assert scene.ask(token(scene, client_id="near")).status_code == 401


def test_without_an_issuer_a_token_is_nothing(scene: Scene, house: House) -> None:
    """Off unless it is configured; the issuer is not asked."""
    headers = {"Authorization": f"Bearer {token(scene)}"}
    problem(house.app.test_client().get("/v1/processor-accounts", headers=headers), 401, "unauthenticated")
    assert scene.issuer.asked == 0


def test_unknown_keys_ask_the_issuer_once_a_minute(scene: Scene) -> None:
    """However many tokens come with keys that nobody knows; a new key works within the minute."""
    assert scene.ask(token(scene)).status_code == 200
    assert scene.issuer.asked == 1
    unknown = jwt.encode(claims(scene), OTHER_RSA, "RS256", headers={"kid": "new", "typ": "at+jwt"})
    for second in range(0, 59, 2):
        scene.clock[0] = float(second)
        assert scene.ask(unknown).status_code == 401
    assert scene.issuer.asked == 1
    scene.issuer.keys = [jwk("RS256", OTHER_RSA, "new")]
    scene.clock[0] = 61
    assert scene.ask(unknown).status_code == 200
    assert scene.ask(token(scene)).status_code == 401
    assert scene.issuer.asked == 2


def test_keys_that_are_withdrawn_go(scene: Scene) -> None:
    """A key that the issuer no longer publishes is no good after ten minutes, though no unknown one was seen."""
    assert scene.ask(token(scene)).status_code == 200
    scene.issuer.keys = [jwk("ES256", EC, "ec")]
    scene.clock[0] = 599
    assert scene.ask(token(scene)).status_code == 200
    scene.clock[0] = 601
    assert scene.ask(token(scene)).status_code == 401
    assert scene.ask(token(scene, "ec")).status_code == 200


@pytest.mark.parametrize("trouble", [{"status": 500}, {"status": 302}, {"keys": []}, {"keys": [{"kty": "x"}]}], ids=str)
def test_an_issuer_that_is_away_stops_nobody(scene: Scene, trouble: dict[str, Any]) -> None:
    """Its last keys go on for a day, API keys always; it is asked again once a minute, and believed when it is back."""
    good = scene.issuer.keys
    assert scene.ask(token(scene)).status_code == 200
    for name, value in trouble.items():
        setattr(scene.issuer, name, value)
    for scene.clock[0] in (700.0, 701.0, 80_000.0):
        assert scene.ask(token(scene)).status_code == 200
    assert scene.issuer.asked == 3
    scene.clock[0] = 90_000
    unknown = scene.ask(token(scene))
    assert (unknown.status_code, unknown.get_json()["code"]) == (503, "issuer_unavailable")
    assert unknown.headers["Retry-After"] == "5"
    assert scene.ask(scene.tenant.keys["all"]).status_code == 200
    scene.issuer.status, scene.issuer.keys = 200, good
    scene.clock[0] = 90_006
    assert scene.ask(token(scene)).status_code == 200


ODD = [
    {"kty": "oct", "kid": "h", "use": "sig", "alg": "HS256"},
    {"kty": "RSA", "kid": "n", "alg": "none", "n": "AQAB", "e": "AQAB"},
    {"kty": "EC", "kid": "e", "alg": "ES256", "crv": ["P-256"], "x": 7, "y": {}},
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd["kty"]))
def test_an_odd_key_among_others_spoils_none(scene: Scene, odd: dict[str, object]) -> None:
    """The issuer's other keys are good, those that it has withdrawn are gone, and nothing is answered with 500."""
    scene.issuer.keys.append(odd)
    assert scene.ask(token(scene)).status_code == 200
    scene.issuer.keys = [jwk("ES256", EC, "ec"), odd]
    scene.clock[0] = 700
    assert [scene.ask(token(scene, kid)).status_code for kid in ("rsa", "ec")] == [401, 200]


def test_keys_are_good_for_a_day_while_nobody_is_asked() -> None:
    """However its last asking ended, and while another one is at it: nobody can tell whether old keys are good."""
    clock, begun, go_on = [0.0], threading.Event(), threading.Event()
    answers = iter([json.dumps({"keys": [jwk("RS256", RSA, "rsa")]}).encode(), b""])

    def load() -> bytes:
        if clock[0] > 0:
            begun.set()
            assert go_on.wait(20)
        return next(answers)

    keys = IssuerKeys(load, lambda: clock[0])
    assert keys.get("rsa") is not None
    clock[0] = 90_000
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(keys.get, "rsa")
        assert begun.wait(20)
        with pytest.raises(IssuerAway):
            keys.get("rsa")
        go_on.set()
        with pytest.raises(IssuerAway):
            asking.result(20)
    with pytest.raises(IssuerAway):
        keys.get("rsa")


def drip(connection: socket.socket, stop: threading.Event, head: bytes) -> None:
    with connection, suppress(OSError):
        connection.sendall(head)
        while not stop.wait(0.2):
            connection.sendall(b" ")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"], ids=["head", "body"])
def test_an_issuer_that_drips_holds_nobody_up(head: bytes) -> None:
    """Whoever asks it has some seconds for all of the answer; others wait a moment, and none once that has failed."""
    stop, clock = threading.Event(), [0.0]
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(8) as pool, ExitStack() as ending:
        ending.callback(stop.set)
        keys = IssuerKeys(loader(f"http://127.0.0.1:{listener.getsockname()[1]}/jwks"), lambda: clock[0])
        for clock[0], patience in ((0.0, WAIT_SECONDS), (10.0, 0)):
            began = time.monotonic()
            asking = pool.submit(keys.get, "rsa")
            pool.submit(drip, listener.accept()[0], stop, head)
            waiting = [pool.submit(keys.get, "rsa") for _ in range(5)]
            assert [type(each.exception(20)) for each in waiting] == [IssuerAway] * 5
            assert time.monotonic() - began < patience + 1
            assert isinstance(asking.exception(20), IssuerAway)
            assert time.monotonic() - began < FETCH_SECONDS + 1


def test_only_keys_fit_for_it_verify() -> None:
    """Symmetric, short, private, encrypting or nameless keys of a JWKS are none; one that has no other is refused."""
    fit = jwk("RS256", RSA, "fit")
    private = json.loads(get_default_algorithms()["RS256"].to_jwk(RSA)) | {"kid": "private", "alg": "RS256"}
    unfit = [
        {"kty": "oct", "k": "AAAA", "kid": "oct", "alg": "HS256"},
        jwk("RS256", SHORT_RSA, "short"),
        jwk("RS256", RSA, "enc", use="enc"),
        {name: value for name, value in fit.items() if name != "kid"},
        private,
        {"kty": "RSA", "kid": "broken", "n": "x"},
        "nothing",
        jwk("RS256", RSA, "hs", alg="HS256"),
    ]
    assert set(parse(json.dumps({"keys": [*unfit, fit]}).encode())) == {"fit"}
    for nothing in (b"", b"[]", b"{}", b'{"keys": 7}', json.dumps({"keys": unfit}).encode()):
        with pytest.raises(ValueError, match=r"JWKS|JSON|Expecting"):
            parse(nothing)


def test_the_issuer_vouches_for_people(scene: Scene) -> None:
    """Where two must approve, each subject of the issuer's tokens is one; the client's own subject is nobody's."""
    parts = scene.tenant.house.components.parts
    strict = replace(scene.app.extensions["panless"], policy=replace(parts.policy, erasures_per_day=0))
    scene.app.extensions["panless"] = strict
    customer = scene.send(token(scene), "/v1/customers", {}).get_json()["id"]
    order = {"type": "erasure", "customers": [customer], "verification": {"method": "account"}}
    request = scene.send(token(scene), "/v1/rights-requests", order).get_json()["id"]
    approve = f"/v1/rights-requests/{request}/approve"
    problem(scene.send(token(scene, sub="till"), approve, {}), 400, "actor_required")
    for _ in range(2):
        found = scene.send(token(scene, sub="anna"), approve, {}).get_json()
        assert (found["status"], found["approvals"]) == ("received", 1)
    found = scene.send(token(scene, sub="bert"), approve, {}).get_json()
    assert (found["status"], found["approvals"]) == ("executing", 2)
