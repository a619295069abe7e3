"""The log's entries for people: the last one first, all of a tenant or those about one customer.

Entries that got their places together, within a fifth of a second, stand lane by lane.
"""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from rows.conditions import together
from rows.engine import reading
from vault.cursors import Page, Wanted
from vault.errors import Invalid
from vault.tables import audit_entries, clients

_LARGEST = 10**18


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry and its place in the log. `leaf` is what is signed for, as an object."""

    position: int
    client_name: str | None
    leaf: dict[str, Any]


_ENTRIES = (
    select(audit_entries.c.position, audit_entries.c.leaf, clients.c.name)
    .outerjoin(clients, together(clients, audit_entries, "client_id"))
    .where(audit_entries.c.position.is_not(None))
    .order_by(audit_entries.c.position.desc())
)


def entries(records: Engine, tenant: str, customer: str | None, wanted: Wanted) -> Page[Entry]:
    """A page of entries. One is listed once it has its place, within a second. Raises Invalid for a bad cursor."""
    mine = _ENTRIES.where(audit_entries.c.tenant_id == tenant)
    if customer is not None:
        mine = mine.where(audit_entries.c.customer_id == customer)
    if wanted.cursor is not None:
        mine = mine.where(audit_entries.c.position < _place(wanted.cursor))
    with reading(records) as connection:
        rows = connection.execute(mine.limit(wanted.limit + 1)).all()
    shown = [Entry(position=row.position, client_name=row.name, leaf=json.loads(row.leaf)) for row in rows]
    more = len(shown) > wanted.limit
    data = shown[: wanted.limit]
    return Page(data=data, next_cursor=str(data[-1].position) if more else None)


def _place(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and int(cursor) < _LARGEST):
        raise Invalid("cursor", "This cursor is not one of ours. Use next_cursor of the page before.")
    return int(cursor)
