"""A whole Panless in this process, over two databases and the stub: what the bench knocks at."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from flask import Flask

from api.application import create_app
from bench.door import Call, hand_over, prepare
from keys.providers import keyfile
from panless.process import logs
from panless.settings.environment import read_settings
from panless.wiring import Components, build, migrate
from vault.caller import Caller
from vault.processing import accounts, intents
from vault.processing.connecting import Processors
from vault.tenancy import clients
from vault.tenancy.scopes import SCOPES

POLICY = Path(__file__).parent.parent / "panless" / "policy.toml"
CONTACT = {
    "name": "Ada Lovelace",
    "email": "ada@example.com",
    "phone": "+44 20 7946 0958",
    "address": {"line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"},
}
CARD = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2034, "cvc": "123"}


@dataclass(frozen=True)
class House:
    """One deployment with one tenant, and a client that may do everything."""

    environment: Mapping[str, str]
    components: Components
    app: Flask
    tenant: str
    key: str

    @property
    def ledger(self) -> Path:
        """Where its erasure ledger lies."""
        return Path(self.environment["PANLESS_LEDGER"])

    def prepare(self, method: str, path: str, body: object = None, **headers: str) -> Call:
        """A call of the client; keyword headers are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return prepare(method, path, body, {"Authorization": f"Bearer {self.key}", **named})

    def ask(self, call: Call) -> dict[str, Any]:
        """The answer to a call that must succeed."""
        status, body = hand_over(self.app.wsgi_app, call)
        assert 200 <= status < 300, (status, body)  # noqa: PLR2004  # HTTP's own bounds
        return json.loads(body)

    def tokenize(self, customer: str | None = None) -> Call:
        """Store a card for a customer, or for a new one."""
        known = customer or {"reference": word(), "billing_contact": CONTACT}
        return self.prepare("POST", "/v1/tokens", {"type": "card", "card": CARD, "customer": known})


def word() -> str:
    """A name of sixteen letters: with digits, one in some thousands would look like a card number, and be refused."""
    return secrets.token_hex(8).translate(str.maketrans("0123456789", "ghijklmnop"))


def build_house(home: Path, records: str, keystore: str, processor: str) -> House:
    """Set one up in `home`, over two empty databases, with the processor at that address."""
    (home / "ledger").mkdir(parents=True)
    keyfile.create(home / "root.key")
    environment = {
        "PANLESS_RECORDS_URL": records,
        "PANLESS_KEYSTORE_URL": keystore,
        "PANLESS_KEYFILE": str(home / "root.key"),
        "PANLESS_LEDGER": str(home / "ledger"),
        "PANLESS_POLICY": str(POLICY),
        "PANLESS_SANDBOX_URL": processor,
        "PANLESS_ACCEPT_RAW_CARDS": "true",
        "PANLESS_RUN_AS_ROOT": "always",
        "PANLESS_LOG_LEVEL": "INFO",
    }
    with mock.patch.dict(os.environ, environment):  # settings come from the environment, as they do for users
        settings = read_settings()
    migrate(settings)
    components = build(settings)
    assert components.guard.check().is_good
    tenant, key = _tenant(components)
    app = make_app(components, components.processors)
    return House(environment=environment, components=components, app=app, tenant=tenant, key=key)


def make_app(components: Components, processors: Processors) -> Flask:
    """The door over these parts."""
    return create_app(replace(components.parts, processors=processors))


def _tenant(parts: Components) -> tuple[str, str]:
    """A tenant with an account at the stub; its id, and the API key of its client."""
    at = parts.clock()
    tenant = clients.create_tenant(parts.records, parts.keyring, cell="00", name="Bench", at=at)
    client, key = clients.create_client(
        parts.records, parts.keyring, tenant=tenant, name="bench", live=False, scopes=SCOPES, at=at
    )
    accounts.add(
        parts.desk(Caller(tenant=tenant, client=client, live=False, at=at, request_id="req_bench")),
        parts.processors,
        kind="sandbox",
        label="stub",
        credentials={"api_key": f"sk_test_{secrets.token_hex(12)}"},
        default=True,
        attempt=intents.Attempt(operation="processor_account.add", key=None, fingerprint=b""),
    )
    return tenant, key.value


def log_to_nowhere() -> None:
    """The lines of production, into a file that keeps nothing; what breaks the bench itself is still seen."""
    with redirect_stderr(Path(os.devnull).open("w")):
        logs.start("INFO")
    sys.excepthook = sys.__excepthook__
