"""Tables that have grown, made up by PostgreSQL itself, and how it reads them. Nobody opens such a row."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import md5
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Column, Engine, Integer, LargeBinary, Numeric, Table, event

from rows.clock import UtcDateTime
from rows.engine import reader_of

PREFIXES = {
    "token_id": "tok",
    "customer_id": "cus",
    "charge_id": "chg",
    "refund_id": "rfd",
    "request_id": "rr",
    "hold_id": "hold",
    "event_id": "evt",
    "dispute_id": "dsp",
    "endpoint_id": "whe",
}
Sent = tuple[str, Any]
"""A statement as it went to the driver, and its values."""


def made_id(prefix: str, number: str = "n") -> str:
    """SQL for the id of what has that number: the same wherever it stands."""
    return f"'{prefix}_00' || substr(translate(md5(tenant || ({number})), '0189', 'wxyz'), 1, 26)"


def id_made(prefix: str, tenant: str, number: int) -> str:
    """The id that `made_id` makes."""
    found = md5(f"{tenant}{number}".encode(), usedforsecurity=False).hexdigest()
    return f"{prefix}_00{found.translate(str.maketrans('0189', 'wxyz'))[:26]}"


CUSTOMER, TOKEN = made_id("cus"), made_id("tok")
BUSY = 1
"""The number of a customer of whom there is ever more: every hundredth row of what goes on for as long as they pay."""

EVER_MORE = f"CASE WHEN n % 100 = 0 THEN {BUSY} ELSE n END"
HALF = "n % 2 = 0"
OUTCOME = "CASE WHEN n % 20 < 3 THEN 'failed' ELSE 'succeeded' END"
_ITS_OWN = {
    "tenant_id": "tenant",
    "account_id": "(SELECT min(account_id) FROM processor_accounts WHERE tenant_id = tenant)",
}


def growing(tables: Sequence[tuple[Table, Mapping[str, str]]], tenants: Sequence[str], each: int) -> list[str]:
    """The statements that make so many rows for each tenant, in each of these tables.

    A table comes with the SQL of columns that are not made by their type; `n` is the row's number.
    """
    names = ", ".join(f"'{tenant}'" for tenant in tenants)
    made = ["SET session_replication_role = replica"]  # no foreign key is looked at: rows hang together by number
    for table, given in tables:
        columns = [column for column in table.c if not column.nullable or column.name in given]
        values = ", ".join(given.get(column.name) or _made_up(column) for column in columns)
        into = ", ".join(column.name for column in columns)
        rows = f"unnest(ARRAY[{names}]) AS t(tenant), generate_series(1, {each}) AS s(n)"
        made.append(f"INSERT INTO {table.name} ({into}) SELECT {values} FROM {rows}")  # noqa: S608  # our own words
    return [*made, "ANALYZE"]


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


@contextmanager
def sent_to(records: Engine) -> Iterator[list[Sent]]:
    """The statements that go over either kind of connection, with their values."""
    seen: list[Sent] = []

    def note(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:  # noqa: ANN401  # the driver's
        several = isinstance(values, list) and values and isinstance(values[0], dict)
        seen.append((statement, values[0] if several else values))

    engines = (records, reader_of(records))
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)


def explained(dbapi: Any, statement: str, values: Any, *, generic: bool) -> Mapping[str, Any]:  # noqa: ANN401  # the driver's
    """What EXPLAIN ANALYZE says of a statement, planned for its values, or for any as one that is kept prepared.

    It is carried out, in a transaction that the caller takes back.
    """
    given = values if isinstance(values, Mapping) else {str(place): value for place, value in enumerate(values, 1)}
    names = {name: f"${number}" for number, name in enumerate(given, 1)}
    numbered = re.sub(r"%\((\w+)\)s", lambda named: names[named[1]], statement).replace("%%", "%")
    literals = ", ".join(sql.Literal(value).as_string(dbapi) for value in given.values())
    cursor = psycopg.ClientCursor(dbapi)
    cursor.execute(f"SET LOCAL plan_cache_mode = force_{'generic' if generic else 'custom'}_plan")
    cursor.execute(f"PREPARE looked_at AS {numbered}")
    try:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE looked_at{f'({literals})' if literals else ''}")
        row = cursor.fetchone()
    finally:
        cursor.execute("DEALLOCATE looked_at")
    found = row[0] if row else "[]"
    whole: Mapping[str, Any] = (json.loads(found) if isinstance(found, str) else found)[0]
    return whole
