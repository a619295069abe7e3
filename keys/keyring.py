"""Keys in use: made, found, opened. What is destroyed is destroyed by `keys.keystore.advance`, along the ledger."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import monotonic as monotonic_clock
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, Row, bindparam, func, insert, select
from sqlalchemy.exc import IntegrityError

from keys.cache import Cache
from keys.dek import ID_BYTES, Dek, derive, new_dek
from keys.errors import KeyDestroyed, KeyMissing, KeyReplaced
from keys.identity import Identity, Witness, identified, identity_of, of_keystore
from keys.keystore import DEKS, GUARD, KEK_WRAPS, KEKS, SUBJECT_PURPOSES, TENANT_PURPOSES
from keys.rootkey import RootKey
from keys.unlocking import Keks, Unlocked
from keys.wrapping import dek_place, kek_place, unwrap_dek, wrap_dek, wraps_by
from rows.engine import is_sqlite, reading, single, transaction
from rows.prepared import Prepared

_ROWS = select(
    DEKS.c.dek_id, DEKS.c.purpose, DEKS.c.subject_id, DEKS.c.kek_id, DEKS.c.wrapped, DEKS.c.destroyed_by_seq
).where(DEKS.c.tenant_id == bindparam("tenant_id"))
_IDENTIFIED = _ROWS.add_columns(select(identity_of(GUARD)).scalar_subquery().label("identity"))
_ONE = Prepared(_IDENTIFIED.where(DEKS.c.dek_id == bindparam("dek_id")))
_SEVERAL = _IDENTIFIED.where(DEKS.c.dek_id.in_(bindparam("dek_ids", expanding=True)))
_OWN = Prepared(
    _ROWS.where(DEKS.c.subject_id == "", DEKS.c.purpose == bindparam("purpose")).order_by(
        DEKS.c.destroyed_at.is_not(None), DEKS.c.created_at.desc(), DEKS.c.dek_id
    )
)
_OF_SUBJECT = Prepared(_IDENTIFIED.where(DEKS.c.subject_id == bindparam("of_subject")))

_MADE = [column for column in DEKS.c if not column.name.startswith("destroyed")]
# Only under a KEK that is the newest active one at that moment, so that which one it is may be remembered.
_VALUES = select(*(bindparam(column.name, type_=column.type) for column in _MADE)).where(
    select(KEKS.c.kek_id)
    .where(KEKS.c.tenant_id == bindparam("tenant_id"), KEKS.c.state == "active")
    .order_by(KEKS.c.epoch.desc())
    .limit(1)
    .scalar_subquery()
    == bindparam("kek_id", type_=KEKS.c.kek_id.type)
)
_NEW_DEK = Prepared(insert(DEKS).from_select(_MADE, _VALUES))

# Both at once for an erasure, where PostgreSQL takes it: what the customer has, and, while that stands, a new one.
_STANDING = select(DEKS.c.dek_id).where(
    DEKS.c.tenant_id == bindparam("tenant_id"),
    DEKS.c.dek_id == bindparam("of_dek", type_=DEKS.c.dek_id.type),
    DEKS.c.wrapped.is_not(None),
)
_NEW_BESIDE = insert(DEKS).from_select(_MADE, _VALUES.where(_STANDING.exists())).returning(DEKS.c.dek_id).cte("made")
_OF_SUBJECT_AND_NEW = Prepared(
    _IDENTIFIED.add_columns(select(func.count()).select_from(_NEW_BESIDE).scalar_subquery().label("made")).where(
        DEKS.c.subject_id == bindparam("of_subject")
    )
)

Columns = Row[bytes, str, str, bytes, bytes | None, int | None]
"""What `_ROWS` gives: dek_id, purpose, subject_id, kek_id, wrapped, destroyed_by_seq."""


class ToErase(NamedTuple):
    """A customer's DEK, the ids of those that were in its place before, and a new one for the erasure itself."""

    own: Dek
    former: list[bytes]
    new: Dek


