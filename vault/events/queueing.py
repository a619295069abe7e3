"""Queueing events for the endpoints that want them: many in one statement, in the order in which they were written.

Whoever queues locks rows in that order, and events no more than a change of their state does: so the worker and an
endpoint that has events sent again never wait for each other in a circle. An endpoint that is being removed is waited
for; where its own events are sent again at that moment, PostgreSQL may end one of the calls, which is 503.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    bindparam,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from rows.changes import inserting
from rows.clock import database_clock
from rows.conditions import spelled, together
from rows.engine import reading, transaction
from vault.caller import Caller
from vault.tables import event_deliveries as deliveries
from vault.tables import events, webhook_endpoints
from vault.workshop import Workshop

BATCH = 100

_KEY = ("tenant_id", "event_id", "endpoint_id")
_PLACE = (events.c.created_at, events.c.event_id)


def fan_out(shop: Workshop) -> int:
    """Queue events that never were, one delivery for each endpoint that wants them; how many events."""
    with reading(shop.records) as connection:
        if not connection.execute(_NEW.limit(1)).all():
            return 0
    with transaction(shop.records) as tx:
        found = [tuple(each) for each in tx.execute(_NEW.with_for_update(skip_locked=True, key_share=True))]
        if not found:  # another worker has them
            return 0
        # As many as fit, the last one again and again: a list of another length would be another statement.
        these = {"these": found + found[-1:] * (BATCH - len(found))}
        _queue(tx, _WANTED, these)
        tx.execute(_OUT, these)
    return len(found)


def replay(tx: Connection, caller: Caller, endpoint_id: str, which: ColumnElement[bool]) -> int:
    """Queue events again, those of the tenant that `which` says, whatever became of them before; how many."""
    theirs = and_(events.c.tenant_id == caller.tenant, events.c.live == caller.live, which)
    again = {"attempts": 0, "first_attempt_at": None}
    return _queue(tx, _delivery(literal(endpoint_id)).where(theirs), {}, again)


def _delivery(endpoint_id: ColumnElement[str]) -> Select[Any]:
    """The columns of a delivery that is due now, of events in their order."""
    pending = literal("pending").label("state"), database_clock().label("next_attempt_at")
    return select(events.c.tenant_id, events.c.event_id, endpoint_id, events.c.created_at, *pending).order_by(*_PLACE)


def _queue(
    tx: Connection, which: Select[Any], values: Mapping[str, Any], again: Mapping[str, Any] | None = None
) -> int:
    """Make deliveries of what is selected; one that is there stays as it is, or begins `again`. How many."""
    made = inserting(tx, deliveries)
    queued = made.from_select([*_KEY, "created_at", "state", "next_attempt_at"], which)
    if again is None:
        queued = queued.on_conflict_do_nothing()
    else:
        due = {name: queued.excluded[name] for name in ("state", "next_attempt_at")}
        queued = queued.on_conflict_do_update(index_elements=_KEY, set_={**due, **again})
    return tx.execute(queued, values, execution_options={"preserve_rowcount": True}).rowcount


_NEW = (
    select(events.c.tenant_id, events.c.event_id)
    .where(spelled(events.c.state, "pending"))
    .order_by(*_PLACE)
    .limit(BATCH)
)
_THESE = tuple_(events.c.tenant_id, events.c.event_id).in_(bindparam("these", expanding=True))
_OUT = update(events).where(_THESE).values(state="out")
_WANTS = or_(
    webhook_endpoints.c.types == "",
    (literal(" ") + webhook_endpoints.c.types + " ").contains(literal(" ", String) + events.c.type + " "),
)
_WANTED = (
    _delivery(webhook_endpoints.c.endpoint_id)
    .join(webhook_endpoints, together(webhook_endpoints, events, "live"))
    .where(_THESE, webhook_endpoints.c.state == "enabled", _WANTS)
    .with_for_update(read=True, key_share=True, of=webhook_endpoints)  # one that is being removed is waited for
)
