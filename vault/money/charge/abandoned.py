"""Charges that wait for a person who does not come: called off at the processor, and told as declined."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, select

from rows.changes import updated, write
from rows.clock import database_clock
from rows.conditions import spelled
from rows.engine import reading, transaction
from vault.errors import NotUsable, ProcessorNotReached, ProcessorRefused
from vault.money.charge import steps
from vault.money.charge.steps import Step
from vault.processing import intents
from vault.tables import charges
from vault.turns import a_few_of_each
from vault.workshop import Workshop, desk_of

ABANDONED_AFTER = 24 * 3600
"""Seconds that a person has to authenticate: a page that is open for longer has lost its session."""

AGAIN_AFTER = 300
"""Seconds until one that could not be called off is tried again."""


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some charges that wait for longer than that."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def call_off(shop: Workshop, row: Row[Any]) -> bool | None:
    """Call one off, unless another worker does. Paid meanwhile is paid.

    True where its end is known now, False where the processor did not say, None where there was nothing to call off.
    """
    key = {"tenant_id": row.tenant_id, "charge_id": row.charge_id}
    with transaction(shop.records) as tx:
        if not write(tx, updated(charges, key, {}, _LEFT_ALONE, clocks={"updated_at": 0}))[0]:
            return None
    desk = desk_of(shop, row.tenant_id, live=row.live)
    attempt = intents.Attempt(operation="charge.abandon", key=None, fingerprint=b"")
    try:
        taken = steps.take(desk, shop.processors, row.charge_id, Step(name="abandon"), attempt)
    except ProcessorNotReached:
        return False
    except (NotUsable, ProcessorRefused):  # it came to another end, or its turn comes again
        return None
    return taken.value.step is None


_LEFT_ALONE = and_(
    spelled(charges.c.state, "requires_action"),
    charges.c.step.is_(None),
    charges.c.created_at < database_clock(-ABANDONED_AFTER),
    charges.c.updated_at < database_clock(-AGAIN_AFTER),
)
_DUE = a_few_of_each(
    select(charges.c.tenant_id, charges.c.account_id, charges.c.charge_id, charges.c.live).where(_LEFT_ALONE),
    charges.c.created_at,
)
