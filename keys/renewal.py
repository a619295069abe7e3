"""New DEKs in place of others, after a compromise, and the end of those that nothing is sealed under any more.

This end is not the ledger's: a restored pair of older databases stays readable for everybody who was not erased.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, true, update

from keys.dek import Dek, new_dek
from keys.errors import KeyMissing
from keys.keyring import Keyring
from keys.keystore import DEKS, KEKS
from rows.engine import reading, transaction

RENEWED = ("retention", "index", "secrets", "client_key", "audit", "signing")
"""The tenant's own DEKs that get a successor. Not `processor_key`: what a processor or a client will send again in a
year must give the digest that it gave, or one obligation is paid twice."""

REPLACED = ("retention", "index", "secrets")
"""The purposes of DEKs of which all that they made can be made anew. Others stay, to verify what they made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doomed:
    """Which DEKs are to be replaced: a tenant's, made until a moment or on one KEK; of one subject, if it is named."""

    tenant_id: str
    before: datetime
    kek_id: bytes | None = None
    subject_id: str | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        """As a condition for rows of living DEKs."""
        old = DEKS.c.created_at <= self.before
        whose = DEKS.c.subject_id == self.subject_id if self.subject_id is not None else true()
        which = old if self.kek_id is None else or_(old, DEKS.c.kek_id == self.kek_id)
        return and_(DEKS.c.tenant_id == self.tenant_id, DEKS.c.wrapped.is_not(None), whose, which)


def of_kek(ring: Keyring, kek_id: bytes) -> Doomed:
    """All DEKs that ever were wrapped by a retired KEK: rewrapping may have moved them. Raises KeyMissing.

    None was made after it was retired, and none that was made before is surely without a copy under it.
    """
    with reading(ring.keystore) as connection:
        row = connection.execute(select(KEKS).where(KEKS.c.kek_id == kek_id)).one_or_none()
    if row is None or row.retired_at is None:
        raise KeyMissing(f"there is no retired KEK {kek_id.hex()}")
    return Doomed(tenant_id=row.tenant_id, before=row.retired_at, kek_id=kek_id)


def count(ring: Keyring, doomed: Doomed, purpose: str) -> int:
    """How many DEKs for that purpose are to be replaced."""
    statement = select(func.count()).select_from(DEKS).where(doomed.condition, DEKS.c.purpose == purpose)
    with reading(ring.keystore) as connection:
        return int(connection.scalar(statement) or 0)


def subjects(ring: Keyring, doomed: Doomed, purpose: str, after: str, most: int) -> Sequence[str]:
    """Whose DEKs for that purpose are to be replaced: the next ones after that id, in order."""
    statement = select(DEKS.c.subject_id).where(doomed.condition, DEKS.c.purpose == purpose, DEKS.c.subject_id > after)
    with reading(ring.keystore) as connection:
        return connection.scalars(statement.distinct().order_by(DEKS.c.subject_id).limit(most)).all()


def living(ring: Keyring, tenant_id: str, purpose: str, subject_id: str = "") -> dict[bytes, datetime]:
    """The DEKs that stand, by id, each with when it was made; newest first."""
    return _found(ring, _these(tenant_id, purpose, subject_id))


def ended(ring: Keyring, tenant_id: str, purpose: str) -> Sequence[bytes]:
    """The ids of a tenant's own DEKs that were replaced and destroyed."""
    these = and_(_these(tenant_id, purpose, ""), DEKS.c.wrapped.is_(None))
    with reading(ring.keystore) as connection:
        return connection.scalars(select(DEKS.c.dek_id).where(these)).all()


def doomed_ones(ring: Keyring, doomed: Doomed, purpose: str, subject_id: str = "") -> dict[bytes, datetime]:
    """The DEKs that stand and are to be replaced, by id, each with when it was made; newest first."""
    return _found(ring, and_(_these(doomed.tenant_id, purpose, subject_id), doomed.condition))


def succeed(ring: Keyring, doomed: Doomed, purpose: str, announce: Callable[[Dek], None]) -> Dek | None:
    """A new DEK of the tenant's own where the newest is to be replaced; None where a run that was stopped made one.

    `announce` is told of it before anybody can use it. Raises as `Keyring.keep`.
    """
    newest = next(iter(living(ring, doomed.tenant_id, purpose)), None)
    if newest not in doomed_ones(ring, doomed, purpose):
        return None
    dek = new_dek()
    announce(dek)
    ring.keep(dek, doomed.tenant_id, purpose, "")
    return dek


def destroy(ring: Keyring, tenant_id: str, dek_ids: Sequence[bytes]) -> int:
    """Turn DEKs that nothing is sealed under into tombstones that no ledger entry made; how many stood."""
    these = and_(DEKS.c.tenant_id == tenant_id, DEKS.c.dek_id.in_(dek_ids), DEKS.c.wrapped.is_not(None))
    with transaction(ring.keystore) as tx:
        return tx.execute(update(DEKS).where(these).values(wrapped=None, destroyed_at=ring.now())).rowcount


def _these(tenant_id: str, purpose: str, subject_id: str) -> ColumnElement[bool]:
    return and_(DEKS.c.tenant_id == tenant_id, DEKS.c.purpose == purpose, DEKS.c.subject_id == subject_id)


def _found(ring: Keyring, which: ColumnElement[bool]) -> dict[bytes, datetime]:
    statement = select(DEKS.c.dek_id, DEKS.c.created_at).where(which, DEKS.c.wrapped.is_not(None))
    with reading(ring.keystore) as connection:
        rows = connection.execute(statement.order_by(DEKS.c.created_at.desc(), DEKS.c.dek_id)).all()
    return {row.dek_id: row.created_at for row in rows}
