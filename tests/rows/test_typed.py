import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, create_engine, insert, literal, select

import keys
import vault
from rows.engine import reading, transaction
from rows.prepared import Prepared
from rows.typed import all_of, one_of

THINGS = Table("things", MetaData(), Column("id", Integer, primary_key=True), Column("name", String(20)))


@dataclass(frozen=True, slots=True)
class Thing:
    id: int
    name: str | None


@dataclass(frozen=True, slots=True)
class Marked(Thing):
    mark: str


@pytest.fixture
def database(new_database: Callable[[], Engine]) -> Engine:
    engine = new_database()
    THINGS.metadata.create_all(engine)
    with transaction(engine) as tx:
        tx.execute(insert(THINGS), [{"id": 1, "name": "a"}, {"id": 2, "name": None}])
    return engine


def test_rows_are_of_their_class(database: Engine) -> None:
    """In whichever order a statement has its columns, each field has the column of its own name."""
    marked = select(literal("x").label("mark"), THINGS.c.name, THINGS.c.id).order_by(THINGS.c.id)
    found = [Marked(1, "a", "x"), Marked(2, None, "x")]
    with reading(database) as connection:
        assert Prepared(marked, Marked).all(connection, {}) == found
        assert Prepared(marked, Marked).one(connection, {}) == found[0]
        assert all_of(Marked, connection.execute(marked)) == found
        assert one_of(Marked, connection.execute(marked.limit(1))) == found[0]
        assert one_of(Marked, connection.execute(marked.where(THINGS.c.id == 3))) is None


def test_a_class_of_other_columns_is_refused(database: Engine) -> None:
    """What is read would not be what its type says."""
    with reading(database) as connection:
        with pytest.raises(TypeError, match="mark"):
            Prepared(select(THINGS), Marked).all(connection, {})
        with pytest.raises(TypeError, match="name"):
            all_of(Thing, connection.execute(select(THINGS.c.id)))


def _statements() -> Iterator[tuple[str, Prepared[object]]]:
    for package in (keys, vault):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.startswith(("keys.providers", "vault.stores", "vault.processors")):
                continue
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, Prepared):
                    yield f"{module.name}.{name}", value


def test_every_statement_fits_its_class() -> None:
    """Each prepared statement of the house takes its form in both dialects, and reads what its class says."""
    statements = dict(_statements())
    assert len(statements) > 30
    for url in ("sqlite://", "postgresql+psycopg://"):
        dialect = create_engine(url).dialect
        for statement in statements.values():
            statement.form(dialect)
