"""How far the records have followed the ledger, and which records these are: one row of theirs."""

from sqlalchemy import Connection, select

from keys.identity import Identity, identified, identity_of
from keys.keystore import Watermark
from rows.changes import Change, updated, write
from rows.prepared import Prepared
from vault.tables import guard


def watermark(connection: Connection) -> Watermark:
    """How far the records have followed the ledger."""
    row = _WATERMARK.one(connection, {})
    return Watermark(row.seq, row.hash)


def identity(connection: Connection) -> Identity:
    """Which records these are."""
    return identified(connection, _IDENTITY.one(connection, {}).identity)


def move_watermark(tx: Connection, old: Watermark, new: Watermark) -> bool:
    """Move the records' watermark, unless another process moved it first; whether it was moved."""
    return write(tx, watermark_moved(old, new))[0]


def watermark_moved(old: Watermark, new: Watermark) -> Change:
    """That the records' watermark moves, to be written together with what it stands for."""
    return updated(guard, {"seq": old.seq, "hash": old.hash}, {"seq": new.seq, "hash": new.hash})


_WATERMARK = Prepared(select(guard.c.seq, guard.c.hash))
_IDENTITY = Prepared(select(identity_of(guard).label("identity")))
