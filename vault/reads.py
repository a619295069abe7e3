"""How often each client looks at cards: counted in memory, one audit entry per client and minute.

A look at card metadata is too frequent for an entry each, and too telling for none. A process that is killed takes at
most the minute that it was counting with it.
"""

import threading
from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import Engine

from keys.keyring import Keyring
from keys.tenant_rows import for_tenant
from vault import audit
from vault.caller import Caller
from vault.ids import new_id

MINUTE = timedelta(minutes=1)


class ReadCounter:
    """The counts of one process since they were last written down."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, bool, datetime]] = Counter()

    def count(self, caller: Caller, cards: int = 1) -> None:
        """Note that `caller` was shown so many cards."""
        minute = caller.at.replace(second=0, microsecond=0)
        with self._lock:
            self._counts[caller.tenant, caller.client, caller.live, minute] += cards

    def write_down(self, records: Engine, keyring: Keyring, now: datetime, *, all_of_it: bool = False) -> int:
        """Write an audit entry for each minute that is over (or for `all_of_it`, at exit); how many."""
        with self._lock:
            over = [key for key in self._counts if all_of_it or key[3] + MINUTE <= now]
            taken = {key: self._counts.pop(key) for key in over}
        if not taken:
            return 0
        found = len(taken)
        try:
            while taken:
                self._write_down_one(records, keyring, now, taken)
        except BaseException:
            with self._lock:
                self._counts.update(taken)
            raise
        return found

    def _write_down_one(
        self, records: Engine, keyring: Keyring, now: datetime, taken: dict[tuple[str, str, bool, datetime], int]
    ) -> None:
        """Take one tenant's counts out of `taken`, in a transaction that is for its rows."""
        tenant = next(iter(taken))[0]
        its_own = [key for key in taken if key[0] == tenant]
        with audit.transaction(for_tenant(records, tenant)) as tx:
            for key in its_own:
                _, client, live, minute = key
                caller = Caller(tenant=tenant, client=client, live=live, at=now, request_id=new_id("req", tenant))
                details: dict[str, str | int] = {"cards": taken[key], "minute": minute.isoformat()}
                audit.record(tx, keyring, caller, "token.read", details=details)
        for key in its_own:
            del taken[key]
