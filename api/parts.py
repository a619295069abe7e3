"""What the door is handed: the parts of a running Panless, and what of its settings the door needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import current_app
from sqlalchemy import Engine

from api.rate_limits import RateLimits
from keys.keyring import Keyring
from vault.caller import Caller
from vault.desk import Desk, desk_for
from vault.ledger.book import Ledger
from vault.ledger.guard import Guard
from vault.policy import Policy
from vault.processing import sending
from vault.processing.connecting import Processors
from vault.protocols.opendsr import Processor
from vault.tallies import Tallies
from vault.tenancy.client_keys import Presented
from vault.tenancy.key_uses import KeyUses
from vault.tlog.watched import LogWatch

NAME = "panless"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a request shows of who sends it; a token may have fewer scopes than its client, an API key has all.

    `person` is whom a token is about, where that is not the client itself.
    """

    presented: Presented
    scopes: frozenset[str] | None = None
    person: str | None = None


class IssuerAway(Exception):
    """Nobody can say whether a token's issuer has the key that it is signed with: it was asked, and did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All that routes hand on to domain functions."""

    records: Engine
    keyring: Keyring
    ledger: Ledger
    guard: Guard
    processors: Processors
    policy: Policy
    clock: Callable[[], datetime]
    accept_raw_cards: bool
    tallies: Tallies
    opendsr: Processor | None = None
    callback_hosts: frozenset[str] = frozenset()
    """Whom controllers may have us call back (vault/protocols/callbacks.py)."""
    resumes_fides: bool = False
    logs: LogWatch = field(default_factory=LogWatch)
    """Where the audit log is anchored, outside of the databases, if anywhere."""

    def desk(self, caller: Caller) -> Desk:
        """What a caller is served with."""
        return desk_for(self.records, self.keyring, caller)

    issued: Callable[[str], Shown | None] | None = None
    """Reads tokens of the issuer that the operator trusts, where there is one. Raises IssuerAway."""
    limits: RateLimits | None = None
    uses: KeyUses = field(default_factory=KeyUses)
    ages: Callable[[], Callable[[], float]] = sending.from_now
    """Begins to count the age of a request."""
    probes: Sequence[Engine] = ()
    """Databases that must answer for this process to be ready, on connections that nobody else waits for."""


def parts() -> Parts:
    """The parts of the application that serves this request."""
    found: Parts = current_app.extensions[NAME]
    return found
