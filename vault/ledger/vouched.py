"""Which two databases the ledger vouched for last, kept in both: what a process goes by that starts without the ledger.

Both have to say the same of both: a database that was put back alone says something older than the other one does, and
one that was put back together with it is another instance, or has another writer of its guard's row. And a process that
was given another ledger, by mistake or not, is vouched for by none.
"""

import json

from sqlalchemy import Connection, Engine, Table, select, update

from keys.identity import Identity
from keys.keystore import DEPLOYMENT, Watermark
from rows.engine import reading, transaction
from vault.ledger.protocol import Seen
from vault.tables import deployment


def keep(records: Engine, keystore: Engine, place: str, seen: Seen | None) -> None:
    """Write what the ledger of that place vouches for, or that it does not, into both where it does not stand yet."""
    told = json.dumps([place, _told(seen.records), _told(seen.keystore)]) if seen else None
    for engine, table in ((records, deployment), (keystore, DEPLOYMENT)):
        with reading(engine) as connection:
            stands = _read(connection, table) == told
        if not stands:
            with transaction(engine) as tx:
                tx.execute(update(table).values(vouched=told))


def kept(records: Engine, keystore: Engine, place: str) -> Seen | None:
    """What both databases say of the ledger of that place; None where they do not say the same, or nothing of it."""
    with reading(records) as connection:
        ours = _read(connection, deployment)
    with reading(keystore) as connection:
        theirs = _read(connection, DEPLOYMENT)
    if ours is None or ours != theirs:
        return None
    of_place, *both = json.loads(ours)
    return Seen(*(_understood(*each) for each in both)) if of_place == place else None


def _read(connection: Connection, table: Table) -> str | None:
    told: str | None = connection.scalar(select(table.c.vouched))
    return told


def _told(identity: Identity) -> tuple[str, str, int, str]:
    return identity.instance, identity.writer, identity.mark.seq, identity.mark.hash.hex()


def _understood(instance: str, writer: str, seq: int, digest: str) -> Identity:
    return Identity(instance, writer, Watermark(seq, bytes.fromhex(digest)))
