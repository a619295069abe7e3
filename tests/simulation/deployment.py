"""All that the simulator knows of the house: how it is founded, put together, called, worked, restored and looked at.

Everything here is what an operator, a client or `panless/wiring.py` does. Where the house changes, this file does.
"""

import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import structlog
from processor import BASE, Transport
from sqlalchemy import event, select
from sqlalchemy.exc import SQLAlchemyError

from api.application import create_app
from api.parts import NAME, Parts
from keys.keyring import Keyring
from keys.providers import keyfile
from panless import wiring
from panless.settings import root_keys
from panless.settings.environment import read_settings
from panless.settings.policies import read_policy
from rows.engine import NOT_BACK, open_database, reader_of, reading
from vault.caller import Caller
from vault.errors import LedgerAway
from vault.lanes.rounds import LANES
from vault.lanes.steps import guarded
from vault.ledger.book import Ledger
from vault.ledger.guard import Guard
from vault.money import comparing
from vault.processing import accounts, beats, intents
from vault.processors.stripe.adapter import StripeProcessor
from vault.recovering import open_intents, walking
from vault.recovering.replay import replay
from vault.recovering.walk_turns import Turns
from vault.stores.directory import DirectoryStore
from vault.tables import audit_entries
from vault.tallies import Tallies
from vault.tenancy import clients
from vault.tenancy.scopes import SCOPES
from vault.tlog.watched import LogWatch
from vault.workshop import Workshop, desk_of

ROOT = Path(__file__).parent.parent.parent
MONEY = ("walks", "intents", "webhooks", "money")
WORK = (*MONEY, "ledger", "rights", "erasures")
"""The lanes that money needs, and erasures too."""

WAITING = {
    "intents": "SELECT 1 FROM intents WHERE state = 'pending' LIMIT 1",
    "webhooks": "SELECT 1 FROM webhook_inbox WHERE state = 'pending' LIMIT 1",
}
"""Hints that spare a lane most of its empty looks amid a run; a wrong one would show as work that never ends."""
WEBHOOK_SECRET = "whsec_simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Founded:
    """A deployment that stands in `home`, with one tenant, one client, one processor account."""

    home: Path
    environment: dict[str, str]
    deployment: str
    tenant: str
    client_key: str
    account: str
    api_key: str


def found(home: Path, urls: Sequence[str], clock: Callable[[], datetime]) -> Founded:
    """Set up a deployment with its ledger in `home` over two empty databases, records and keystore."""
    (home / "ledger").mkdir()
    keyfile.create(home / "root.key")
    environment = {
        "PANLESS_RECORDS_URL": urls[0],
        "PANLESS_KEYSTORE_URL": urls[1],
        "PANLESS_KEYFILE": str(home / "root.key"),
        "PANLESS_LEDGER": str(home / "ledger"),
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        "PANLESS_SANDBOX_URL": BASE,
        "PANLESS_ACCEPT_RAW_CARDS": "true",
    }
    with mock.patch.dict(os.environ, environment):
        settings = read_settings()
    wiring.migrate(settings, clock)
    parts = wiring.build(settings, clock)
    tenant = clients.create_tenant(parts.records, parts.keyring, cell="00", name="Simulated", at=clock())
    _, key = clients.create_client(
        parts.records, parts.keyring, tenant=tenant, name="all", live=False, scopes=SCOPES, at=clock()
    )
    caller = Caller(tenant=tenant, client="", live=False, at=clock(), request_id="req_simulated")
    api_key = f"sk_test_{'simulated'}"
    account = accounts.add(
        parts.desk(caller),
        parts.processors,
        kind="sandbox",
        label="simulated",
        credentials={"api_key": api_key, "webhook_secret": WEBHOOK_SECRET},
        default=True,
        attempt=intents.Attempt(operation="processor_account.add", key=None, fingerprint=b""),
    ).value
    parts.close()
    return Founded(
        home=home,
        environment=environment,
        deployment=parts.keyring.deployment,
        tenant=tenant,
        client_key=key.value,
        account=account.id,
        api_key=api_key,
    )


class Away(DirectoryStore):
    """The ledger's directory, which may be away."""

    is_away = False

    def read(self, seq: int) -> bytes | None:
        self._refuse()
        return super().read(seq)

    def write(self, seq: int, entry: bytes) -> bool:
        self._refuse()
        return super().write(seq, entry)

    def head(self, known: int) -> int:
        self._refuse()
        return super().head(known)

    def seems_to_have(self, seq: int) -> bool:
        return not self.is_away and super().seems_to_have(seq)

    def _refuse(self) -> None:
        if self.is_away:
            raise LedgerAway("The ledger is away.")


KEK_SECONDS = 1_000_000
"""A process keeps the tenant's keys for as long as it lives: no run is about them, and reading them took a tenth."""


