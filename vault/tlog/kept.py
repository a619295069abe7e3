"""The log as it is kept in the records: its row, its tiles, its entries, read as C2SP's paths name them."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from rows.conditions import given
from vault.tables import audit_entries, audit_logs, audit_tiles
from vault.tlog.merkle import HASH_BYTES, TILE_WIDTH, Tile
from vault.tlog.paths import bundle

_THIS = given(audit_tiles, "level", "number")
_NEW = insert(audit_tiles)
_GROWN = update(audit_tiles).where(_THIS).values(hashes=bindparam("all_of_it"))
_TILE = select(audit_tiles.c.hashes).where(_THIS)
_ENTRIES = (
    select(audit_entries.c.leaf)
    .where(
        audit_entries.c.tenant_id == bindparam("of_tenant"),
        audit_entries.c.position >= bindparam("first"),
        audit_entries.c.position < bindparam("end"),
    )
    .order_by(audit_entries.c.position)
)


def log_of(connection: Connection, tenant: str) -> Row[Any] | None:
    """The log's row; None before its first entry has a place."""
    return connection.execute(select(audit_logs).where(audit_logs.c.tenant_id == tenant)).one_or_none()


def tile(connection: Connection, tenant: str, level: int, number: int, width: int = TILE_WIDTH) -> bytes:
    """At most `width` hashes of a tile; fewer, or none, where it has not so many."""
    of = {"of_tenant": tenant, "of_level": level, "of_number": number}
    hashes: bytes = connection.execute(_TILE, of).scalar_one_or_none() or b""
    return hashes[: width * HASH_BYTES]


def leaves(connection: Connection, tenant: str, first: int, end: int) -> list[bytes]:
    """The entries from place `first` on, up to before `end`."""
    of = {"of_tenant": tenant, "first": first, "end": end}
    return [leaf.encode() for leaf in connection.scalars(_ENTRIES, of)]


def entry_bundle(connection: Connection, tenant: str, number: int, width: int = TILE_WIDTH) -> bytes:
    """The bundle of that number, with at most `width` entries."""
    first = number * TILE_WIDTH
    return bundle(leaves(connection, tenant, first, first + width))


def keep_tiles(tx: Connection, tenant: str, size: int, tiles: Iterable[Tile]) -> None:
    """Write the tiles of a log that has grown from `size`: those that were partial then grow in place."""
    for one in tiles:
        was_partial = (size >> 8 * one.level) % TILE_WIDTH > 0 and one.number == size >> 8 * (one.level + 1)
        if was_partial:
            of = {"of_tenant": tenant, "of_level": one.level, "of_number": one.number}
            tx.execute(_GROWN, of | {"all_of_it": one.hashes})
        else:
            tx.execute(_NEW, {"tenant_id": tenant, "level": one.level, "number": one.number, "hashes": one.hashes})
