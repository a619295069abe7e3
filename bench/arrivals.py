"""What became of events, as the records have it: how many there are, and how many wait for systems that answer."""

from datetime import UTC, datetime

from sqlalchemy import func, select

from bench.standing import Standing
from rows.engine import reading
from vault.tables import event_deliveries, events


def waiting(house: Standing) -> int:
    """Events that are not queued yet, and deliveries to endpoints that answer."""
    queued = select(func.count()).where(
        event_deliveries.c.state == "pending", event_deliveries.c.endpoint_id.in_(house.well)
    )
    new = select(func.count()).where(events.c.state == "pending")
    with reading(house.house.components.records) as connection:
        return sum(connection.scalar(each) or 0 for each in (queued, new))


def happened(house: Standing, since: float) -> int:
    """How many events there are since a moment."""
    of_then = select(func.count()).where(events.c.created_at >= datetime.fromtimestamp(since, UTC))
    with reading(house.house.components.records) as connection:
        return connection.scalar(of_then) or 0
