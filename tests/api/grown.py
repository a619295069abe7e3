"""A deployment whose tables have grown, and how PostgreSQL reads them: which rows each statement looks at."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from api_scene import PREFIXES
from psycopg import sql
from roles import run_as_admin
from sqlalchemy import Column, Engine, Integer, LargeBinary, Numeric, Table, event

from keys.database import reader_of, transaction
from keys.utc import UtcDateTime

EACH = 4_000
"""Rows that each tenant gets more, in each table: several times what PostgreSQL reads through sooner than an index."""

MOST = 600
"""Rows that one statement may look at, of a table that grows: a worker's whole batch of each of a few accounts."""

Sent = tuple[str, Any]
"""A statement as it went to the driver, and its values."""


@dataclass(frozen=True, slots=True)
class Read:
    """How a plan reads one table: how many rows it looked at, and by what."""

    node: str
    table: str
    rows: int


def grow(server: str, tables: Sequence[tuple[Table, Mapping[str, str]]], tenants: Sequence[str]) -> None:
    """Made-up rows in each of these tables, for each tenant: nobody opens them, they are there to be read past.

    A table comes with the SQL of columns that are not made by their type; `n` is the row's number.
    """
    names = ", ".join(f"'{tenant}'" for tenant in tenants)
    statements = []
    for table, given in tables:
        columns = [column for column in table.c if not column.nullable or column.name in given]
        made = ", ".join(given.get(column.name) or _made_up(column) for column in columns)
        into = ", ".join(column.name for column in columns)
        rows = f"unnest(ARRAY[{names}]) AS t(tenant), generate_series(1, {EACH}) AS s(n)"
        statements.append(f"INSERT INTO {table.name} ({into}) SELECT {made} FROM {rows}")  # noqa: S608  # our own words
    quiet = "SET session_replication_role = replica"  # no foreign key is looked at: the rows hang together by number
    run_as_admin(server, quiet, *statements, "ANALYZE")


def _made_up(column: Column[Any]) -> str:
    name = column.name
    if name in _ITS_OWN:
        return _ITS_OWN[name]
    if isinstance(column.type, UtcDateTime):
        return "now() - n * interval '5 minutes'"
    if isinstance(column.type, LargeBinary):
        return f"decode(md5(tenant || '{name}' || n), 'hex')"
    if isinstance(column.type, Integer | Numeric):
        return "0"
    if column.type.python_type is bool:
        return "false"
    return made_id(PREFIXES.get(name, "x")) if name.endswith("_id") else "'x'"


_ITS_OWN = {
    "tenant_id": "tenant",
    "account_id": "(SELECT min(account_id) FROM processor_accounts WHERE tenant_id = tenant)",
}


def made_id(prefix: str) -> str:
    """The id of what has that number: the same wherever it stands."""
    return f"'{prefix}_00' || substr(translate(md5(tenant || n), '0189', 'wxyz'), 1, 26)"


@contextmanager
def sent_to(records: Engine) -> Iterator[list[Sent]]:
    """The statements that go over either kind of connection, with their values."""
    seen: list[Sent] = []

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        several = isinstance(values, list) and values and isinstance(values[0], dict)
        seen.append((statement, values[0] if several else values))

    engines = (records, reader_of(records))
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def reads(records: Engine, sent: Sent, tables: set[str], *, generic: bool) -> list[Read]:
    """How a statement reads these tables: planned for its values, or for any as one that is kept prepared.

    It is carried out, and taken back.
    """
    with transaction(records) as tx:
        dbapi: Any = tx.connection.dbapi_connection
        dbapi.execute(f"SET LOCAL plan_cache_mode = force_{'generic' if generic else 'custom'}_plan")
        dbapi.execute("SET LOCAL jit = off")
        plan = _explained(dbapi, *sent)
        dbapi.execute("ROLLBACK; BEGIN", prepare=False)
    return [each for each in _reads(plan) if each.table in tables]


def _explained(dbapi: Any, statement: str, values: Any) -> Mapping[str, Any]:
    given = values if isinstance(values, Mapping) else {str(place): value for place, value in enumerate(values, 1)}
    names = {name: f"${number}" for number, name in enumerate(given, 1)}
    numbered = re.sub(r"%\((\w+)\)s", lambda named: names[named[1]], statement).replace("%%", "%")
    literals = ", ".join(sql.Literal(value).as_string(dbapi) for value in given.values())
    cursor = psycopg.ClientCursor(dbapi)
    cursor.execute(f"PREPARE looked_at AS {numbered}")
    try:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE looked_at{f'({literals})' if literals else ''}")
        found = cursor.fetchone()[0]
    finally:
        cursor.execute("DEALLOCATE looked_at")
    whole: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return whole


def _reads(node: Mapping[str, Any]) -> Iterator[Read]:
    if "Relation Name" in node:
        passed = sum(node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck"))
        rows = (node["Actual Rows"] + passed) * node["Actual Loops"]
        yield Read(f"{node['Node Type']} {node.get('Index Name', '')}".strip(), node["Relation Name"], int(rows))
    for each in node.get("Plans", ()):
        yield from _reads(each)
