"""Whose turn it is to be walked through: those first for which an order waits, and of one tenant only so many at once.

So that no tenant waits for another's account whose processor hangs or refuses.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import Row, bindparam, or_, select

from rows.clock import database_clock
from rows.conditions import given
from rows.engine import is_sqlite, reading
from rows.instances import instance
from vault import leases
from vault.processing import doubt
from vault.tables import beats as beat_table
from vault.tables import processor_accounts as accounts
from vault.workshop import Workshop

LEASE_SECONDS = 120
"""Of a walk; and how long one that failed is left alone."""

AT_ONCE, OF_ONE_TENANT = 16, 2
"""Walks in one process, and those of one tenant among them."""

AHEAD, LOOK_SECONDS = 64, 0.5
"""How many turns are looked up at once, and how old that may be."""


@dataclass(slots=True)
class Turns:
    """The accounts in doubt that come next, looked up again often, so that nobody's new wish waits for older turns."""

    shop: Workshop
    ahead: list[Row[Any]] = field(default_factory=list, init=False)
    looked_at: float = field(default=-LOOK_SECONDS, init=False)

    def next_one(self, busy: Collection[str]) -> Row[Any] | None:
        """One whose turn it is, with the lease of its walk; none of the tenants that are busy."""
        if not self.ahead or monotonic() - self.looked_at >= LOOK_SECONDS:
            self.ahead, self.looked_at = _due(self.shop, busy), monotonic()
        for row in [each for each in self.ahead if each.tenant_id not in busy]:
            self.ahead.remove(row)
            if take_up(self.shop, row):
                return whole(self.shop, row)
        return None


def _due(shop: Workshop, busy: Collection[str]) -> list[Row[Any]]:
    with reading(shop.records) as connection:
        return [*connection.execute(_DUE, {"settling": -_settling(shop), "busy": [*busy]})]


def take_up(shop: Workshop, row: Row[Any]) -> bool:
    """Take the lease of a walk; whether this process got it."""
    return leases.take(shop.records, accounts, row, "walk_at", LEASE_SECONDS, doubt.is_in_doubt())


def whole(shop: Workshop, row: Row[Any]) -> Row[Any]:
    """The account as it is now, with its credentials, and `here` and `now`: the records' instance and their clock."""
    with reading(shop.records) as connection:
        return connection.execute(_WHOLE, {"of_tenant": row.tenant_id, "of_account": row.account_id}).one()


def _settling(shop: Workshop) -> int:
    """Seconds from an instance's beginning after which lists have what was sent while the one before took commits.

    With SQLite whoever sent something ended with the program.
    """
    if is_sqlite(shop.records):
        return 0
    return max((doubt.settling(each) for each in shop.processors.values()), default=0)


_WHOLE = select(accounts, instance().label("here"), database_clock().label("now")).where(given(accounts, "account_id"))
_DUE = (
    select(accounts.c.tenant_id, accounts.c.account_id)
    .outerjoin(beat_table, beat_table.c.instance == instance())
    .where(
        doubt.is_in_doubt(),
        accounts.c.deleted_at.is_(None),
        or_(accounts.c.walk_at.is_(None), accounts.c.walk_at <= database_clock()),
        or_(accounts.c.known_on.is_(None), beat_table.c.since <= database_clock(bindparam("settling"))),
        accounts.c.tenant_id.not_in(bindparam("busy", expanding=True)),
    )
    .order_by(
        accounts.c.wanted_at.is_(None), accounts.c.wanted_at, accounts.c.walk_at.is_not(None), accounts.c.account_id
    )
    .limit(AHEAD)
)
