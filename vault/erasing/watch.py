"""How many erasures stand still, over all tenants."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine, func, select

from rows.conditions import spelled
from rows.engine import reading
from vault.tables import erasures

UNDONE = timedelta(hours=1)
"""The part that is done here waits for nobody but the ledger and both databases."""
UNANSWERED = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """`undone` are decided and not carried out here; `unanswered` are, and a processor has not answered."""

    undone: int
    unanswered: int


def watch(records: Engine, at: datetime) -> Watch:
    """How it stands at the moment `at`. A redaction has its day months later, and is not waited for."""
    undone = (erasures.c.state == "decided") & (erasures.c.requested_at < at - UNDONE)
    unanswered = erasures.c.state.in_(("shredded", "certified")) & (erasures.c.requested_at < at - UNANSWERED)
    statement = select(func.count().filter(undone), func.count().filter(unanswered))
    with reading(records) as connection:
        one, other = connection.execute(statement.where(~spelled(erasures.c.state, "completed"))).one()
    return Watch(undone=one, unanswered=other)
