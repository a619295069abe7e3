"""How late the log is: entries that wait for their places, checkpoints that wait for an anchor."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, func, select

from keys.keyring import Keyring
from rows.engine import reading
from rows.tenants import EVERY, for_tenant
from vault.audit import is_genuine
from vault.errors import AnchorStale
from vault.tables import audit_entries, audit_logs
from vault.tlog.watched import LogWatch

STALE = timedelta(minutes=5)
"""For how long something may be in the log, or wait for its place, without an anchor."""

LOOKED_AT = 1000
"""Of entries that have waited for so long, the oldest: whether any is genuine."""

_WAITING = audit_entries.c.position.is_(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Since when the oldest entry of all logs has had no place, and the oldest checkpoint no anchor; in seconds."""

    unplaced: float
    unanchored: float


def lateness(watch: LogWatch, records: Engine, now: datetime) -> Lateness:
    """How late all logs together are; forged entries, which never get a place, count too."""
    with reading(for_tenant(records, EVERY)) as connection:
        placed = connection.scalar(select(func.min(audit_entries.c.at)).where(_WAITING))
        signed = connection.scalar(select(func.min(audit_logs.c.waiting_since))) if watch.anchors else None
    return Lateness(unplaced=_seconds(placed, now), unanchored=_seconds(signed, now))


def require_fresh(watch: LogWatch, records: Engine, keyring: Keyring, tenant: str, now: datetime) -> None:
    """Raises AnchorStale where something of the tenant has been without an anchor for longer than STALE.

    An entry that somebody else wrote holds nothing up, nor does anything where logs are not anchored.
    """
    if watch.anchors is None:
        return
    with reading(records) as connection:
        mine = select(audit_logs.c.waiting_since).where(audit_logs.c.tenant_id == tenant)
        since = connection.execute(mine).scalar_one_or_none()
        late = since is not None and abs(now - since) > STALE  # or by a clock that was ahead
        if late or _waits(connection, keyring, tenant, now):
            raise AnchorStale(
                f"The audit log of {tenant} was not anchored for over five minutes, and this has to be on a record "
                "that nobody can change. Try again later; whoever runs Panless: see that the worker runs and reaches "
                "PANLESS_AUDIT_ANCHOR."
            )


def _waits(connection: Connection, keyring: Keyring, tenant: str, now: datetime) -> bool:
    old = audit_entries.c.tenant_id == tenant, _WAITING, audit_entries.c.at < now - STALE
    waiting = select(audit_entries.c.leaf, audit_entries.c.mac).where(*old).order_by(audit_entries.c.at)
    rows = connection.execute(waiting.limit(LOOKED_AT))
    return any(is_genuine(keyring, tenant, row.leaf.encode(), row.mac) for row in rows)


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
