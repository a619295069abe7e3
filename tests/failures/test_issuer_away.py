"""The issuer of clients' tokens is away, under load: keys that are known go on for a day, API keys always."""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from failure_scene import LONGEST, WELL, ask, assert_paid_as_told, outcomes, row, under_load, until
from house import House, Tenant, serve
from http_front import Front
from jwt.algorithms import ECAlgorithm
from noticing import logged
from ports import free_port

from api.parts import IssuerAway
from panless.issuing.keys import ONCE_A_MINUTE, TOO_OLD, IssuerKeys, loader
from vault.tenancy import clients
from vault.tenancy.client_keys import of_issuer
from vault.tenancy.scopes import SCOPES

ISSUER = "https://issuer.example"
NOBODY, UNKNOWN = (401, "unauthenticated"), (503, "issuer_unavailable")


@dataclass
class Issuer:
    """Publishes the public keys that it has."""

    keys: dict[str, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def __call__(self, _environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        public = {name: json.loads(ECAlgorithm.to_jwk(key.public_key())) for name, key in self.keys.items()}
        return [json.dumps({"keys": [{**key, "kid": name, "alg": "ES256"} for name, key in public.items()]}).encode()]

    def add(self, name: str) -> None:
        self.keys[name] = ec.generate_private_key(ec.SECP256R1())

    def token(self, name: str) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "panless", "exp": now + 600, "iat": now, "client_id": "till"}
        return jwt.encode(claims | {"scope": " ".join(SCOPES)}, self.keys[name], "ES256", {"kid": name})


def with_till(house: House) -> Tenant:
    """A tenant with a client that the issuer calls `till`."""
    tenant, parts = house.tenant(), house.components
    named = of_issuer(tenant.id, ISSUER, "till")
    clients.register_client(
        parts.records, parts.keyring, named, name="till", live=False, scopes=SCOPES, at=parts.clock()
    )
    return tenant


def was_asked(house: House, url: str, token: str) -> bool:
    """Whether the server has asked the issuer for this token's key, got no answer, and says so."""
    time.sleep(1)  # who shows no valid key may not come as often as it likes
    told = ask(url, token)
    assert told.outcome in {NOBODY, UNKNOWN}
    asked = bool(logged(house.home / "server.log", "issuer_keys_unavailable"))
    assert told.outcome == (UNKNOWN if asked else NOBODY)
    assert told.retry_after == ("5" if asked else None)
    return asked


@row("the issuer of clients' tokens")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_the_issuer_is_away(own_house: House) -> None:
    """Only tokens of a key that was not seen yet are refused, and nobody waits for it."""
    issuer, tenant = Issuer(), with_till(own_house)
    front = Front(issuer)
    issuer.add("known")
    trust = {"ISSUER": ISSUER, "AUDIENCE": "panless", "JWKS": front.url, "TENANT": tenant.id}
    settings = {f"PANLESS_OAUTH_{name}": value for name, value in trust.items()} | {"PANLESS_WORKERS": "1"}
    token, path = tenant.token(), "/v1/processor-accounts"
    with serve(own_house, free_port(), **settings) as (_, url), ExitStack() as loads:
        until(lambda: ask(url + path, issuer.token("known")).status == 200)  # who comes first waits for a second only
        by_token = loads.enter_context(under_load(url, issuer.token("known"), token))
        by_key = loads.enter_context(under_load(url, tenant.keys["all"], token))
        assert outcomes(by_token.next()) == WELL
        with front.gone():
            issuer.add("new")
            assert ask(url + path, issuer.token("new")).outcome == NOBODY
            until(lambda: was_asked(own_house, url + path, issuer.token("new")), LONGEST + ONCE_A_MINUTE)
            told = by_token.next() + by_key.next()
            assert max(each.at - each.begun for each in told) < 5
    front.stop()
    assert outcomes(by_token.told + by_key.told) == WELL
    assert_paid_as_told(tenant, by_token.told + by_key.told)


@row("the issuer of clients' tokens")
def test_after_a_day() -> None:
    """Nobody can say of any of its keys what it is then, until it is back: then new ones are good, too."""
    issuer, clock = Issuer(), [0.0]
    front = Front(issuer)
    issuer.add("known")
    keys = IssuerKeys(loader(front.url), lambda: clock[0])
    assert keys.get("known") is not None
    with front.gone():
        issuer.add("new")
        clock[0] = TOO_OLD - 1
        assert keys.get("known") is not None
        with pytest.raises(IssuerAway):
            keys.get("new")
        clock[0] = TOO_OLD + 1
        with pytest.raises(IssuerAway):
            keys.get("known")
    clock[0] += 60
    assert None not in {keys.get("known"), keys.get("new")}
    front.stop()
