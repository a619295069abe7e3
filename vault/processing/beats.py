"""On which instances of their database these records were, and when they were alive there for certain.

Only the worker writes that down, every few seconds, and on SQLite each program that starts. What was committed after an
instance's last beat may be lost once the records lie in another one (see `doubt`).
"""

import secrets
from datetime import timedelta

from sqlalchemy import Connection, Engine, case, delete, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql

from rows.clock import database_clock
from rows.engine import is_sqlite, reading, transaction
from rows.instances import instance
from vault.tables import beats
from vault.tables import processor_accounts as accounts

BEAT_SECONDS = 5


def found(tx: Connection) -> None:
    """The first beat of new records."""
    _begin(tx)


def begin(records: Engine) -> None:
    """Have this start of Panless be an instance of its own on SQLite, whose file may have been put back before it.

    On PostgreSQL the server's start says so by itself, and nothing is written.
    """
    if is_sqlite(records):
        with transaction(records) as tx:
            _begin(tx)


def beat(records: Engine) -> None:
    """Say that these records are alive on this instance, every few seconds."""
    with reading(records) as connection:
        is_alive = connection.scalar(_ALIVE)
    if is_alive:
        return
    with transaction(records) as tx:
        if not is_sqlite(records):
            tx.execute(_BEAT)
        elif tx.execute(update(beats).where(beats.c.instance == instance()).values(at=database_clock())).rowcount == 0:
            _begin(tx)  # a file that was copied over: what it knows is older than what this process has seen


def silence(records: Engine) -> timedelta:
    """How long ago the worker last said so, by the database's clock; a day where it never did here."""
    latest = select(func.max(beats.c.at)).where(beats.c.instance == instance()).scalar_subquery()
    with reading(records) as connection:
        row = connection.execute(select(database_clock().label("now"), latest.label("at"))).one()
    return row.now - row.at if row.at else timedelta(days=1)


def forget_old(tx: Connection) -> None:
    """Delete the beats of instances that no account was last known on, but for this one's."""
    named = select(accounts.c.known_on).where(accounts.c.known_on.is_not(None))
    tx.execute(delete(beats).where(beats.c.instance.not_in(named), beats.c.instance != instance()))


def _begin(tx: Connection) -> None:
    here = literal(secrets.token_hex(8)) if is_sqlite(tx) else instance()
    tx.execute(insert(beats).values(instance=here, since=database_clock(), at=database_clock()))


_ALIVE = select(func.max(case((beats.c.at > database_clock(-BEAT_SECONDS), 1), else_=0))).where(
    beats.c.instance == instance()
)
_BEAT = (
    postgresql.insert(beats)
    .values(instance=instance(), since=database_clock(), at=database_clock())
    .on_conflict_do_update(index_elements=[beats.c.instance], set_={"at": database_clock()})
)