class Keyring:
    """The keys of one deployment: `keystore` is its database, `roots` the root keys this process can ask.

    No DEK is ever cached: a cache would outlive an erasure, on this worker and on every other. Each use reads the DEK's
    row, so that a destroyed key is gone everywhere with the commit that destroys it. What is kept, for `kek_ttl`
    seconds of `monotonic`, is unwrapped KEKs, the still wrapped rows of tenants' own DEKs, which no erasure
    destroys, and MAC keys derived from those. `now` gives the times that rows are stamped with: aware datetimes.
    `unlocked` is told of each use of a root key.
    """

    def __init__(
        self,
        *,
        keystore: Engine,
        roots: Sequence[RootKey],
        deployment: str,
        kek_ttl: float = 300.0,
        monotonic: Callable[[], float] = monotonic_clock,
        now: Callable[[], datetime],
        unlocked: Unlocked | None = None,
    ) -> None:
        if not roots:
            raise ValueError("a keyring without a root key could make nothing that opens again")
        self.keystore = keystore
        self.roots = tuple(roots)
        self.deployment = deployment
        self.witness = Witness()
        self.now = now
        self.keks = Keks(
            keystore=keystore,
            roots=self.roots,
            deployment=deployment,
            ttl=kek_ttl,
            monotonic=monotonic,
            now=now,
            unlocked=unlocked,
        )
        self._own_rows: Cache[tuple[str, str], Sequence[Columns]] = Cache(kek_ttl, monotonic)
        self._subkeys: Cache[tuple[str, str, str], dict[bytes, bytes]] = Cache(kek_ttl, monotonic)

    def create_tenant(self, tenant_id: str) -> None:
        """Give a tenant its first KEK, wrapped by every root key, and one DEK for each purpose of its own.

        A tenant that has them keeps them; two processes may do this at once. The deployment's own keys are made the
        same way, under the deployment's id. Raises RootKeyAway if any root key is away, because each must wrap the KEK.
        """
        if self.keks.active(tenant_id) is not None:
            return
        kek_id, kek, created_at = os.urandom(ID_BYTES), AESGCM.generate_key(256), self.now()
        place = kek_place(self.deployment, tenant_id, kek_id, 1)
        row = {"tenant_id": tenant_id, "kek_id": kek_id}
        wraps = [row | wrap for wrap in wraps_by(self.roots, kek, place)]
        deks = [self._row(new_dek(), AESGCM(kek), row, purpose, "") for purpose in TENANT_PURPOSES]
        try:
            with transaction(self.keystore) as connection:
                connection.execute(insert(KEKS), row | {"epoch": 1, "state": "active", "created_at": created_at})
                connection.execute(insert(KEK_WRAPS), wraps)
                connection.execute(insert(DEKS), deks)
        except IntegrityError:  # another process made epoch 1 first
            if self.keks.active(tenant_id) is None:
                raise

    def new_dek(self, tenant_id: str, purpose: str, subject_id: str) -> Dek:
        """A new DEK, committed, under the tenant's active KEK.

        `subject_id` is the customer's, the erasure's or the package's id. Raises KeyMissing if the tenant has no active
        KEK, RootKeyAway, Unreadable.
        """
        if purpose not in SUBJECT_PURPOSES or not subject_id:
            raise ValueError(f"a new DEK is for one of {', '.join(SUBJECT_PURPOSES)}, and for somebody")
        dek = new_dek()
        self.keep(dek, tenant_id, purpose, subject_id)
        return dek

    def keep(self, dek: Dek, tenant_id: str, purpose: str, subject_id: str) -> None:
        """Commit a DEK that was just made, under the tenant's active KEK. Raises as `new_dek`.

        A tenant's own (`subject_id` empty) takes the place of the one before it; in other processes once their cached
        rows are too old.
        """
        while True:
            values = self._new_row(dek, tenant_id, purpose, subject_id)
            with single(self.keystore) as connection:
                if _NEW_DEK.change(connection, values):
                    return
            self.keks.forget_newest()  # another one is active now

    def warm(self, tenant_id: str) -> None:
        """Have the active KEK at hand, so that a `new_dek` that follows asks no root key. Raises as that."""
        self.keks.kek(tenant_id, self.keks.newest_kept(tenant_id))

    def dek(self, tenant_id: str, dek_id: bytes) -> Dek:
        """The DEK of this id, read anew each time. Raises KeyDestroyed, KeyMissing, RootKeyAway, Unreadable."""
        rows = self._all(_ONE, {"tenant_id": tenant_id, "dek_id": dek_id})
        return self._open(tenant_id, _there(rows[0] if rows else None, dek_id.hex()))

    def deks(self, tenant_id: str, dek_ids: Iterable[bytes]) -> dict[bytes, Dek]:
        """The DEKs of these ids, read in one statement; those that an erasure destroyed are left out.

        Raises KeyReplaced, KeyMissing if any has no row at all, RootKeyAway, Unreadable.
        """
        wanted, expected = set(dek_ids), self.witness.vouched
        with reading(self.keystore) as connection:
            if len(wanted) == 1:  # most often: a list in a statement costs a rendering of it each time
                rows = _ONE.all(connection, {"tenant_id": tenant_id, "dek_id": min(wanted)})
            else:
                rows = [*connection.execute(_SEVERAL, {"tenant_id": tenant_id, "dek_ids": list(wanted)})]
            seen = _identity(connection, rows)
        self.witness.check(seen, expected)
        lost = wanted - {row.dek_id for row in rows}
        if lost:
            raise KeyMissing(f"no row for {len(lost)} DEKs, one of them {min(lost).hex()}")
        meant = {row.dek_id: row for row in rows if row.wrapped is not None or row.destroyed_by_seq is None}
        return {dek_id: self._open(tenant_id, _there(row, dek_id.hex())) for dek_id, row in meant.items()}

    def deks_to_erase(self, tenant_id: str, dek_id: bytes, customer_id: str, erasure_id: str) -> ToErase:
        """What an erasure needs: the customer's DEK, the ids of all others that it ever had, a new one of its own.

        None is made where the customer's does not stand. Raises as `dek` and `new_dek`.
        """
        of = {"tenant_id": tenant_id, "of_dek": dek_id, "of_subject": customer_id}
        if is_sqlite(self.keystore):
            ever = self._opened_first(tenant_id, dek_id, self._all(_OF_SUBJECT, of))
            return ToErase(*ever, self.new_dek(tenant_id, "erasure", erasure_id))
        new = new_dek()
        while True:
            rows = self._all(_OF_SUBJECT_AND_NEW, of | self._new_row(new, tenant_id, "erasure", erasure_id))
            ever = self._opened_first(tenant_id, dek_id, rows)
            if rows[0].made:
                return ToErase(*ever, new)
            self.keks.forget_newest()  # another one is active now

    def _opened_first(self, tenant_id: str, dek_id: bytes, rows: Sequence[Columns]) -> tuple[Dek, list[bytes]]:
        """The DEK of this id, and the ids of the others."""
        named = {row.dek_id: row for row in rows}
        dek = self._open(tenant_id, _there(named.pop(dek_id, None), dek_id.hex()))
        return dek, sorted(named)

    def tenant_key(self, tenant_id: str, purpose: str) -> Dek:
        """The tenant's own DEK for `purpose`: the newest that is not destroyed.

        Its wrapped row is cached like a KEK, because an erasure never destroys a tenant's own key; it opens only as
        long as its KEK does. Raises KeyMissing, KeyDestroyed if only tombstones are left, RootKeyAway, Unreadable.
        """
        return self._open(tenant_id, self._own(tenant_id, purpose)[0])

    def subkey(self, tenant_id: str, purpose: str, label: str) -> bytes:
        """32 bytes derived from the tenant's own key for `purpose`: for MACs and digests, cached like a KEK.

        Raises as `tenant_key`.
        """
        return next(iter(self.subkeys(tenant_id, purpose, label).values()))

    def subkeys(self, tenant_id: str, purpose: str, label: str) -> dict[bytes, bytes]:
        """32 bytes derived from each of the tenant's own DEKs for `purpose`, by DEK id, newest first; cached.

        There are several while one takes another's place, and where an old one is kept to verify what it made. Raises
        as `tenant_key`.
        """
        name = (tenant_id, purpose, label)
        return self._subkeys.get(name, lambda: self.subkeys_now(*name))

    def subkeys_now(self, tenant_id: str, purpose: str, label: str) -> dict[bytes, bytes]:
        """What `subkeys` gives, read anew: for what none of the kept ones made, being perhaps too new for them."""
        rows = self._read_own(tenant_id, purpose)
        return {row.dek_id: derive(self._open(tenant_id, row), label) for row in rows}

    def forget_cached(self) -> None:
        """Drop every cached KEK and row now; the next use asks the keystore and a root key again."""
        self.keks.forget()
        self._own_rows.forget()
        self._subkeys.forget()

    def _own(self, tenant_id: str, purpose: str) -> Sequence[Columns]:
        return self._own_rows.get((tenant_id, purpose), lambda: self._read_own(tenant_id, purpose))

    def _read_own(self, tenant_id: str, purpose: str) -> Sequence[Columns]:
        with reading(self.keystore) as connection:
            rows = _OWN.all(connection, {"tenant_id": tenant_id, "purpose": purpose})
        _there(rows[0] if rows else None, f"{tenant_id} {purpose}")
        return [row for row in rows if row.wrapped is not None]

    def _all(self, statement: Prepared[Any], values: Mapping[str, Any]) -> list[Any]:
        """The rows of a statement, once it is clear that they came from the keystore that the guard has vouched for."""
        expected = self.witness.vouched
        with reading(self.keystore) as connection:
            rows = statement.all(connection, values)
            seen = _identity(connection, rows)
        self.witness.check(seen, expected)
        return rows

    def _new_row(self, dek: Dek, tenant_id: str, purpose: str, subject_id: str) -> dict[str, Any]:
        """The columns of a new DEK, under the KEK that was the tenant's newest when this process looked."""
        kek_id = self.keks.newest_kept(tenant_id)
        row = {"tenant_id": tenant_id, "kek_id": kek_id}
        return self._row(dek, self.keks.kek(tenant_id, kek_id), row, purpose, subject_id)

    def _row(self, dek: Dek, kek: AESGCM, row: dict[str, Any], purpose: str, subject_id: str) -> dict[str, Any]:
        """The columns of a new DEK; `row` has its tenant and KEK."""
        place = dek_place(self.deployment, row["tenant_id"], dek.id, purpose, subject_id)
        wrapped = {"dek_id": dek.id, "wrapped": wrap_dek(kek, dek, place)}
        return row | wrapped | {"purpose": purpose, "subject_id": subject_id, "created_at": self.now()}

    def _open(self, tenant_id: str, row: Columns) -> Dek:
        place = dek_place(self.deployment, tenant_id, row.dek_id, row.purpose, row.subject_id)
        return unwrap_dek(self.keks.kek(tenant_id, row.kek_id), row.dek_id, row.wrapped, place)


def _identity(connection: Connection, rows: Sequence[Any]) -> Identity:
    """Which keystore these rows came from; where there is none, one more look says whether it was put back."""
    return identified(connection, rows[0].identity) if rows else of_keystore(connection)


def _there(row: Columns | None, which: str) -> Columns:
    """`row`, if it holds a wrapped key. Raises KeyMissing, KeyReplaced, KeyDestroyed."""
    if row is None:
        raise KeyMissing(f"no row for the DEK {which}")
    if row.wrapped is None and row.destroyed_by_seq is None:
        raise KeyReplaced(f"the DEK {which} was replaced and destroyed: what names it is older than its keystore")
    if row.wrapped is None:
        raise KeyDestroyed(f"the DEK {which} was destroyed")
    return row
