"""Brings a database to its newest schema, from the program: there is no alembic.ini.

Each tree's env.py takes the connection that is handed to it, so that all of an upgrade is one transaction.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Engine, MetaData, column, event, func, inspect, select, table

from rows.engine import reading, transaction

if TYPE_CHECKING:
    from alembic.config import Config

Tree = Literal["records", "keystore"]

MODELS = {"keystore": ("keys.keystore", "metadata"), "records": ("vault.tables", "metadata")}
"""The module, and its name there, of the schema that each tree follows; imported only when it is asked for."""

VERSIONS = table("alembic_version", column("version_num"))
"""Where Alembic writes down which revision a database has."""

LOCK = 0x70616E6C657373
"""PostgreSQL advisory lock, the bytes of `panless`: two programs that start at once migrate one after the other."""


def upgrade(engine: Engine, tree: Tree) -> None:
    """Apply every revision of `tree` that `engine`'s database lacks, all or none; two programs may do this at once.

    Alembic keeps its state in the module, so one program upgrades one database after the other, not in two threads.
    """
    from alembic import command  # noqa: PLC0415  # a server never upgrades, and Alembic takes 10 MiB of each process

    config = _config(tree)
    with _remaking(engine), transaction(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if engine.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise LookupError("rows of this database point at rows that are not there: restore it, then migrate")


@contextmanager
def _remaking(engine: Engine) -> Iterator[None]:
    """SQLite makes a table anew to change a column, and must not follow the keys that lead to it meanwhile."""
    if engine.dialect.name != "sqlite":
        yield
        return
    event.listen(engine, "checkout", _follow_no_keys)
    try:
        yield
    finally:
        event.remove(engine, "checkout", _follow_no_keys)
        engine.dispose()


def _follow_no_keys(dbapi: Any, *_: object) -> None:  # noqa: ANN401  # the driver's connection
    dbapi.execute("PRAGMA foreign_keys=OFF")  # it has no effect inside a transaction


def current(engine: Engine, tree: Tree) -> str | None:  # noqa: ARG001 - both trees have one version table; callers name the tree as elsewhere
    """The revision that the database has; None before the first."""
    with reading(engine) as connection:
        if not inspect(connection).has_table(VERSIONS.name):
            return None
        found: str | None = connection.scalar(select(VERSIONS.c.version_num))
        return found


def head(tree: Tree) -> str:
    """The newest revision of `tree`: revisions are named as their files, and those are numbered."""
    revisions = sorted(file.stem for file in (Path(__file__).parent / tree / "versions").glob("[0-9]*.py"))
    if not revisions:
        raise LookupError(f"no revisions in {tree}")
    return revisions[-1]


def models(tree: str) -> MetaData:
    """The schema that the tree of this name must arrive at."""
    module, name = MODELS[tree]
    metadata: MetaData = getattr(importlib.import_module(module), name)
    return metadata


def _config(tree: Tree) -> "Config":
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / tree).replace("%", "%%"))
    return config
