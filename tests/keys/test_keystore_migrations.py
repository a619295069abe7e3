import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text

from keys.keystore import metadata
from migrations.run import current, head, models, upgrade
from rows.engine import reading, transaction

Databases = Callable[[], Engine]


def schema(engine: Engine) -> dict[str, Any]:
    """Everything the database says about its tables, constraints and indexes included."""
    inspector = inspect(engine)
    found = {}
    for table in sorted(set(inspector.get_table_names()) - {"alembic_version"}):
        by_name: dict[str, list[Any]] = {
            "checks": inspector.get_check_constraints(table),
            "uniques": inspector.get_unique_constraints(table),
            "foreign": inspector.get_foreign_keys(table),
            "indexes": inspector.get_indexes(table),
        }
        found[table] = {kind: sorted(str(one) for one in each) for kind, each in by_name.items()}
        found[table]["columns"] = [str(column) for column in inspector.get_columns(table)]
        found[table]["primary"] = [str(inspector.get_pk_constraint(table))]
    return found


def test_migrations_and_models_agree(new_database: Databases) -> None:
    """A migrated database is what the models say: Alembic finds nothing to do, and all constraints are alike."""
    migrated, made = new_database(), new_database()
    upgrade(migrated, "keystore")
    metadata.create_all(made)
    with reading(migrated) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, models("keystore")) == []
    assert schema(migrated) == schema(made)


def test_a_database_knows_its_revision(new_database: Databases) -> None:
    """None before the first upgrade, the head after it; upgrading again changes nothing."""
    engine = new_database()
    assert current(engine, "keystore") is None
    for _ in range(2):
        upgrade(engine, "keystore")
        assert current(engine, "keystore") == head("keystore")


UPGRADE = """
import sys
from rows.engine import open_database
from migrations.run import upgrade
engine = open_database(sys.argv[1])
sys.stdin.read(1)
upgrade(engine, "keystore")
"""


def test_two_upgrades_at_once(new_database: Databases) -> None:
    """Two programs that start on an empty database at once both end with it migrated."""
    engine = new_database()
    command = [sys.executable, "-c", UPGRADE, engine.url.render_as_string(hide_password=False)]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.stdin
        process.stdin.write(b"!")
        process.stdin.flush()
    assert [process.communicate(timeout=60)[1] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert current(engine, "keystore") == head("keystore")


def test_an_upgrade_is_all_or_nothing(new_database: Databases) -> None:
    """An upgrade that fails in the middle leaves the database as it was."""
    engine = new_database()
    with transaction(engine) as connection:
        connection.execute(text("CREATE TABLE deks (in_the_way INTEGER)"))
    with pytest.raises(Exception, match="deks"):
        upgrade(engine, "keystore")
    assert inspect(engine).get_table_names() == ["deks"]


def test_a_database_of_the_other_tree_is_refused(new_database: Databases) -> None:
    """A revision that the tree does not know, such as that of the records, is an error and changes nothing."""
    engine = new_database()
    upgrade(engine, "keystore")
    with transaction(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001_records'"))
    with pytest.raises(CommandError):
        upgrade(engine, "keystore")
    assert current(engine, "keystore") == "0001_records"
