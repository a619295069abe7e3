"""Storings that wait for their person: looked at when the processor tells of them, called off when nobody comes."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from sqlalchemy import Engine, Row, and_, or_, select

from keys.errors import KeyDestroyed
from keys.keyring import Keyring
from rows.clock import database_clock
from rows.conditions import spelled
from rows.engine import reading
from vault import leases
from vault.cards import resuming, tokens
from vault.cards.outcomes import conclude
from vault.cards.resuming import Waiting, ask
from vault.desk import Desk
from vault.errors import Erased, NotFoundHere
from vault.processing import references, sending
from vault.processing.answers import ActionRequired, Declined, Refused, Stored, StoreOutcome
from vault.processing.connecting import Processors
from vault.tables import tokens as token_table
from vault.turns import a_few_of_each
from vault.workshop import Workshop, desk_of

ABANDONED_AFTER = 24 * 3600
"""Seconds that a person has to authenticate, as for a charge."""

AGAIN_AFTER = 300
"""Seconds until one that could not be called off is tried again."""


def token_of(records: Engine, keyring: Keyring, tenant: str, account_id: str, setup: str) -> str | None:
    """The token whose storing the processor calls `setup`, None where these records know none."""
    digest = references.digest(keyring, tenant, account_id, setup)
    named = and_(token_table.c.tenant_id == tenant, token_table.c.setup_digest == digest)
    with reading(records) as connection:
        found: str | None = connection.scalar(select(token_table.c.token_id).where(named))
    return found


def look(desk: Desk, processors: Processors, token_id: str) -> bool:
    """Write down how a token stands that waits for its person; whether the processor said."""
    try:
        waiting = _find(desk, processors, token_id)
    except (Erased, NotFoundHere, KeyDestroyed):  # nothing is left that could follow
        return True
    return waiting is None or _written(waiting, _settled(waiting, ask(waiting)))


def due(shop: Workshop) -> Sequence[Row[Any]]:
    """Some tokens whose person did not come."""
    with reading(shop.records) as connection:
        return connection.execute(_DUE).all()


def call_off(shop: Workshop, row: Row[Any]) -> bool | None:
    """Call one off at the processor and let it fail here; stored in the last moment is stored.

    True where it came to its end, False where the processor did not say, None where another worker does it.
    """
    if not leases.take(shop.records, token_table, row, "next_look_at", AGAIN_AFTER, _LEFT_ALONE):
        return None
    desk = desk_of(shop, row.tenant_id, live=row.live)
    try:
        waiting = _find(desk, shop.processors, row.token_id)
    except (Erased, NotFoundHere, KeyDestroyed):  # nothing is left to call off: the customer goes at the processor too
        return None
    if waiting is None:
        return None
    seen = ask(waiting)
    if isinstance(seen, ActionRequired):
        seen = Declined(code="authentication_abandoned")
    return _written(waiting, _settled(waiting, seen))


def _find(desk: Desk, processors: Processors, token_id: str) -> Waiting | None:
    with reading(desk.records) as connection:
        row = tokens.row_of_token(connection, desk.caller, token_id)
    if row.state != "requires_action":
        return None
    return resuming.taken_up(desk, processors, row)


def _settled(waiting: Waiting, seen: StoreOutcome) -> StoreOutcome:
    """What is called declined is called off first: the person's page could still store another card there."""
    if not isinstance(seen, Declined):
        return seen
    connected, key = waiting.storing.connected, f"panless-{waiting.storing.token_id}-call-off"
    call = partial(connected.processor.call_off, connected.credentials, reference=waiting.reference, key=key)
    off: StoreOutcome = sending.once(waiting.storing.desk.caller, call)
    if isinstance(off, Refused) and not off.credentials:  # it may be over there already
        off = ask(waiting)
    return seen if isinstance(off, Declined) else off


def _written(waiting: Waiting, outcome: StoreOutcome) -> bool:
    """Write down what is definite; whether the processor said how it stands."""
    if isinstance(outcome, Stored | Declined):
        with suppress(Erased):  # what was stored is forgotten there instead
            conclude(waiting.storing, outcome, None)
    return isinstance(outcome, Stored | Declined | ActionRequired)


_LEFT_ALONE = and_(
    spelled(token_table.c.state, "requires_action"),
    token_table.c.created_at < database_clock(-ABANDONED_AFTER),
    or_(token_table.c.next_look_at.is_(None), token_table.c.next_look_at <= database_clock()),
)
_DUE = a_few_of_each(
    select(token_table.c.tenant_id, token_table.c.account_id, token_table.c.token_id, token_table.c.live).where(
        _LEFT_ALONE
    ),
    token_table.c.created_at,
)
