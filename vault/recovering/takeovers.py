"""Takeovers: the records lie in another database than before, by a failover or a restore, and may have lost commits.

The row `heartbeat` says which database it is and when it was alive for certain. Where that row names another database
than the one it is read from, whatever was committed after that time may be gone: each processor account is then
*behind*, from that time on, until the worker has looked through what the processor has (`catching_up`). Nothing is sent
to a processor meanwhile.

A PostgreSQL that was started again in place has lost nothing, so one look is enough. After a promotion (another
timeline), a restore (another table) or a new server, calls may still be under way whose intents are gone: then looks go
on for as long as a call may take. A SQLite file is put back while Panless is stopped: one look. One that was copied
over the file before looks the same as it: for that there is a command.
"""

from datetime import timedelta

from sqlalchemy import Connection, Engine, and_, case, func, insert, literal, or_, select, text, update

from keys.database import reading, transaction
from vault import audit
from vault.columns import database_clock
from vault.ledger.watermarks import identity
from vault.processing.intents import LEASE_SECONDS
from vault.tables import heartbeat
from vault.tables import processor_accounts as accounts
from vault.workshop import Workshop, caller_of

BEAT_SECONDS = 5
MARGIN = timedelta(seconds=60)
"""How far clocks of servers, databases and processors may be apart."""


def found(tx: Connection) -> None:
    """The first row of new records."""
    here = {"instance": identity(tx).instance, "history": _history(tx)}
    tx.execute(insert(heartbeat).values(id=1, at=database_clock(), **here))


def beat(records: Engine) -> None:
    """Say that this database is alive, every few seconds."""
    with reading(records) as connection:
        alive = and_(
            heartbeat.c.instance == identity(connection).instance, heartbeat.c.at < database_clock(-BEAT_SECONDS)
        )
        is_due = connection.scalar(select(heartbeat.c.id).where(alive))
    if is_due:
        with transaction(records) as tx:
            tx.execute(update(heartbeat).where(alive).values(at=database_clock()))


def silence(records: Engine) -> timedelta:
    """How long ago the worker last said so, by the database's clock."""
    with reading(records) as connection:
        row = connection.execute(select(database_clock().label("now"), heartbeat.c.at)).one()
    silent: timedelta = row.now - row.at
    return silent


def notice(records: Engine) -> bool:
    """Set every account behind if the records lie in another database than before; whether they do."""
    with reading(records) as connection:
        if connection.scalar(_KNOWN) == identity(connection).instance:
            return False
    with transaction(records) as tx:
        before = tx.execute(select(heartbeat).with_for_update()).one()
        instance, history = identity(tx).instance, _history(tx)
        if before.instance == instance:
            return False
        in_place = before.history == history and _table_of(before.instance) == _table_of(instance)
        of_a_file = history == ""  # put back while nothing ran: no call is under way
        _set_behind(tx, 0 if in_place or of_a_file else LEASE_SECONDS)
        tx.execute(update(heartbeat).values(instance=instance, history=history, at=database_clock()))
    return True


def doubt(shop: Workshop) -> None:
    """Look through everything since the last heartbeat, whatever database this seems to be; on the record."""
    caller = caller_of(shop, shop.keyring.deployment, live=True)
    with audit.transaction(shop.records) as tx:
        _set_behind(tx, 0)
        audit.record(tx, shop.keyring, caller, "processors.catch_up")


def _set_behind(tx: Connection, settling: int) -> None:
    """Who is behind already stays so from when it was."""
    at = tx.execute(select(heartbeat.c.at)).scalar_one() - MARGIN
    since = literal(at, accounts.c.look_from.type)
    earlier = or_(accounts.c.look_from.is_(None), accounts.c.look_from > since)
    behind = {
        "look_from": case((earlier, since), else_=accounts.c.look_from),
        "settled_at": database_clock(settling),
        "look_at": database_clock(),
    }
    tx.execute(update(accounts).where(accounts.c.deleted_at.is_(None)).values(behind))


def _table_of(instance: str) -> str:
    """The part of an identity that says which table the guard's row lies in; all of it for a file."""
    return instance.rpartition("/")[2]


def _history(connection: Connection) -> str:
    """Which server and timeline; nothing for a file, which has none."""
    if connection.dialect.name == "sqlite":
        return ""
    return str(connection.scalar(_HISTORY))


_KNOWN = select(heartbeat.c.instance)
_HISTORY = select(
    func.concat_ws(
        "/",
        text("(SELECT system_identifier FROM pg_control_system())"),
        text("left(pg_walfile_name(pg_current_wal_lsn()), 8)"),
    )
)
