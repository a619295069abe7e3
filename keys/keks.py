"""The epochs of KEKs: a new one takes over, `keys.rewrapping` empties the old one, and then it is destroyed.

    active -> retired -> destroyed

Only `destroyed` loses the wraps, and with them the key. It comes when no DEK has hung on the KEK for as long as backups
of the keystore are kept: until then such a backup holds DEKs that nothing else opens.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from keys.dek import ID_BYTES
from keys.errors import KeyMissing
from keys.keyring import Keyring
from keys.keystore import DEKS, KEK_WRAPS, KEKS
from keys.rootkey import RootKey
from keys.wrapping import kek_place, wraps_by
from rows.engine import reading, transaction

AT_LEAST = timedelta(days=1)
"""How long an empty KEK stays even where no backups are kept: longer than anybody keeps a wrapped row in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KekStatus:
    """One KEK: which root keys open it, and how many DEKs hang on it, `live` ones and tombstones (`destroyed`)."""

    tenant_id: str
    kek_id: bytes
    epoch: int
    state: str
    created_at: datetime
    retired_at: datetime | None
    emptied_at: datetime | None
    destroyed_at: datetime | None
    roots: tuple[str, ...]
    live: int
    destroyed: int

    def destroyed_from(self, backups: timedelta) -> datetime | None:
        """When it may be destroyed, with backups kept that long; None while a DEK hangs on it, or once it is gone."""
        return self.emptied_at + max(backups, AT_LEAST) if self.state == "retired" and self.emptied_at else None


def rotate(ring: Keyring, tenant_id: str, roots: Sequence[RootKey] = ()) -> bytes | None:
    """Make the tenant's next KEK, for every new DEK from now on; its id, None if another process was first.

    It is wrapped by each of `roots`, by every root key of the ring if none are named. Raises KeyMissing if the tenant
    has no KEK yet, RootKeyAway, RootKeyDenied.
    """
    kek_id, epoch = os.urandom(ID_BYTES), _newest_epoch(ring, tenant_id) + 1
    kek = AESGCM.generate_key(256)
    wraps = wraps_by(roots or ring.roots, kek, kek_place(ring.deployment, tenant_id, kek_id, epoch))
    row, now = {"tenant_id": tenant_id, "kek_id": kek_id}, ring.now()
    older = (KEKS.c.tenant_id == tenant_id) & (KEKS.c.state == "active") & (KEKS.c.epoch < epoch)
    try:
        with transaction(ring.keystore) as tx:
            tx.execute(insert(KEKS), row | {"epoch": epoch, "state": "active", "created_at": now})
            tx.execute(insert(KEK_WRAPS), [row | wrap for wrap in wraps])
            tx.execute(update(KEKS).where(older).values(state="retired", retired_at=now))
    except IntegrityError:  # this epoch is there already
        return None
    return kek_id


def due(ring: Keyring, before: datetime) -> list[str]:
    """The tenants whose newest KEK was made before that moment."""
    newest = select(KEKS.c.tenant_id).where(KEKS.c.state == "active").group_by(KEKS.c.tenant_id)
    with reading(ring.keystore) as connection:
        return [*connection.scalars(newest.having(func.max(KEKS.c.created_at) < before).order_by(KEKS.c.tenant_id))]


def tenants(ring: Keyring) -> list[str]:
    """Everybody who has keys here: each tenant, and the deployment itself."""
    with reading(ring.keystore) as connection:
        return [*connection.scalars(select(KEKS.c.tenant_id).distinct().order_by(KEKS.c.tenant_id))]


def to_empty(ring: Keyring) -> list[Row[str, bytes]]:
    """The KEKs (tenant_id, kek_id) that were retired and are not known to be empty."""
    statement = select(KEKS.c.tenant_id, KEKS.c.kek_id).where(KEKS.c.state == "retired", KEKS.c.emptied_at.is_(None))
    with reading(ring.keystore) as connection:
        return [*connection.execute(statement.order_by(KEKS.c.tenant_id, KEKS.c.epoch))]


