"""What only who has the records and the audit keys can check: the rows that the log's entries lie in.

Each entry's MAC, the copies of its fields beside it, and that none waits for its place too long.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, func, or_, select, tuple_

from keys.keyring import Keyring
from rows.engine import reading
from vault.audit import is_genuine
from vault.tables import audit_entries, audit_logs
from vault.tlog.verifying import Finding, Told

PAGE = 2000
LONGEST_WAIT = timedelta(minutes=1)
"""The worker gives an entry its place within a second."""

# In one statement with the log's size, which grows meanwhile.
_BEYOND = (
    select(audit_entries.c.lane, audit_entries.c.counter, audit_entries.c.position)
    .outerjoin(audit_logs, audit_logs.c.tenant_id == audit_entries.c.tenant_id)
    .where(
        audit_entries.c.tenant_id == bindparam("of_tenant"),
        or_(audit_entries.c.position < 0, audit_entries.c.position >= func.coalesce(audit_logs.c.size, 0)),
    )
)
_COPIES = {"tenant_id": "tenant", "lane": "lane", "counter": "counter", "action": "action"}
_COPIES |= {"customer_id": "customer", "resource_id": "resource"}


def check(records: Engine, keyring: Keyring, tenant: str, size: int, now: datetime, told: Told) -> Iterator[Finding]:
    """What is wrong with the entries of a tenant: the first `size`, and those without a place."""
    with reading(records) as connection:
        for first in range(0, size, PAGE):
            rows = _placed(connection, tenant, first, min(first + PAGE, size))
            yield from (each for row in rows for each in _row(keyring, row))
            told(len(rows))
        for row in _unplaced(connection, tenant):
            yield from _row(keyring, row)
            if now - row.at > LONGEST_WAIT:
                since = f"{row.at:%Y-%m-%d %H:%M:%S}"
                yield Finding(-1, f"{_named(row)} has had no place since {since}. Does the worker run?")
        for beyond in connection.execute(_BEYOND, {"of_tenant": tenant}):
            yield Finding(-1, f"{_named(beyond)} has the place {beyond.position}, which the log does not have.")


def _placed(connection: Connection, tenant: str, first: int, end: int) -> list[Row[Any]]:
    place = audit_entries.c.position
    mine = select(audit_entries).where(audit_entries.c.tenant_id == tenant, place >= first, place < end)
    return [*connection.execute(mine.order_by(place))]


def _unplaced(connection: Connection, tenant: str) -> Iterator[Row[Any]]:
    key = (audit_entries.c.lane, audit_entries.c.counter)
    mine = select(audit_entries).where(audit_entries.c.tenant_id == tenant, audit_entries.c.position.is_(None))
    page = connection.execute(mine.order_by(*key).limit(PAGE)).all()
    while page:
        yield from page
        page = connection.execute(
            mine.where(tuple_(*key) > (page[-1].lane, page[-1].counter)).order_by(*key).limit(PAGE)
        ).all()


def _row(keyring: Keyring, row: Row[Any]) -> Iterator[Finding]:
    place = -1 if row.position is None else row.position
    if not is_genuine(keyring, row.tenant_id, row.leaf.encode(), row.mac):
        yield Finding(place, f"{_named(row)} is forged: its MAC is none of ours.")
        return
    leaf = json.loads(row.leaf)
    said = {name: leaf[field] for name, field in _COPIES.items()} | {"client_id": leaf["client"] or None}
    if wrong := [name for name, value in said.items() if getattr(row, name) != value]:
        yield Finding(place, f"{_named(row)} has other values in {', '.join(wrong)} than its leaf says.")
    if leaf["at"] != row.at.isoformat(timespec="microseconds"):
        yield Finding(place, f"{_named(row)} has another time than its leaf says.")


def _named(row: Any) -> str:  # noqa: ANN401  # a row with these two columns
    return f"The entry {row.lane} {row.counter}"
