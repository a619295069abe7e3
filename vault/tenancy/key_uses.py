"""When each API key was last used: noted in memory, written down to the hour, never by a request."""

import threading
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter

from sqlalchemy import Engine, Update, and_, or_, update

from rows.engine import transaction
from rows.tenants import for_tenant
from vault.tables import client_keys
from vault.tenancy.clients import Client, KeyShown

HOUR = timedelta(hours=1)


class KeyUses:
    """The uses that one process has not written down yet: one a key."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, str], tuple[datetime, KeyShown]] = {}

    def note(self, client: Client, at: datetime) -> None:
        """Note that `client` came, unless its row says so for this hour."""
        key = client.key
        if key is None or (key.upgrade is None and key.last_used_at is not None and at - key.last_used_at < HOUR):
            return
        with self._lock:
            self._noted[client.tenant, key.key_id] = at, key

    def write_down(self, records: Engine) -> int:
        """Write down what was noted; of how many keys. Rows from before there were terms get what binds them."""
        with self._lock:
            taken, self._noted = self._noted, {}
        if not taken:
            return 0
        try:
            for tenant, noted in groupby(sorted(taken), key=itemgetter(0)):
                with transaction(for_tenant(records, tenant)) as tx:
                    for at, key in map(taken.__getitem__, noted):
                        for statement in _statements(tenant, key, at):
                            tx.execute(statement)
        except BaseException:
            with self._lock:
                self._noted = taken | self._noted
            raise
        return len(taken)


def _statements(tenant: str, key: KeyShown, at: datetime) -> list[Update]:
    this = and_(client_keys.c.tenant_id == tenant, client_keys.c.key_id == key.key_id)
    stale = or_(client_keys.c.last_used_at.is_(None), client_keys.c.last_used_at <= at - HOUR)
    used = update(client_keys).where(this, stale).values(last_used_at=at)
    if key.upgrade is None:
        return [used]
    return [used, update(client_keys).where(this, client_keys.c.mac.is_(None)).values(key.upgrade)]