def note_empty(ring: Keyring, tenant_id: str, kek_id: bytes) -> bool:
    """Write down that no living DEK hangs on a retired KEK, if that is so; whether it is."""
    this = _this(tenant_id, kek_id, "retired")
    with transaction(ring.keystore) as tx:
        if _in_use(tx, tenant_id, kek_id):
            return False
        tx.execute(update(KEKS).where(this, KEKS.c.emptied_at.is_(None)).values(emptied_at=ring.now()))
    return True


def to_destroy(ring: Keyring, backups: timedelta) -> list[Row[str, bytes]]:
    """The KEKs (tenant_id, kek_id) that were empty for as long as the keystore's backups are kept."""
    until = ring.now() - max(backups, AT_LEAST)
    statement = select(KEKS.c.tenant_id, KEKS.c.kek_id).where(KEKS.c.state == "retired", KEKS.c.emptied_at <= until)
    with reading(ring.keystore) as connection:
        return [*connection.execute(statement)]


def destroy(ring: Keyring, tenant_id: str, kek_id: bytes) -> bool:
    """Delete every wrap of a retired KEK. One that has a DEK after all stays, and is to be emptied again: False."""
    this = _this(tenant_id, kek_id, "retired")
    with transaction(ring.keystore) as tx:
        # Locked for update: a DEK that is about to be written under it waits for this, or this for it.
        if tx.execute(select(KEKS.c.epoch).where(this).with_for_update()).first() is None:
            return False
        if _in_use(tx, tenant_id, kek_id):
            tx.execute(update(KEKS).where(this).values(emptied_at=None))
            return False
        tx.execute(delete(KEK_WRAPS).where(KEK_WRAPS.c.tenant_id == tenant_id, KEK_WRAPS.c.kek_id == kek_id))
        tx.execute(update(KEKS).where(this).values(state="destroyed", destroyed_at=ring.now()))
    return True


def status(ring: Keyring) -> list[KekStatus]:
    """Every KEK of every tenant with its root keys and the number of its DEKs, by tenant and epoch."""
    columns = [column for column in KEKS.c if column.name in KekStatus.__slots__]
    counts = (func.count(DEKS.c.wrapped).label("live"), func.count(DEKS.c.destroyed_at).label("destroyed"))
    statement = select(*columns, *counts).outerjoin_from(KEKS, DEKS).group_by(*columns)
    wraps = select(KEK_WRAPS.c.tenant_id, KEK_WRAPS.c.kek_id, KEK_WRAPS.c.provider, KEK_WRAPS.c.root_key_id)
    with reading(ring.keystore) as connection:
        roots = _named(connection.execute(wraps.order_by(KEK_WRAPS.c.provider, KEK_WRAPS.c.root_key_id)))
        rows = connection.execute(statement.order_by(KEKS.c.tenant_id, KEKS.c.epoch)).mappings()
        return [KekStatus(**row, roots=tuple(roots.get((row["tenant_id"], row["kek_id"]), ()))) for row in rows]


def _named(wraps: Iterable[Row[str, bytes, str, str]]) -> dict[tuple[str, bytes], list[str]]:
    named: dict[tuple[str, bytes], list[str]] = {}
    for row in wraps:
        named.setdefault((row.tenant_id, row.kek_id), []).append(f"{row.provider}:{row.root_key_id}")
    return named


def _newest_epoch(ring: Keyring, tenant_id: str) -> int:
    with reading(ring.keystore) as connection:
        epoch = connection.scalar(select(func.max(KEKS.c.epoch)).where(KEKS.c.tenant_id == tenant_id))
    if epoch is None:
        raise KeyMissing(f"tenant {tenant_id} has no KEK")
    return int(epoch)


def _this(tenant_id: str, kek_id: bytes, state: str) -> ColumnElement[bool]:
    return (KEKS.c.tenant_id == tenant_id) & (KEKS.c.kek_id == kek_id) & (KEKS.c.state == state)


def _in_use(connection: Connection, tenant_id: str, kek_id: bytes) -> bool:
    of_it = (DEKS.c.tenant_id == tenant_id) & (DEKS.c.kek_id == kek_id) & DEKS.c.wrapped.is_not(None)
    return bool(connection.scalar(select(exists().where(of_it))))
