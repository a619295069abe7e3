"""The keystore: KEKs wrapped by root keys, DEKs wrapped by KEKs, and how far the ledger was applied here.

Its own database, apart from the records. `tenant_id` leads every key. A destroyed DEK stays as a tombstone row without
its wrapped key, so that "destroyed" and "lost" are never mistaken for one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Engine,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    exists,
    func,
    insert,
    select,
    update,
)

from keys.errors import KeyMissing, WatermarkMoved
from rows.clock import UtcDateTime
from rows.engine import is_sqlite, reading, transaction
from rows.prepared import Prepared

TENANT_PURPOSES = ("retention", "index", "secrets", "processor_key", "client_key", "audit", "signing")
"""The DEKs that a tenant has itself, one each; their `subject_id` is empty."""

SUBJECT_PURPOSES = ("customer", "erasure", "package")
"""The DEKs of one customer incarnation, one erasure in flight, or one package; `subject_id` says whose."""


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# The one row that says whose keystore this is; the records say the same, and the two are compared at start.
DEPLOYMENT = Table(
    "deployment",
    metadata,
    Column("deployment_id", String, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("vouched", Text),  # which two databases the ledger vouched for last; the records say the same
)

# The one row that says up to which ledger entry destructions were applied: sequence, and that entry's hash.
GUARD = Table(
    "guard",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

# A tenant's key encryption key of one epoch; the key itself is in its wraps.
KEKS = Table(
    "keks",
    metadata,
    Column("tenant_id", String, primary_key=True),
    Column("kek_id", LargeBinary, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
    Column("destroyed_at", UtcDateTime),
    Column("emptied_at", UtcDateTime),  # since when no living DEK hangs on it
    UniqueConstraint("tenant_id", "epoch"),
    CheckConstraint("state IN ('active', 'retired', 'destroyed')", name="state"),
)

# One KEK wrapped by one root key; any one of a KEK's wraps opens it.
KEK_WRAPS = Table(
    "kek_wraps",
    metadata,
    Column("tenant_id", String, primary_key=True),
    Column("kek_id", LargeBinary, primary_key=True),
    Column("root_key_id", String, primary_key=True),
    Column("provider", String, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    ForeignKeyConstraint(["tenant_id", "kek_id"], ["keks.tenant_id", "keks.kek_id"]),
)

# A DEK wrapped by a KEK, or its tombstone.
DEKS = Table(
    "deks",
    metadata,
    Column("tenant_id", String, primary_key=True),
    Column("dek_id", LargeBinary, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("subject_id", String, nullable=False),
    Column("kek_id", LargeBinary, nullable=False),
    Column("wrapped", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("destroyed_at", UtcDateTime),
    Column("destroyed_by_seq", BigInteger),
    ForeignKeyConstraint(["tenant_id", "kek_id"], ["keks.tenant_id", "keks.kek_id"]),
    CheckConstraint("(wrapped IS NULL) = (destroyed_at IS NOT NULL)", name="tombstone"),
    Index(None, "tenant_id", "subject_id"),
    postgresql_with={"fillfactor": 80},  # a DEK that moves to another KEK, or goes, stays on its page: no index changes
)


@dataclass(frozen=True, slots=True)
class Watermark:
    """A place in the ledger: the entry's sequence number, and its hash (32 bytes)."""

    seq: int
    hash: bytes


BEGINNING = Watermark(seq=0, hash=bytes(32))
"""Before the first entry."""


def deployment_of(connection: Connection) -> str | None:
    """The deployment this keystore belongs to; None if it was never founded."""
    return connection.scalar(select(DEPLOYMENT.c.deployment_id))


def found(connection: Connection, deployment_id: str) -> None:
    """Make an empty keystore this deployment's, its watermark before the first entry. IntegrityError if it has one."""
    connection.execute(insert(GUARD).values(id=1, seq=BEGINNING.seq, hash=BEGINNING.hash))
    connection.execute(insert(DEPLOYMENT).values(deployment_id=deployment_id, created_at=datetime.now(UTC)))


def watermark(connection: Connection) -> Watermark:
    """How far the ledger was applied to this keystore. Raises KeyMissing if the keystore was never founded."""
    row = _WATERMARK.one_or_none(connection, {})
    if row is None:
        raise KeyMissing("this keystore has no watermark: it was never set up, or not restored whole")
    return Watermark(*row)


