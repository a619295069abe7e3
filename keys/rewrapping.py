"""Rewrapping: DEKs move from a retired KEK to the tenant's newest one, in batches; nothing sealed is touched.

A batch is a transaction, so whatever is killed in the middle of one has moved all of it or nothing, and going on is
starting again. On PostgreSQL a batch takes rows that nobody else has locked: several processes share the work, and no
row is done twice. On SQLite there is one writer at a time anyway.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import ARRAY, Connection, LargeBinary, Row, Text, bindparam, cast, func, literal, select, update

from keys.errors import Unreadable
from keys.keyring import Keyring
from keys.keystore import DEKS
from keys.wrapping import dek_place, unwrap_dek, wrap_dek
from rows.engine import is_sqlite, transaction

_Dek = Row[bytes, str, str, bytes]
"""dek_id, purpose, subject_id, wrapped."""

BATCH, BATCH_ALONE = 1000, 300
"""DEKs in a transaction; in one of a database with one writer fewer, so that who waits to write does not notice."""

WALKS = 2
"""How many threads share the work where several may write: while one waits for the database, the other wraps."""


def rewrap(ring: Keyring, tenant_id: str, kek_id: bytes, told: Callable[[int], object] = lambda _moved: None) -> int:
    """Move every living DEK off a KEK; how many. `told` is called after each batch with how many that one moved.

    DEKs that another process has in hand are left to it. One that does not open stays where it is, and is told by
    Unreadable once all others are moved. Raises KeyMissing, RootKeyAway, RootKeyDenied.
    """
    newest, alone = ring.keks.newest(tenant_id), Lock()

    def walk() -> int:
        total, after, unreadable = 0, b"", False
        while (batch := _batch(ring, tenant_id, kek_id, newest, after)) is not None:
            total, after, unreadable = total + batch.moved, batch.last, unreadable or batch.left > 0
            with alone:
                told(batch.moved)
        if unreadable:
            raise Unreadable
        return total

    threads = 1 if is_sqlite(ring.keystore) else WALKS
    with ThreadPoolExecutor(threads) as pool:
        walks = [pool.submit(walk) for _ in range(threads)]
    return sum(each.result() for each in walks)


@dataclass(frozen=True, slots=True)
class _Batch:
    moved: int
    left: int
    last: bytes


def _batch(ring: Keyring, tenant_id: str, old: bytes, new: bytes, after: bytes) -> _Batch | None:
    """Move the next DEKs after that id; None if there are no more."""
    keks = (
        ring.keks.kek(tenant_id, old),
        ring.keks.kek(tenant_id, new),
    )  # before rows are locked: this may ask a root key
    with transaction(ring.keystore) as tx:
        if not is_sqlite(tx):
            tx.execute(_WHATEVER_THE_STATISTICS_SAY)
        named = {"tenant_id": tenant_id, "kek_id": old, "after": after, "most": BATCH_ALONE if is_sqlite(tx) else BATCH}
        rows = tx.execute(_NEXT, named).all()
        if not rows:
            return None
        wraps = [(row.dek_id, wrap) for row in rows if (wrap := _moved(ring.deployment, tenant_id, row, *keks))]
        if wraps:
            _write(tx, tenant_id, new, wraps)
    return _Batch(moved=len(wraps), left=len(rows) - len(wraps), last=rows[-1].dek_id)


def _moved(deployment: str, tenant_id: str, row: _Dek, old: AESGCM, new: AESGCM) -> bytes | None:
    """The DEK of this row, wrapped by the new KEK; None if it does not open with the old one."""
    place = dek_place(deployment, tenant_id, row.dek_id, row.purpose, row.subject_id)
    try:
        return wrap_dek(new, unwrap_dek(old, row.dek_id, row.wrapped, place), place)
    except Unreadable:
        return None


def _write(tx: Connection, tenant_id: str, kek_id: bytes, wraps: Sequence[tuple[bytes, bytes]]) -> None:
    common = {"of_tenant": tenant_id, "new_kek": kek_id}
    if not is_sqlite(tx):  # one statement for all: a statement each would take most of the time
        ids, wrapped = zip(*wraps, strict=True)
        between = {"first": ids[0], "last": ids[-1]}
        tx.execute(_WRITE_ALL, common | between | {"ids": _array(ids), "wraps": _array(wrapped)})
    else:
        tx.execute(_WRITE, [common | {"of_dek": dek_id, "wrap": wrap} for dek_id, wrap in wraps])


def _array(values: Iterable[bytes]) -> str:
    """A bytea[] as PostgreSQL reads it: the driver takes ten times as long to write one."""
    return "{" + ",".join(f'"\\\\x{value.hex()}"' for value in values) + "}"


# They may not know the tenant yet, and then PostgreSQL takes it to have one DEK: a sort would read all of them for each
# batch, a nested loop look through a batch for each. Left are the primary key in its order, and a hash of the batch.
_WHATEVER_THE_STATISTICS_SAY = select(
    *(
        func.set_config(f"enable_{plan}", "off", literal(value=True))  # for this transaction only
        for plan in ("bitmapscan", "seqscan", "sort", "mergejoin", "nestloop")
    )
)
_NEXT = (
    select(DEKS.c.dek_id, DEKS.c.purpose, DEKS.c.subject_id, DEKS.c.wrapped)
    .where(
        DEKS.c.tenant_id == bindparam("tenant_id"),
        DEKS.c.kek_id == bindparam("kek_id"),
        DEKS.c.dek_id > bindparam("after"),
        DEKS.c.wrapped.is_not(None),
    )
    .order_by(DEKS.c.dek_id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_WRITE = (
    update(DEKS)
    .where(DEKS.c.tenant_id == bindparam("of_tenant"), DEKS.c.dek_id == bindparam("of_dek"))
    .values(kek_id=bindparam("new_kek"), wrapped=bindparam("wrap"))
)
_BYTES = ARRAY(LargeBinary)
_NEW = (
    func.unnest(cast(bindparam("ids", type_=Text), _BYTES), cast(bindparam("wraps", type_=Text), _BYTES))
    .table_valued("dek_id", "wrapped", name="new")
    .render_derived()
)
_WRITE_ALL = (
    update(DEKS)
    .where(
        DEKS.c.tenant_id == bindparam("of_tenant"),
        DEKS.c.dek_id.between(bindparam("first"), bindparam("last")),
        DEKS.c.dek_id == _NEW.c.dek_id,
    )
    .values(kek_id=bindparam("new_kek"), wrapped=_NEW.c.wrapped)
)
