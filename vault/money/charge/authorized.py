"""Authorizations that nobody touched: looked at every day, because they end by themselves and the word of it gets lost.

One that was cancelled at the processor, or ran out there (most after seven days), would be open here for ever, and an
open charge keeps its customer from erasure.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, select

from rows.changes import updated, write
from rows.clock import database_clock
from rows.conditions import spelled
from rows.engine import reading, transaction
from vault.money.charge import looking
from vault.money.charge.looking import DEFINITE
from vault.tables import charges
from vault.turns import a_few_of_each
from vault.workshop import Workshop, desk_of

LOOK_EVERY = 24 * 3600
"""Seconds between two looks at an authorization."""

AGAIN_AFTER = 3600
"""Seconds until one of which the processor did not say how it stands is looked at again."""


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some authorizations that nothing was done with and nobody looked at for a day."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def look(shop: Workshop, row: Row[Any]) -> bool | None:
    """Look at one, unless another worker does: True where it came to its end, False where the processor did not say."""
    if not _touch(shop, row, AGAIN_AFTER - LOOK_EVERY):
        return None
    desk = desk_of(shop, row.tenant_id, live=row.live)
    underway = looking.find(desk, shop.processors, row.charge_id)
    if underway is None:
        return None
    outcome = looking.ask(underway)
    if not isinstance(outcome, DEFINITE):
        return False
    charge = looking.seen(underway, outcome)
    if charge.status != "authorized":
        return True
    _touch(shop, row, 0)
    return None


def _touch(shop: Workshop, row: Row[Any], seconds: int) -> bool:
    """Take it for as long as a look takes, or until the next one; whether it was due."""
    key = {"tenant_id": row.tenant_id, "charge_id": row.charge_id}
    still = _UNTOUCHED if seconds else _STILL
    with transaction(shop.records) as tx:
        return write(tx, updated(charges, key, {}, still, clocks={"updated_at": seconds}))[0]


_STILL = and_(spelled(charges.c.state, "authorized"), charges.c.step.is_(None))
_UNTOUCHED = and_(_STILL, charges.c.updated_at < database_clock(-LOOK_EVERY))
_DUE = a_few_of_each(
    select(charges.c.tenant_id, charges.c.account_id, charges.c.charge_id, charges.c.live).where(_UNTOUCHED),
    charges.c.updated_at,
)
