"""Which rows of a table that has grown a statement looks at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from bench.grown import Sent, explained
from rows.engine import transaction

EACH = 4_000
"""Rows that each tenant gets more, in each table: several times what PostgreSQL reads through sooner than an index."""

MOST = 600
"""Rows that one statement may look at, of a table that grows: a worker's whole batch of each of a few accounts."""


@dataclass(frozen=True, slots=True)
class Read:
    """How a plan reads one table: how many rows it looked at, and by what."""

    node: str
    table: str
    rows: int


def reads(records: Engine, sent: Sent, tables: set[str], *, generic: bool) -> list[Read]:
    """How a statement reads these tables: planned for its values, or for any as one that is kept prepared."""
    with transaction(records) as tx:
        plan = explained(tx.connection.dbapi_connection, *sent, generic=generic)["Plan"]
        tx.rollback()
    return [each for each in _reads(plan) if each.table in tables]


def _reads(node: Mapping[str, Any]) -> Iterator[Read]:
    if "Relation Name" in node:
        passed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        rows = (node["Actual Rows"] + passed) * node["Actual Loops"]
        yield Read(f"{node['Node Type']} {node.get('Index Name', '')}".strip(), node["Relation Name"], int(rows))
    for each in node.get("Plans", ()):
        yield from _reads(each)
