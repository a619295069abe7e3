"""Accounts in doubt, as those see them who operate this; and a doubt that is ended on their word, without a walk."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, and_, func, select, true, union_all

from rows.clock import database_clock
from rows.engine import reading
from rows.instances import instance
from vault import audit
from vault.errors import VaultError
from vault.processing import doubt
from vault.processing.connecting import Processors
from vault.recovering import walking
from vault.tables import beats
from vault.tables import processor_accounts as accounts
from vault.workshop import Workshop, desk_of


class NotWaived(VaultError):
    """There is no doubt here that could be waived; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A processor account about which these records may have lost something.

    `since` is when that began; None where they never knew the account. Until `guarded_until` the processor's own keys
    keep orders there from paying twice; None where none do. `wanted_at` is since when an order waits for the walk,
    `walk_at` when the next is tried, `overdue` whether none came to its end for `LATE` seconds.
    """

    tenant: str
    account: str
    kind: str
    label: str
    live: bool
    since: datetime | None
    guarded_until: datetime | None
    wanted_at: datetime | None
    walk_at: datetime | None
    overdue: bool


LATE = 600
"""Seconds after which a walk is overdue: ten times what a failover takes at most, with lists of a usual length."""


def listed(records: Engine, processors: Processors) -> Sequence[Doubt]:
    """All of them, those first for which an order waits."""
    with reading(records) as connection:
        rows = connection.execute(_LISTED).all()
    return [
        Doubt(
            tenant=row.tenant_id,
            account=row.account_id,
            kind=row.kind,
            label=row.label,
            live=row.live,
            since=row.beat - timedelta(seconds=doubt.CLOCKS) if row.beat else None,
            guarded_until=_guarded_until(row.beat, row.kind, row.now, processors),
            wanted_at=row.wanted_at,
            walk_at=row.walk_at,
            overdue=bool(row.overdue),
        )
        for row in rows
    ]


def _guarded_until(beat: datetime | None, kind: str, now: datetime, processors: Processors) -> datetime | None:
    if beat is None or kind not in processors:
        return None
    until = beat + timedelta(seconds=doubt.guarded_for(processors[kind]))
    return until if until > now else None


def waive(shop: Workshop, account_id: str) -> None:
    """Take an account as known on this instance of the records, without a walk, on the record.

    What was lost stays lost then: a payment that only the processor has can be paid again. Raises NotWaived.
    """
    with reading(shop.records) as connection:
        row = connection.execute(_LISTED.where(accounts.c.account_id == account_id)).one_or_none()
    if row is None:
        raise NotWaived("There is no such processor account in doubt. See: panless doubt list.")
    desk = desk_of(shop, row.tenant_id, live=row.live)
    with audit.transaction(desk.records) as tx:
        if not walking.end_doubt(tx, row):
            raise NotWaived("The records lie in another database than a moment ago. Start the worker, and try again.")
        audit.record(desk, tx, "doubt.waive", resource=account_id)


_HERE = beats.alias()
_LATE = and_(accounts.c.created_at < database_clock(-LATE), _HERE.c.since < database_clock(-LATE))
_LISTED = (
    select(
        accounts,
        beats.c.at.label("beat"),
        func.coalesce(_LATE, ~true()).label("overdue"),
        instance().label("here"),
        database_clock().label("now"),
    )
    .outerjoin(beats, beats.c.instance == accounts.c.known_on)
    .outerjoin(_HERE, _HERE.c.instance == instance())
    .where(accounts.c.deleted_at.is_(None), doubt.is_in_doubt())
    .order_by(accounts.c.wanted_at.is_(None), accounts.c.wanted_at, accounts.c.account_id)
)
_ELSEWHERE = (accounts.c.known_on.is_(None), accounts.c.known_on < instance(), accounts.c.known_on > instance())
COUNTED = select(func.count()).select_from(
    union_all(
        *(select(accounts.c.account_id).where(accounts.c.deleted_at.is_(None), each) for each in _ELSEWHERE)
    ).subquery()
)
"""How many there are: "not here" in parts, each a piece of the index, so that those known here are not read."""
