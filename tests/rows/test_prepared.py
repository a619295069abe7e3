from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    event,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from rows.clock import UtcDateTime
from rows.engine import reading, transaction
from rows.prepared import Prepared

THINGS = Table(
    "things",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("name", String(20)),
    Column("raw", LargeBinary),
    Column("good", Boolean),
    Column("at", UtcDateTime),
)
ROW = {"id": 1, "name": "a", "raw": b"\0\xff", "good": True, "at": datetime(2026, 7, 1, 12, 30, tzinfo=UTC)}
ADD = Prepared(insert(THINGS).values({column: bindparam(column.name) for column in THINGS.c}))
ONE = Prepared(select(THINGS).where(THINGS.c.id == bindparam("which")))


@pytest.fixture
def database(new_database: Callable[[], Engine]) -> Engine:
    engine = new_database()
    THINGS.metadata.create_all(engine)
    return engine


def test_it_reads_and_writes_as_sqlalchemy_does(database: Engine) -> None:
    """Values of each type come back as they went in, and as SQLAlchemy itself reads them; null stays null."""
    empty = dict.fromkeys(ROW) | {"id": 2}
    with transaction(database) as tx:
        assert [ADD.change(tx, row) for row in (ROW, empty)] == [1, 1]
    with reading(database) as connection:
        for row in (ROW, empty):
            ours = ONE.one(connection, {"which": row["id"]})
            theirs = connection.execute(select(THINGS).where(THINGS.c.id == row["id"])).one()
            assert ours._asdict() == theirs._asdict() == row
        assert ONE.one_or_none(connection, {"which": 3}) is None
        assert ONE.scalar(connection, {"which": 2}) == 2
        with pytest.raises(LookupError):
            ONE.one(connection, {"which": 3})


def test_constants_are_kept(database: Engine) -> None:
    """What a statement says itself, lists too, needs no value when it runs."""
    mark = Prepared(update(THINGS).where(THINGS.c.name.in_(("a", "b")), THINGS.c.good.is_(True)).values(name="c"))
    with transaction(database) as tx:
        ADD.change(tx, ROW)
        ADD.change(tx, ROW | {"id": 2, "name": "z"})
        assert mark.change(tx, {}) == 1
    with reading(database) as connection:
        assert [row.name for row in Prepared(select(THINGS).order_by(THINGS.c.id)).all(connection, {})] == ["c", "z"]


def test_errors_are_sqlalchemys_and_show_no_value(database: Engine) -> None:
    """A conflict is an IntegrityError without parameters, and the transaction is taken back."""
    with pytest.raises(IntegrityError) as caught:
        _add(database, ROW, ROW | {"name": "canary-name"})
    assert "canary-name" not in str(caught.value.args)
    with reading(database) as connection:
        assert ONE.one_or_none(connection, {"which": 1}) is None


def _add(database: Engine, *given: dict[str, object]) -> None:
    with transaction(database) as tx:
        for row in given:
            ADD.change(tx, row)


@pytest.mark.parametrize("new_database", ["postgresql"], indirect=True)
def test_a_connection_that_is_gone_leaves_the_pool(database: Engine) -> None:
    """After the server has closed it, the error says so and the next statement gets another."""
    with reading(database) as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with transaction(database) as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(DBAPIError) as caught:
            ONE.one_or_none(connection, {"which": 1})
    assert caught.value.connection_invalidated
    with reading(database) as connection:
        assert ONE.one_or_none(connection, {"which": 1}) is None


def test_who_listens_sees_it(database: Engine) -> None:
    """SQLAlchemy's events fire for these statements too: budgets are counted by them."""
    seen: list[str] = []
    event.listen(database, "before_cursor_execute", lambda *told: seen.append(told[2]))
    event.listen(database, "after_cursor_execute", lambda *told: seen.append(told[2]))
    with transaction(database) as tx:
        ADD.change(tx, ROW)
    assert [statement.split()[0] for statement in seen if "things" in statement] == ["INSERT", "INSERT"]


def test_many_parameters_and_percent_signs(database: Engine) -> None:
    """A statement of more parameters than the PostgreSQL driver would remember, with a literal that looks like one."""
    names = [f"value{number}" for number in range(60)]
    odd = literal_column("'100 %s $1'").label("odd")
    many = Prepared(select(*(bindparam(name, type_=Integer).label(name) for name in names), odd))
    with reading(database) as connection:
        row = many.one(connection, {name: number for number, name in enumerate(names)})
    assert [*row] == [*range(60), "100 %s $1"]
