"""Intents that are open: how many, how old, what each waits for; and what else money waits for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, case, func, select, text

from rows.clock import database_clock
from rows.conditions import together
from rows.engine import reading
from rows.tenants import EVERY, for_tenant
from vault.recovering import doubts
from vault.tables import intents, processor_accounts
from vault.tables.tenancy import DIFFERING
from vault.tables.work import STILL_OPEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How many intents are open, the age of the oldest in seconds (0 where there is none), and what money waits for.

    `doubts` are accounts whose records may have lost something, `differences` what the last reconciliations found.
    """

    pending: int
    manual: int
    oldest_pending: int
    oldest_manual: int
    doubts: int
    differences: int


def watch(records: Engine, at: datetime) -> Watch:
    """How it stands at the moment `at`: by indexes of what is open, whose size is not that of the tables."""
    with reading(for_tenant(records, EVERY)) as connection:
        counted = connection.execute(_COUNTED).one()
        doubted = connection.scalar(doubts.COUNTED)
        differ = connection.scalar(_DIFFERENCES)
    return Watch(
        pending=counted.pending,
        manual=counted.manual,
        oldest_pending=_age(counted.oldest_pending, at),
        oldest_manual=_age(counted.oldest_manual, at),
        doubts=int(doubted or 0),
        differences=int(differ or 0),
    )


def _age(since: datetime | None, at: datetime) -> int:
    return max(int((at - since).total_seconds()), 0) if since is not None else 0


def listed(
    records: Engine, at: datetime, *, manual: bool = False, older: timedelta | None = None
) -> Sequence[Row[Any]]:
    """The intents that are open, the oldest first: only those that need a human, or that began so long before `at`."""
    statement = _OPEN.order_by(intents.c.created_at)
    if manual:
        statement = statement.where(intents.c.state == "manual")
    if older is not None:
        statement = statement.where(intents.c.created_at <= at - older)
    with reading(records) as connection:
        return connection.execute(statement).all()


def find(records: Engine, intent_id: str) -> Row[Any] | None:
    """The intent of this id, open or ended; None where there is none."""
    with reading(records) as connection:
        return connection.execute(_ALL.where(intents.c.intent_id == intent_id)).one_or_none()


def is_held() -> ColumnElement[bool]:
    """Whether somebody works on an intent just now. Who gives one back for a later look takes the lease's word away."""
    return and_(intents.c.word.is_not(None), intents.c.lease_until > database_clock())


_STILL_OPEN = text(f"intents.{STILL_OPEN}")
_PENDING, _MANUAL = intents.c.state == "pending", intents.c.state == "manual"
_COUNTED = select(
    func.count().filter(_PENDING).label("pending"),
    func.count().filter(_MANUAL).label("manual"),
    func.min(intents.c.created_at).filter(_PENDING).label("oldest_pending"),
    func.min(intents.c.created_at).filter(_MANUAL).label("oldest_manual"),
).where(_STILL_OPEN)
_DIFFERENCES = select(func.sum(processor_accounts.c.differences)).where(text(DIFFERING))
_ALL = select(
    intents,
    processor_accounts.c.live,
    processor_accounts.c.label,
    case((is_held(), 1), else_=0).label("held"),
).outerjoin(processor_accounts, together(processor_accounts, intents, "account_id"))
_OPEN = _ALL.where(_STILL_OPEN)
