"""What still needs a processor account: cards that are charged there, calls that are open, people it must forget."""

from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, select, text, update

from rows.changes import Change, each
from rows.clock import database_clock
from rows.conditions import given
from vault.tables import erasure_recipients, erasures, intents, tokens
from vault.tables.work import STILL_OPEN

TOKENS, INTENTS, ERASURES, REDACTIONS = "active_tokens", "open_intents", "open_erasures", "scheduled_redactions"


def found(connection: Connection, tenant: str, account_id: str) -> dict[str, datetime | None]:
    """What needs the account, each with the day on which it ends where that is known."""
    asked = {"of_tenant": tenant, "of_account": account_id}
    needs: dict[str, datetime | None] = {
        name: None for name, look in _LOOKS.items() if connection.execute(look, asked).first() is not None
    }
    last = connection.execute(_LAST_REDACTION, asked).scalar_one()
    return needs if last is None else {**needs, REDACTIONS: last}


def tried_at_once(tenant: str, account_id: str, at: datetime) -> tuple[Change, ...]:
    """That the worker tries again now what waited for the account; first calls that are under way are left alone."""
    return each({"of_tenant": tenant, "of_account": account_id, "at": at}, *_TRY_AT_ONCE)


_OPEN = text(f"intents.{STILL_OPEN}")
_TOLD = and_(given(erasure_recipients, "account_id"), erasure_recipients.c.result == "pending")
_LOOKS = {
    name: select(table.c.account_id).where(given(table, "account_id"), which).limit(1)
    for name, table, which in (
        (TOKENS, tokens, tokens.c.state.in_(("pending", "requires_action", "active"))),
        (INTENTS, intents, _OPEN),
        (ERASURES, erasure_recipients, erasure_recipients.c.result == "pending"),
    )
}
_LAST_REDACTION = select(func.max(erasure_recipients.c.next_attempt_at)).where(
    given(erasure_recipients, "account_id"), erasure_recipients.c.result == "scheduled"
)
_TRY_AT_ONCE = (
    update(intents)
    .where(given(intents, "account_id"), _OPEN, intents.c.attempts > 1)
    .values(lease_until=database_clock()),
    update(erasures)
    .where(
        erasures.c.tenant_id == bindparam("of_tenant"),
        erasures.c.erasure_id.in_(select(erasure_recipients.c.erasure_id).where(_TOLD)),
        erasures.c.state.in_(("shredded", "certified")),
    )
    .values(lease_until=database_clock()),
    update(erasure_recipients).where(_TOLD).values(next_attempt_at=bindparam("at"), waits_for=None),
)
