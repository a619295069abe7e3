"""How late the log is: entries that wait for their places, checkpoints that wait for an anchor."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Engine, func, select, true

from keys.database import reading
from keys.tenant_rows import EVERY, for_tenant
from vault.errors import AnchorStale
from vault.tables import audit_entries, audit_logs

STALE = timedelta(minutes=5)
"""For how long something may be in the log, or wait for its place, without an anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """Since when the oldest entry of all logs has had no place, and the oldest checkpoint no anchor; in seconds."""

    unplaced: float
    unanchored: float


def lateness(records: Engine, now: datetime) -> Lateness:
    """How late all logs together are."""
    with reading(for_tenant(records, EVERY)) as connection:
        placed, anchored = _since(connection, true(), true())
    return Lateness(unplaced=_seconds(placed, now), unanchored=_seconds(anchored, now))


def require_fresh(records: Engine, tenant: str, now: datetime) -> None:
    """Raises AnchorStale where something of the tenant has been without an anchor for longer than STALE."""
    with reading(records) as connection:
        since = _since(connection, audit_entries.c.tenant_id == tenant, audit_logs.c.tenant_id == tenant)
    refuse_stale(Lateness(unplaced=_seconds(since[0], now), unanchored=_seconds(since[1], now)))


def refuse_stale(late: Lateness) -> None:
    """Raises AnchorStale where something has been without an anchor for longer than STALE."""
    if max(late.unplaced, late.unanchored) > STALE.total_seconds():
        raise AnchorStale(
            "The audit log was not anchored for over five minutes, and this has to be on a record that nobody can "
            "change. Try again later; whoever runs Panless: see that the worker runs and reaches PANLESS_AUDIT_ANCHOR."
        )


def _since(
    connection: Connection, of_entries: ColumnElement[bool], of_logs: ColumnElement[bool]
) -> tuple[datetime | None, datetime | None]:
    waiting = select(func.min(audit_entries.c.at)).where(of_entries, audit_entries.c.position.is_(None))
    signed = select(func.min(audit_logs.c.waiting_since)).where(of_logs)
    return connection.execute(waiting).scalar_one(), connection.execute(signed).scalar_one()


def _seconds(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max((now - since).total_seconds(), 0.0)
