"""How many deliveries wait, over all tenants, and since when: for the figures that operators watch."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from rows.clock import database_clock
from rows.conditions import together
from rows.engine import reading
from vault.tables import event_deliveries as deliveries
from vault.tables import webhook_endpoints as endpoints


@dataclass(frozen=True, slots=True)
class Waiting:
    """Deliveries that wait, and for how many seconds the oldest has: since it was queued, or first tried."""

    waiting: int = 0
    oldest: float = 0.0


def watch(records: Engine) -> Mapping[str, Waiting]:
    """What waits for endpoints that answer, and for those that are failing; a disabled one is waited for by none."""
    with reading(records) as connection:
        found = {row.failing: row for row in connection.execute(_WAITING).all()}
    return {
        name: Waiting(row.waiting, max((row.now - row.oldest).total_seconds(), 0.0)) if row else Waiting()
        for name, row in (("answering", found.get(False)), ("failing", found.get(True)))
    }


_FAILING = endpoints.c.failing_since.is_not(None).label("failing")
_WAITING = (
    select(
        _FAILING,
        func.count().label("waiting"),
        func.min(func.coalesce(deliveries.c.first_attempt_at, deliveries.c.next_attempt_at)).label("oldest"),
        database_clock().label("now"),
    )
    .join_from(deliveries, endpoints, together(endpoints, deliveries, "endpoint_id"))
    .where(deliveries.c.state == "pending", endpoints.c.state == "enabled")
    .group_by(_FAILING)
)
