"""What is too frequent for an audit entry each and too telling for none: counted in memory, an entry a minute.

Looks at cards and at the audit log, by client; calls that showed no valid key, by the tenant that they named; unlocked
KEKs. A process that is killed takes at most the minute that it was counting with it.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Engine

from keys.errors import KeyMissing
from keys.keyring import Keyring
from keys.rootkey import RootKey
from keys.roots import name_of
from rows.tenants import for_tenant
from vault import audit
from vault.caller import Caller
from vault.canonical import Plain
from vault.desk import desk_for
from vault.ids import new_id

MINUTE = timedelta(minutes=1)
MOST_STRANGERS = 1000
"""Tenants that calls without a valid key may name in a minute and process; what comes after is told as one."""


class Tally(NamedTuple):
    """What is counted together. `minute` is when it begins; `unit` is what the count is called in the entry."""

    tenant: str
    client: str
    live: bool
    minute: datetime
    action: str
    unit: str
    resource: str | None = None
    root: str | None = None


class Tallies:
    """The counts of one process since they were last written down."""

    def __init__(self, deployment: str) -> None:
        """Begin with nothing counted. What is no tenant's is the deployment's."""
        self._deployment = deployment
        self._lock = threading.Lock()
        self._counts: Counter[Tally] = Counter()

    def looked(self, caller: Caller, cards: int = 1) -> None:
        """Note that `caller` was shown so many cards."""
        self._count(Tally(caller.tenant, caller.client, caller.live, _minute(caller.at), "token.read", "cards"), cards)

    def read_log(self, caller: Caller) -> None:
        """Note that `caller` read entries of the audit log."""
        self._count(
            Tally(caller.tenant, caller.client, caller.live, _minute(caller.at), action="audit.read", unit="requests")
        )

    def refused(self, tenant: str | None, at: datetime) -> None:
        """Note a call that showed no valid key; `tenant` is the one that it named, whether or not there is one."""
        whose = tenant or self._deployment
        tally = Tally(whose, "", live=False, minute=_minute(at), action="login.failed", unit="attempts")
        if tally not in self._counts and len(self._counts) >= MOST_STRANGERS:
            tally = tally._replace(tenant=self._deployment)
        self._count(tally)

    def unlocked(self, tenant: str, kek_id: bytes, root: RootKey, at: datetime) -> None:
        """Note that a root key unwrapped a KEK."""
        tally = Tally(
            tenant,
            "",
            live=True,
            minute=_minute(at),
            action="kek.unlock",
            unit="times",
            resource=kek_id.hex(),
            root=name_of(root),
        )
        self._count(tally)

    def write_down(self, records: Engine, keyring: Keyring, now: datetime, *, all_of_it: bool = False) -> int:
        """Write an audit entry for each minute that is over (or for `all_of_it`, at exit); how many."""
        with self._lock:
            over = [key for key in self._counts if all_of_it or key.minute + MINUTE <= now]
            taken = {key: self._counts.pop(key) for key in over}
        failures: list[Exception] = []
        for tenant in sorted({key.tenant for key in taken}):
            its_own = {key: count for key, count in taken.items() if key.tenant == tenant}
            try:
                self._write_of(records, keyring, now, tenant, its_own)
            except Exception as error:  # noqa: BLE001  # one tenant's keys or rows must not keep others' from being written
                failures.append(error)
                with self._lock:
                    self._counts.update(its_own)
        if failures:
            raise failures[0]
        return len(taken)

    def _write_of(
        self, records: Engine, keyring: Keyring, now: datetime, tenant: str, its_own: dict[Tally, int]
    ) -> None:
        if _is_known(keyring, tenant):
            _write(records, keyring, now, tenant, its_own)
        else:
            self._count_among(its_own)

    def _count_among(self, strangers: dict[Tally, int]) -> None:
        """Count what named a tenant that there is not as the deployment's; it is written down the next time."""
        for key, count in strangers.items():
            self._count(key._replace(tenant=self._deployment), count)

    def _count(self, tally: Tally, number: int = 1) -> None:
        with self._lock:
            self._counts[tally] += number


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _is_known(keyring: Keyring, tenant: str) -> bool:
    try:
        keyring.tenant_key(tenant, "audit")
    except KeyMissing:
        return False
    return True


def _write(records: Engine, keyring: Keyring, now: datetime, tenant: str, counts: dict[Tally, int]) -> None:
    with audit.transaction(for_tenant(records, tenant)) as tx:
        for key, count in counts.items():
            caller = Caller(tenant=tenant, client=key.client, live=key.live, at=now, request_id=new_id("req", tenant))
            details: dict[str, Plain] = {key.unit: count, "minute": key.minute.isoformat()}
            details |= {"root": key.root} if key.root else {}
            audit.record(desk_for(records, keyring, caller), tx, key.action, resource=key.resource, details=details)
