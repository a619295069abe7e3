"""Every path at 1,000,000 tokens against 10,000: two houses side by side, paired blocks, time on the wall.

Loading seals nothing: the rows of one customer are copied under new ids. They would not open, and nobody asks for
them: they are there so that indexes and tables are as large as they would be.
"""

import os
import random
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, literal, literal_column, select, text

from bench import databases, stub
from bench.figures import Figure
from bench.house import House, build_house
from bench.paired import run
from bench.paths import Path as Called
from bench.paths import charge_of, paths_of
from keys.keystore import DEKS
from vault.ids import base32
from vault.tables import audit_entries, blind_index, charges, customers, intents, processor_references, tokens

SIZES = (10_000, 1_000_000)
BATCH, ROUNDS, SERIES = 2_000, 20, 10_000
TABLES = (customers, tokens, processor_references, blind_index, charges, intents, audit_entries)
IDS = ("customer_id", "token_id", "owner_id", "charge_id", "intent_id", "resource_id", "lane", "processor_key")
DIGESTS = ("digest", "key_digest", "obligation_digest")

Rows = list[tuple[Table, dict[str, Any]]]


def figures(backend: str, say: Callable[[str], None], sizes: tuple[int, int] = SIZES) -> list[Figure]:
    """Load two houses, then measure them in turns."""
    with (
        stub.running() as processor,
        tempfile.TemporaryDirectory(prefix="panless-bench-", ignore_cleanup_errors=True) as directory,
        databases.opened(backend, Path(directory), 2) as pairs,
    ):
        houses = [
            build_house(Path(directory) / f"house_{number}", *pair, processor.url) for number, pair in enumerate(pairs)
        ]
        for house, size in zip(houses, sizes, strict=True):
            _load(house, size, say)
        small, large = (paths_of(house) for house in houses)
        found = [_compare(backend, pair, sizes, say) for pair in zip(small, large, strict=True)]
        for house in houses:
            house.components.close()
    return found


def _compare(backend: str, pair: tuple[Called, Called], sizes: tuple[int, int], say: Callable[[str], None]) -> Figure:
    small, large = pair
    say(f"{small.name} at {sizes[1]:,} tokens")
    ratios = []
    for number in range(ROUNDS + 1):
        times = {each is large: run(each, each.block).wall for each in random.sample(pair, 2)}
        ratios += [times[True] / times[False]] if number else []  # the first round warms both
    low, _, high = quantiles(ratios, n=4)
    return Figure(
        name=f"{small.name}, {sizes[1]:,} / {sizes[0]:,} tokens",
        on=backend,
        must=1.2,
        reach=1.05,
        measured=median(ratios),
        spread=(low, high),
        note="time on the wall",
    )


def _load(house: House, size: int, say: Callable[[str], None]) -> None:
    """Copy one customer, with its token, charge and key, that many times."""
    token = house.ask(house.tokenize())
    house.ask(charge_of(house, token["id"]))
    records, keystore = house.components.records, house.components.keystore
    rows, dek = _template(records, keystore, token["customer"])
    if records.dialect.name == "postgresql":
        _multiply(keystore, [(DEKS, dek)], size, say)
        _multiply(records, rows, size, say)
    for done in range(0, size if records.dialect.name == "sqlite" else 0, BATCH):
        copies = [_copy(rows, dek) for _ in range(BATCH)]
        _insert(keystore, ((DEKS, key) for _, key in copies))
        _insert(records, (row for copied, _ in copies for row in copied))
        say(f"loading {done + BATCH:,} of {size:,} tokens")
    for engine in (records, keystore):
        with engine.begin() as connection:
            connection.execute(text("ANALYZE"))


def _multiply(engine: Engine, rows: Rows, size: int, say: Callable[[str], None]) -> None:
    """Copies made by PostgreSQL itself: what refers to one another is derived from the same name and number."""
    for done in range(0, size, SERIES):
        with engine.begin() as connection:
            for table, row in rows:
                made = {name: _derived(table.c[name], value) for name, value in row.items()}
                numbers = select(*made.values()).select_from(func.generate_series(done, done + SERIES - 1).alias("n"))
                connection.execute(insert(table).from_select(list(made), numbers))
        say(f"loading {min(done + SERIES, size):,} of {size:,} tokens")


def _derived(column: Any, value: Any) -> Any:  # noqa: ANN401  # a column of any table, its value, an expression
    if column.name in (*DIGESTS, "dek_id") and value is not None:
        name = "dek" if column.name == "dek_id" else column.name + value.hex()
        text_of = "".join(f"|| md5('{name}{part}' || n)" for part in range(len(value) // 16))
        return literal_column(f"decode('' {text_of}, 'hex')")
    if column.name not in IDS or value is None:
        return literal(value, column.type)
    prefix, _, rest = value.rpartition("_")
    if not prefix:
        return literal_column(f"md5('{rest}' || n)")
    return literal_column(f"'{prefix}_{rest[:2]}' || substr(translate(md5('{rest}' || n), '0189', 'wxyz'), 1, 26)")


def _template(records: Engine, keystore: Engine, customer: str) -> tuple[Rows, dict[str, Any]]:
    with records.connect() as connection:
        rows = [
            (table, dict(row))
            for table in TABLES
            for row in _of_customer(connection, table, table.c.customer_id, customer)
        ]
    table = DEKS
    with keystore.connect() as connection:
        (dek,) = _of_customer(connection, table, table.c.subject_id, customer)
    return rows, dict(dek)


def _of_customer(connection: Connection, table: Any, column: Any, customer: str) -> list[Mapping[str, Any]]:  # noqa: ANN401  # Table or FromClause
    return [row._mapping for row in connection.execute(select(table).where(column == customer))]  # noqa: SLF001  # its documented name


def _copy(rows: Rows, dek: dict[str, Any]) -> tuple[Rows, dict[str, Any]]:
    """Rows under new ids; what refers to one another still does."""
    olds = {row[name] for _, row in rows for name in IDS if row.get(name)}
    names = {old: _renamed(old) for old in olds}
    dek_id = os.urandom(16)
    copied = [
        (table, {column: _value(column, value, names, dek_id) for column, value in row.items()}) for table, row in rows
    ]
    return copied, {**dek, "dek_id": dek_id, "subject_id": names[dek["subject_id"]]}


def _renamed(old: str) -> str:
    prefix, _, rest = old.rpartition("_")
    return f"{prefix}_{rest[:2]}{base32(secrets.token_bytes(16))}" if prefix else secrets.token_hex(16)


def _value(column: str, value: Any, names: Mapping[str, str], dek_id: bytes) -> Any:  # noqa: ANN401  # of any column
    if column == "dek_id":
        return dek_id
    if column in DIGESTS and value is not None:
        return os.urandom(len(value))
    return names.get(value, value) if column in IDS else value


def _insert(engine: Engine, rows: Iterator[tuple[Any, dict[str, Any]]]) -> None:
    """One statement for each table, in the order in which they refer to one another."""
    by_table: dict[Any, list[dict[str, Any]]] = {}
    for table, row in rows:
        by_table.setdefault(table, []).append(row)
    with engine.begin() as connection:
        for table, values in by_table.items():
            connection.execute(insert(table), values)