class Process:
    """One process of Panless: a server, or a worker. It serves one request at a time, as it has no threads here.

    The application is kept from run to run, and so are engines, whose URLs name its place, of files.
    """

    def __init__(self, urls: Sequence[str], founded: Founded) -> None:
        self.founded = founded
        self.app: Any = None
        self.urls = urls
        self.records, self.keystore = (open_database(url) for url in urls)
        self.newest = ""
        for each in (self.records, reader_of(self.records)):
            event.listen(each, "connect", self._forget_other_runs)
        with mock.patch.dict(os.environ, founded.environment):
            settings = read_settings()
        self.roots, self.policy = root_keys.load(settings.roots), read_policy(settings.policy)

    def start(self, ledger: Away, transport: Transport, clock: Callable[[], datetime], now: Callable[[], float]) -> str:
        """Start it anew; the guard's verdict. It raises nothing: a process that may not serve looks again later."""
        self.stop()
        self.newest = ""
        if self.records.dialect.name == "postgresql":  # which timelines they have seen ends with a process
            self.records, self.keystore = (open_database(url) for url in self.urls)
        deployment = self.founded.deployment
        tallies = Tallies(deployment)
        keyring = Keyring(
            keystore=self.keystore,
            roots=self.roots,
            deployment=deployment,
            kek_ttl=KEK_SECONDS,
            monotonic=now,
            now=clock,
        )
        self.ledger = Ledger(store=ledger, keystore=self.keystore, keyring=keyring, place="simulated")
        self.guard = Guard(records=self.records, ledger=self.ledger, clock=clock)
        self.processors = {"sandbox": StripeProcessor(kind="sandbox", base_url=BASE, transport=transport)}
        self.clock = clock
        logs = LogWatch()
        self.parts = Parts(
            records=self.records,
            keyring=keyring,
            ledger=self.ledger,
            guard=self.guard,
            processors=self.processors,
            policy=self.policy,
            clock=clock,
            accept_raw_cards=True,
            tallies=tallies,
            logs=logs,
            ages=lambda: partial(_since, now, now()),
        )
        self.shop = Workshop(
            records=self.records,
            ledger=self.ledger,
            processors=self.processors,
            policy=self.policy,
            clock=clock,
            kek_epoch=timedelta(days=3650),
            tellers={},
            post=_post_nothing,
            attempted=lambda _became, _waited: None,
            logs=logs,
        )
        with suppress(SQLAlchemyError):  # no database yet: what it finds later is another instance anyway
            beats.begin(self.records)
        return self.look()

    def _forget_other_runs(self, dbapi: Any, _entry: Any) -> None:
        """What a process has seen ends with it; its engines, which are kept here, would remember another run."""
        if hasattr(dbapi, "create_function"):
            dbapi.create_function(NOT_BACK, 1, self._is_not_back)

    def _is_not_back(self, moment: str) -> bool:
        self.newest, is_back = max(self.newest, moment), moment < self.newest
        return not is_back

    def stop(self) -> None:
        """It is gone, and its connections with it."""
        self.records.dispose()
        self.keystore.dispose()

    def look(self) -> str:
        """The guard's verdict now."""
        return self.guard.check().code

    def call(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One request at the door: status, JSON, headers."""
        if self.app is None:
            self.app = create_app(self.parts)
        self.app.extensions[NAME] = self.parts
        path, _, query = path.partition("?")
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SERVER_NAME": "vault.example",
            "SERVER_PORT": "443",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.1",
            "CONTENT_TYPE": "application/json" if body else "",
            "CONTENT_LENGTH": str(len(body)) if body else "",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": False,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
        environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        told: list[Any] = []
        content = b"".join(self.app.wsgi_app(environ, lambda status, shown, _=None: told.extend((status, shown))))
        return int(told[0][:3]), json.loads(content) if content else None, dict(told[1])

    def turn(self, lane: str, report: Callable[[str, Exception], None]) -> int:
        """One round of a lane, if the guard lets it; how much ended."""
        if not self.guard.verdict.is_good:
            return 0
        return self._walk(report) if lane == "walks" else LANES[lane](self.shop, report)

    def _walk(self, report: Callable[[str, Exception], None]) -> int:
        """As the lane does, one account after the other: threads of its own would know no virtual time."""
        beats.beat(self.records)
        turns, ended = Turns(self.shop), 0
        while (row := turns.next_one(())) is not None:
            ended += guarded(report, "walk", partial(walking.walk, self.shop, row))
        return ended

    def replay(self) -> None:
        """`panless erasure replay`."""
        replay(self.ledger, self.records, lambda _done, _total: None)

    def needs_human(self) -> set[str]:
        """What `panless intents list --manual` lists: the resources."""
        return {row.resource_id for row in open_intents.listed(self.records, self.clock(), manual=True)}

    def left_there(self) -> set[str]:
        """Customers of lost histories who stay at the processor, as the audit log names them to a human."""
        with reading(self.records) as connection:
            left = select(audit_entries.c.resource_id).where(audit_entries.c.action == "customer.left")
            return {*connection.scalars(left)}

    def differences(self, since: datetime) -> list[str]:
        """What `panless charges reconcile` prints."""
        desk = desk_of(self.shop, self.founded.tenant, live=False)
        report = comparing.compare(desk, self.processors, self.founded.account, since)
        return [f"{each.kind} {each.charge} {each.ours} {each.theirs}" for each in report.differences]


def listen_to_errors(told: Callable[[str, Any], None]) -> None:
    """Have what the house logs told instead: its word, and the exception with it, if there is one."""

    def take(_logger: Any, _name: str, words: dict[str, Any]) -> Any:
        told(words["event"], words.get("exc_info"))
        raise structlog.DropEvent

    structlog.configure(processors=[take], cache_logger_on_first_use=False)


def _since(now: Callable[[], float], begun: float) -> float:
    return now() - begun


def _post_nothing(*_: Any, **__: Any) -> Any:
    raise OSError("nobody listens to events here")
