"""A whole Panless for tests: real databases, the sandbox as a program, the door in process or over HTTP."""

import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from json import dumps, loads
from pathlib import Path
from typing import Any
from unittest import mock

from flask import Flask
from sqlalchemy import update
from werkzeug.test import TestResponse

from api.admission import Admission
from api.admitting import admitted
from api.application import create_app
from keys.providers import keyfile
from panless.settings.environment import read_settings
from panless.wiring import Components, build, migrate, utc_now
from rows.changes import insert
from rows.engine import transaction
from vault import audit
from vault.caller import Caller
from vault.desk import Desk
from vault.exports import building, links, packages
from vault.exports.notices import notices_of
from vault.ids import new_id
from vault.lanes.rounds import work_once
from vault.processing import accounts, intents
from vault.tables import intents as intent_table
from vault.tables import rights_requests
from vault.tenancy import clients
from vault.tenancy.scopes import ROLES, SCOPES
from vault.tlog.watched import LogWatch

ROOT = Path(__file__).parent.parent
VISA = "4242424242424242"
PURPOSE = {"Access-Purpose": 'support; ref="T-1"'}


@dataclass(frozen=True)
class Sandbox:
    """The sandbox, running."""

    url: str

    def hook(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return loads(answer.read() or b"null")

    def fault(self, **fault: object) -> None:
        """Arm one fault, for example `path="/v1/payment_intents", do="lose_answer"`."""
        self.hook("POST", "/_faults", {"faults": [fault]})

    def clear(self) -> None:
        self.hook("DELETE", "/_faults")

    def book(self) -> dict[str, list[dict[str, Any]]]:
        """`GET /_ledger`: charges, customers, payment methods."""
        return self.hook("GET", "/_ledger")


@dataclass
class House:
    """One deployment with its parts and its door."""

    home: Path
    environment: dict[str, str]
    components: Components
    app: Flask
    sandbox: Sandbox

    def tenant(self, *, live: bool = False) -> "Tenant":
        """A tenant of its own with a client per role, one with every scope, and a sandbox account."""
        parts = self.components
        tenant = clients.create_tenant(parts.records, parts.keyring, cell="00", name="Test", at=parts.clock())
        keys = {
            role: clients.create_client(
                parts.records, parts.keyring, tenant=tenant, name=role, live=live, scopes=scopes, at=parts.clock()
            )[1].value
            for role, scopes in {**ROLES, "all": SCOPES}.items()
        }
        caller = Caller(tenant=tenant, client="", live=live, at=parts.clock(), request_id="req_test")
        account = accounts.add(
            parts.desk(caller),
            parts.processors,
            kind="sandbox",
            label="test",
            credentials={"api_key": f"sk_test_{secrets.token_hex(12)}"},
            default=True,
            attempt=intents.Attempt(operation="processor_account.add", key=None, fingerprint=b""),
        ).value
        return Tenant(house=self, id=tenant, keys=keys, caller=caller, account=account.id)

    def work(self) -> tuple[int, list[tuple[str, Exception]]]:
        """One round of the worker: how much ended, and what it reported."""
        reported: list[tuple[str, Exception]] = []
        return work_once(self.components.workshop, lambda what, error: reported.append((what, error))), reported


@dataclass
class Tenant:
    """A tenant and its clients, before the door in process."""

    house: House
    id: str
    keys: Mapping[str, str]
    caller: Caller
    account: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def desk(self) -> Desk:
        """What the tenant's caller is served with."""
        return self.house.components.desk(self.caller)

    def call(self, method: str, path: str, body: object = None, *, role: str = "all", **headers: str) -> TestResponse:
        """Call the door as `role`; keyword headers are written with underscores: `Idempotency_Key="1"`."""
        sent = {"Authorization": f"Bearer {self.keys[role]}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.house.app.test_client().open(path, method=method, json=body, headers=sent)

    def tokenize(self, number: str = VISA, **order: object) -> TestResponse:
        """POST /v1/tokens with a raw card."""
        return self.call("POST", "/v1/tokens", token_order(number, **order))

    def token(self, number: str = VISA, **order: object) -> dict[str, Any]:
        """A new token; its customer is new too unless the order names one."""
        answer = self.tokenize(number, **order)
        assert answer.status_code in {200, 201}, answer.get_data(as_text=True)
        return answer.get_json()

    def charge(self, token: str, *, key: str | None = None, **order: object) -> TestResponse:
        """POST /v1/charges for 12.34 euros, for an obligation of its own unless one is named."""
        body = {"token": token, "amount": 1234, "currency": "eur", "obligation": word(), **order}
        return self.call("POST", "/v1/charges", body, Idempotency_Key=key or word())

    def erase(self, customer: str) -> TestResponse:
        """DELETE /v1/customers/{id} and, where it was taken on, a round of the worker; the answer to asking again."""
        answer = self.call("DELETE", f"/v1/customers/{customer}")
        if answer.status_code != 202:
            return answer
        self.house.work()
        return self.call("DELETE", f"/v1/customers/{customer}")

    def charges_at_processor(self) -> list[dict[str, Any]]:
        """This tenant's successful charges in the sandbox's book, told by our tags."""
        keyring = self.house.components.keyring
        mine = self.call("GET", "/v1/charges?limit=100").get_json()["data"]
        tags = {intents.tag(keyring, self.id, charge["id"]) for charge in mine}
        return [row for row in self.house.sandbox.book()["charges"] if row["metadata"].get("panless") in tags]


def word() -> str:
    """A name of sixteen letters: with digits, one in some thousands would look like a card number, and be refused."""
    return secrets.token_hex(8).translate(str.maketrans("0123456789", "ghijklmnop"))


LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


def end_waits(house: House) -> None:
    """Let each open call's lease be over, as if its holder had been dead for long, and used keys have settled."""
    with transaction(house.components.records) as tx:
        over = {"lease_until": LONG_AGO, "settles_at": LONG_AGO}
        tx.execute(update(intent_table).where(intent_table.c.state != "done").values(over))


def package_of(tenant: Tenant, *customers: str, kind: str = "access", build: bool = True) -> str:
    """A package with these customers for a rights request of its own, ready unless it is not to be built; its id."""
    parts = tenant.house.components
    caller = replace(tenant.caller, at=parts.clock())
    request_id = new_id("rr", tenant.id)
    row = {"tenant_id": tenant.id, "request_id": request_id, "type": kind, "regulation": "gdpr", "state": "approved"}
    moments = dict.fromkeys(("submitted_at", "received_at", "due_at"), caller.at)
    with audit.transaction(parts.records) as tx:
        insert(tx, rights_requests, {**row, **moments, "client_id": ""})
        package = packages.request_package(
            parts.desk(caller), tx, request_id=request_id, kind=kind, customer_ids=customers
        )
    if build:
        notices = notices_of(parts.policy)
        assert any(building.build(parts.desk(caller), notices, package) for _ in range(100))
    return package


def link_to(tenant: Tenant, package: str) -> str:
    """A new link to a package that is ready."""
    parts = tenant.house.components
    caller = replace(tenant.caller, at=parts.clock())
    return links.link(parts.desk(caller), package).id


def token_order(number: str = VISA, **order: object) -> dict[str, object]:
    """The body of POST /v1/tokens."""
    cvc = "1234" if len(number) == 15 else "123"
    return {"type": "card", "card": {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": cvc}, **order}


@contextmanager
def run_sandbox(home: Path) -> Iterator[Sandbox]:
    """The sandbox as a program of its own."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield Sandbox(program.stdout.readline().split()[-1])
        finally:
            program.terminate()


def build_house(
    home: Path, records: str, keystore: str, sandbox: Sandbox, clock: Callable[[], datetime] = utc_now
) -> House:
    """Set up a deployment in `home` over two databases that are empty, or migrated."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "ledger").mkdir()
    (home / "anchors").mkdir()
    keyfile.create(home / "root.key")
    environment = {
        "PANLESS_RECORDS_URL": records,
        "PANLESS_KEYSTORE_URL": keystore,
        "PANLESS_KEYFILE": str(home / "root.key"),
        "PANLESS_LEDGER": str(home / "ledger"),
        "PANLESS_AUDIT_ANCHOR": str(home / "anchors"),
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        "PANLESS_SANDBOX_URL": sandbox.url,
        "PANLESS_ACCEPT_RAW_CARDS": "true",
        "PANLESS_RUN_AS_ROOT": "always",
    }
    return open_house(home, environment, sandbox, clock, fresh=True)


OPENED: list[Components] = []
"""What was opened since the last test: its connections are given back after it, whoever opened it."""


def open_house(
    home: Path,
    environment: dict[str, str],
    sandbox: Sandbox,
    clock: Callable[[], datetime] = utc_now,
    *,
    fresh: bool = False,
    checked: bool = True,
) -> House:
    """Open a deployment that stands; `fresh` migrates it first, `checked` has its guard look whether it may serve."""
    with mock.patch.dict(os.environ, environment):  # settings come from the environment, as they do for users
        settings = read_settings()
    if fresh:
        migrate(settings, clock)
    components = build(settings, clock)
    OPENED.append(components)
    if checked:
        components.guard.check()
    return House(home=home, environment=environment, components=components, app=make_app(components), sandbox=sandbox)


def make_app(components: Components, *, anchored: bool = False, admission: Admission | None = None) -> Flask:
    """The door over these parts. It asks for anchors only where told: tests let months go by without a worker."""
    app = create_app(components.parts if anchored else replace(components.parts, logs=LogWatch()))
    if admission is not None:
        app.wsgi_app = admitted(app.wsgi_app, admission)  # type: ignore[method-assign]  # as Flask wants it
    return app


@contextmanager
def serve(house: House, port: int, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`panless serve` over a house, as a process group of its own, once /livez answers; its log in home/server.log."""
    url = f"http://127.0.0.1:{port}"
    env = {"PATH": os.environ["PATH"], **house.environment, "PANLESS_BIND": f"127.0.0.1:{port}", **environment}
    command = [sys.executable, "-m", "panless", "serve"]
    with (house.home / "server.log").open("ab") as log:
        program = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"{url}/livez")
        yield program, url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, 9)
        program.wait(10)


def wait_for(url: str, seconds: float = 60) -> None:
    """Until `url` answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{url} did not answer")
