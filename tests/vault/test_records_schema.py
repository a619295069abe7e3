from collections.abc import Callable
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, Table, inspect

from migrations.run import current, head, models, upgrade
from rows.engine import reading
from vault.tables import metadata

Databases = Callable[[], Engine]
OF_THE_DEPLOYMENT = {"deployment", "guard", "beats"}
"""The tables that belong to no tenant."""

TABLES = [table for name, table in metadata.tables.items() if name not in OF_THE_DEPLOYMENT]


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
            "columns": inspector.get_columns(table),
        }
        found[table] = {kind: sorted(map(_written, each)) for kind, each in by_name.items()}
        found[table]["primary"] = [str(inspector.get_pk_constraint(table))]
    return found


def _written(found: Any) -> str:
    """As text, a partial index's condition included."""
    return str({name: str(value) if name != "dialect_options" else _written(value) for name, value in found.items()})


def test_the_records_schema_is_what_the_models_say(new_database: Databases) -> None:
    """A migrated database is what the tables say: Alembic finds nothing to do, and all constraints are alike."""
    migrated, made = new_database(), new_database()
    upgrade(migrated, "records")
    metadata.create_all(made)
    with reading(migrated) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, models("records")) == []
    assert schema(migrated) == schema(made)


def test_upgrading_the_records_again_changes_nothing(new_database: Databases) -> None:
    """The second upgrade finds nothing to do and leaves the schema as it is."""
    engine, schemas = new_database(), []
    assert current(engine, "records") is None
    for _ in range(2):
        upgrade(engine, "records")
        assert current(engine, "records") == head("records")
        schemas.append(schema(engine))
    assert schemas[0] == schemas[1]


def test_only_the_deployments_own_tables_have_no_tenant() -> None:
    """A new table without tenant_id is either a mistake or belongs on this list."""
    assert {name for name, table in metadata.tables.items() if "tenant_id" not in table.c} == OF_THE_DEPLOYMENT


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_tenant_leads_every_key(table: Table) -> None:
    """tenant_id is the first column of each primary, foreign and unique key, and of what a foreign key points to."""
    assert next(iter(table.primary_key.columns)).name == "tenant_id"
    for key in table.foreign_key_constraints:
        assert key.column_keys[0] == "tenant_id"
        assert key.elements[0].column.name == "tenant_id"
    for index in table.indexes:
        assert not index.unique or next(iter(index.columns)).name == "tenant_id"
