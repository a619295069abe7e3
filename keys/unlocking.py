"""KEKs out of their wraps: found, unwrapped by a root key, and kept unwrapped for a while."""

from collections.abc import Callable, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Engine, bindparam, select

from keys.cache import Cache
from keys.errors import KeyMissing, KeysError, RootKeyAway, RootKeyDenied, Unreadable
from keys.keystore import KEK_WRAPS, KEKS
from keys.rootkey import RootKey
from keys.wrapping import kek_place, unwrap_kek
from rows.engine import reading
from rows.prepared import Prepared

_ACTIVE = Prepared(
    select(KEKS.c.kek_id)
    .where(KEKS.c.tenant_id == bindparam("tenant_id"), KEKS.c.state == "active")
    .order_by(KEKS.c.epoch.desc())
    .limit(1)
)
_WRAPS = (
    select(KEKS.c.epoch, KEK_WRAPS.c.provider, KEK_WRAPS.c.root_key_id, KEK_WRAPS.c.wrapped)
    .join_from(KEKS, KEK_WRAPS)
    .where(KEKS.c.tenant_id == bindparam("tenant_id"), KEKS.c.kek_id == bindparam("kek_id"))
)

Unlocked = Callable[[str, bytes, RootKey, datetime], None]
"""Told of each KEK that a root key unwrapped: tenant, KEK, which root key, when. It must ask no keys of those."""


class Keks:
    """The KEKs in `keystore` of one deployment, as far as `roots` open them.

    For `ttl` seconds of `monotonic` is kept which KEK is a tenant's newest, and what was unwrapped.
    """

    def __init__(
        self,
        *,
        keystore: Engine,
        roots: Sequence[RootKey],
        deployment: str,
        ttl: float,
        monotonic: Callable[[], float],
        now: Callable[[], datetime],
        unlocked: Unlocked | None,
    ) -> None:
        self._keystore = keystore
        self._roots = roots
        self._deployment = deployment
        self._now = now
        self._unlocked = unlocked
        self._unwrapped: Cache[tuple[str, bytes], AESGCM] = Cache(ttl, monotonic)
        self._newest: Cache[str, bytes] = Cache(ttl, monotonic)

    def active(self, tenant_id: str) -> bytes | None:
        """The id of the tenant's newest KEK, if it has one, read anew."""
        with reading(self._keystore) as connection:
            found: bytes | None = _ACTIVE.scalar(connection, {"tenant_id": tenant_id})
            return found

    def newest(self, tenant_id: str) -> bytes:
        """The id of the KEK that new DEKs are wrapped by, read anew. Raises KeyMissing."""
        found = self.active(tenant_id)
        if found is None:
            raise KeyMissing(f"tenant {tenant_id} has no active KEK")
        return found

    def newest_kept(self, tenant_id: str) -> bytes:
        """The id of the newest KEK as it was when this process looked last. Raises KeyMissing."""
        return self._newest.get(tenant_id, lambda: self.newest(tenant_id))

    def forget_newest(self) -> None:
        """Which KEKs are the newest has changed."""
        self._newest.forget()

    def kek(self, tenant_id: str, kek_id: bytes) -> AESGCM:
        """An unwrapped KEK, out of memory for as long as KEKs are kept.

        Raises KeyMissing, RootKeyAway, RootKeyDenied, Unreadable.
        """
        return self._unwrapped.get((tenant_id, kek_id), lambda: AESGCM(self.opened(tenant_id, kek_id)))

    def opened(self, tenant_id: str, kek_id: bytes) -> bytes:
        """A KEK, 32 bytes, out of the first wrap that opens, of those whose root key we hold, in their order.

        Raises, if none opened it: Unreadable if one did not know its own wrap, else RootKeyDenied, else RootKeyAway.
        """
        with reading(self._keystore) as connection:
            rows = connection.execute(_WRAPS, {"tenant_id": tenant_id, "kek_id": kek_id}).all()
        if not rows:
            raise KeyMissing(f"no wrap of KEK {kek_id.hex()}")
        wraps = {(row.provider, row.root_key_id): row.wrapped for row in rows}
        place = kek_place(self._deployment, tenant_id, kek_id, rows[0].epoch)
        failures: list[KeysError] = []
        for root in self._roots:
            wrapped = wraps.get((root.provider, root.key_id))
            try:
                if wrapped is not None:
                    kek = unwrap_kek(root, wrapped, place)
                    if self._unlocked is not None:
                        self._unlocked(tenant_id, kek_id, root, self._now())
                    return kek
            except (RootKeyAway, RootKeyDenied, Unreadable) as error:
                failures.append(error)
        raise _worst(failures) or RootKeyAway(
            f"no root key answers that opens KEK {kek_id.hex()}; it needs one of: "
            + ", ".join(f"{row.provider} {row.root_key_id}" for row in rows)
        )

    def forget(self) -> None:
        """Drop all that is kept."""
        self._unwrapped.forget()
        self._newest.forget()


def _worst(failures: Sequence[KeysError]) -> KeysError | None:
    """What to tell of root keys that answered and did not open it; None if they all are away."""
    return next((error for kind in (Unreadable, RootKeyDenied) for error in failures if isinstance(error, kind)), None)