def has_live_dek(connection: Connection, tenant_id: str, subject_id: str) -> bool:
    """Whether a customer, an erasure or a package has a DEK that stands and was not destroyed."""
    return _LIVE.scalar(connection, {"of_tenant": tenant_id, "of_subject": subject_id}) is not None


def deks_of(connection: Connection, tenant_id: str, subject_id: str) -> list[bytes]:
    """The ids of all DEKs that a customer, an erasure or a package ever had, tombstones included."""
    return [row.dek_id for row in _OF_SUBJECT.all(connection, {"of_tenant": tenant_id, "of_subject": subject_id})]


def advance(
    engine: Engine, *, before: Watermark, after: Watermark, destroyed: Sequence[tuple[str, bytes]], at: datetime
) -> list[tuple[str, bytes]]:
    """Apply the ledger from `before` to `after` in one transaction: destroy every (tenant_id, dek_id) named.

    One that is a tombstone already stays as it is. Returns those that have no row: data loss, for the caller to report.
    Raises WatermarkMoved, and then nothing was changed, if the watermark is not `before`.
    """
    if len(destroyed) == 1 and _advanced_at_once(engine, before, after, destroyed[0], at):
        return []
    with transaction(engine) as connection:
        marks = {"old_seq": before.seq, "old_hash": before.hash, "new_seq": after.seq, "new_hash": after.hash}
        if _MOVE.change(connection, marks) != 1:
            raise WatermarkMoved("the keystore's watermark is not where it was")
        return [dek for dek in destroyed if not _destroy(connection, *dek, by_seq=after.seq, at=at)]


def _advanced_at_once(
    engine: Engine, before: Watermark, after: Watermark, dek: tuple[str, bytes], at: datetime
) -> bool:
    """As `advance` for one living DEK, in one statement where PostgreSQL takes it; False where it was not so simple."""
    if is_sqlite(engine):
        return False
    named = {"of_tenant": dek[0], "of_dek": dek[1], "at": at, "by": after.seq}
    marks = {"old_seq": before.seq, "old_hash": before.hash, "new_seq": after.seq, "new_hash": after.hash}
    with reading(engine) as connection:
        return bool(_ADVANCE_AT_ONCE.scalar(connection, named | marks))


def _destroy(connection: Connection, tenant_id: str, dek_id: bytes, *, by_seq: int, at: datetime) -> bool:
    """Turn one DEK into a tombstone; False if there is no such row."""
    this = {"of_tenant": tenant_id, "of_dek": dek_id}
    if _DESTROY.change(connection, this | {"at": at, "by": by_seq}):
        return True
    return _ANY.scalar(connection, this) is not None


_WATERMARK = Prepared(select(GUARD.c.seq, GUARD.c.hash))
_STANDS = and_(GUARD.c.seq == bindparam("old_seq"), GUARD.c.hash == bindparam("old_hash"))
_MOVE = Prepared(update(GUARD).where(_STANDS).values(seq=bindparam("new_seq"), hash=bindparam("new_hash")))
_THIS = and_(DEKS.c.tenant_id == bindparam("of_tenant"), DEKS.c.dek_id == bindparam("of_dek"))
_ANY = Prepared(select(DEKS.c.dek_id).where(_THIS))
_OF_THEM = select(DEKS.c.dek_id).where(
    DEKS.c.tenant_id == bindparam("of_tenant"), DEKS.c.subject_id == bindparam("of_subject")
)
_LIVE = Prepared(_OF_THEM.where(DEKS.c.wrapped.is_not(None)).limit(1))
_OF_SUBJECT = Prepared(_OF_THEM.order_by(DEKS.c.dek_id))
_ENDED = (
    update(DEKS)
    .where(_THIS, DEKS.c.wrapped.is_not(None))
    .values(wrapped=None, destroyed_at=bindparam("at"), destroyed_by_seq=bindparam("by"))
)
_DESTROY = Prepared(_ENDED)
# The guard's row is locked before anything is changed: who was slower than another process finds it moved, and stops.
_HELD = select(GUARD.c.id).where(_STANDS).with_for_update().cte("held")
_DESTROYED = _ENDED.where(exists().select_from(_HELD)).returning(DEKS.c.dek_id).cte("destroyed")
_MOVED = (
    update(GUARD)
    .where(exists().select_from(_DESTROYED))
    .values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
    .returning(GUARD.c.seq)
    .cte("moved")
)
_ADVANCE_AT_ONCE = Prepared(select(func.count().label("moved")).select_from(_MOVED))
