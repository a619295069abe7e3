"""What the worker works with, and as whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from keys.keyring import Keyring
from vault.caller import Caller
from vault.desk import Desk, desk_for
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.outgoing import Post
from vault.policy import Policy
from vault.processing.connecting import Processors
from vault.protocols.callbacks import Tell
from vault.tlog.watched import LogWatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What the worker works with."""

    records: Engine
    ledger: Ledger
    processors: Processors
    policy: Policy
    clock: Callable[[], datetime]
    kek_epoch: timedelta
    """How old a tenant's newest KEK gets before the next one is made."""
    tellers: Mapping[str, Tell]
    """How others are told of rights requests, by protocol."""
    post: Post
    """How a tenant's webhook endpoints are called."""
    attempted: Callable[[str, float], None]
    """Told what became of a delivery by an attempt, and how many seconds it had waited."""
    logs: LogWatch
    """Where audit logs are anchored, and how far they were seen."""

    @property
    def keyring(self) -> Keyring:
        """The keys of the deployment."""
        return self.ledger.keyring

    def desk(self, caller: Caller) -> Desk:
        """What a caller is served with."""
        return desk_for(self.records, self.keyring, caller)


def caller_of(shop: Workshop, tenant: str, *, live: bool) -> Caller:
    """The program itself: no client, and each deed under a request id of its own."""
    return Caller(tenant=tenant, client="", live=live, at=shop.clock(), request_id=new_id("req", tenant))


def desk_of(shop: Workshop, tenant: str, *, live: bool) -> Desk:
    """What the program itself is served with, where it works for that tenant."""
    return shop.desk(caller_of(shop, tenant, live=live))
