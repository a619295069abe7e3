"""Charges that wait for a person who does not come: called off at the processor, and told as declined."""

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import Row, and_, select

from keys.database import reading, transaction
from vault.columns import database_clock
from vault.errors import NotUsable, ProcessorNotReached, ProcessorRefused
from vault.money import charge_steps
from vault.money.charge_steps import Step
from vault.processing import intents
from vault.statements import updated, write
from vault.tables import charges
from vault.workshop import Workshop, caller_of

ABANDONED_AFTER = 24 * 3600
"""Seconds that a person has to authenticate: a page that is open for longer has lost its session."""

AGAIN_AFTER = 300
"""Seconds until one that could not be called off is tried again."""

BATCH = 100


def due(shop: Workshop) -> Sequence[Row[str, str, bool]]:
    """Some charges that wait for longer than that."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def call_off(shop: Workshop, row: Row[str, str, bool]) -> bool:
    """Call one off, unless another worker does; whether its end is known now. Paid meanwhile is paid."""
    key = {"tenant_id": row.tenant_id, "charge_id": row.charge_id}
    with transaction(shop.records) as tx:
        if not write(tx, updated(charges, key, {}, _LEFT_ALONE, clocks={"updated_at": 0}))[0]:
            return False
    caller = caller_of(shop, row.tenant_id, live=row.live)
    attempt = intents.Attempt(operation="charge.abandon", key=None, fingerprint=b"")
    with suppress(NotUsable, ProcessorRefused, ProcessorNotReached):  # its turn comes again, or it came to another end
        taken = charge_steps.take(
            shop.records, shop.keyring, shop.processors, caller, row.charge_id, Step(name="abandon"), attempt
        )
        return taken.charge.step is None
    return False


_LEFT_ALONE = and_(
    charges.c.state == "requires_action",
    charges.c.step.is_(None),
    charges.c.created_at < database_clock(-ABANDONED_AFTER),
    charges.c.updated_at < database_clock(-AGAIN_AFTER),
)
_DUE = (
    select(charges.c.tenant_id, charges.c.charge_id, charges.c.live)
    .where(_LEFT_ALONE)
    .order_by(charges.c.created_at)
    .limit(BATCH)
)
