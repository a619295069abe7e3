"""A client that an issuer's tokens name, from the command line to its first call."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import jwt
from commands import panless
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from program_scene import refusal
from serving_scene import Server

KEY = ec.generate_private_key(ec.SECP256R1())


def test_a_token_instead_of_an_api_key(
    serve: Callable[..., Server], deployment: dict[str, str], tmp_path: Path
) -> None:
    """The operator names the issuer and registers the client; its token is good at the server, which counts it."""
    jwks = tmp_path / "jwks.json"
    public = {**json.loads(ECAlgorithm.to_jwk(KEY.public_key())), "kid": "one", "alg": "ES256"}
    jwks.write_text(json.dumps({"keys": [public]}))
    env = deployment | {
        "PANLESS_OAUTH_ISSUER": "https://issuer.example",
        "PANLESS_OAUTH_AUDIENCE": "panless",
        "PANLESS_OAUTH_JWKS": str(jwks),
        "PANLESS_OAUTH_TENANT": deployment["PANLESS_TENANT"],
        "PANLESS_OAUTH_CLIENT_CLAIM": "azp",
        "PANLESS_OAUTH_SCOPES_CLAIM": "roles",
        "PANLESS_RATE_LIMIT": "7/minute",
    }
    create = ("clients", "create", "--name", "till", "--role", "admin", "--subject", "till@issuer")
    assert panless(*create, env=env).stdout.startswith("cli_")
    assert refusal(panless(*create, env=env)) == "This tenant has a client of that name at the issuer already."
    now = int(time.time())
    claims = {"iss": "https://issuer.example", "aud": "panless", "exp": now + 60, "iat": now}
    claims |= {"azp": "till@issuer", "roles": ["admin"]}
    token = jwt.encode(claims, KEY, "ES256", {"kid": "one"})
    server = serve(env)
    request = urllib.request.Request(
        f"{server.url}/v1/processor-accounts", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200
        assert answer.headers["RateLimit"].startswith('"client";r=6;t=')
    assert token not in server.log
