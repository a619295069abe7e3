"""Brings a database to its newest schema, from the program: there is no alembic.ini.

Each tree's env.py takes the connection that is handed to it, so that all of an upgrade is one transaction.
"""

import importlib
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, MetaData, func, select

from keys.database import reading, transaction

Tree = Literal["records", "keystore"]

MODELS = {"keystore": ("keys.keystore", "metadata"), "records": ("vault.tables", "metadata")}
"""The module, and its name there, of the schema that each tree follows; imported only when it is asked for."""

LOCK = 0x70616E6C657373
"""PostgreSQL advisory lock, the bytes of `panless`: two programs that start at once migrate one after the other."""


def upgrade(engine: Engine, tree: Tree) -> None:
    """Apply every revision of `tree` that `engine`'s database lacks, all or none; two programs may do this at once.

    Alembic keeps its state in the module, so one program upgrades one database after the other, not in two threads.
    """
    config = _config(tree)
    with transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def current(engine: Engine, tree: Tree) -> str | None:  # noqa: ARG001 - both trees have one version table; callers name the tree as elsewhere
    """The revision that the database has; None before the first."""
    with reading(engine) as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head(tree: Tree) -> str:
    """The newest revision of `tree`."""
    revision = ScriptDirectory.from_config(_config(tree)).get_current_head()
    if revision is None:
        raise LookupError(f"no revisions in {tree}")
    return revision


def models(tree: str) -> MetaData:
    """The schema that the tree of this name must arrive at."""
    module, name = MODELS[tree]
    metadata: MetaData = getattr(importlib.import_module(module), name)
    return metadata


def _config(tree: Tree) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / tree).replace("%", "%%"))
    return config
