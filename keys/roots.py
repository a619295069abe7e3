"""Root keys come and go while everything runs: a KEK is wrapped by one more, or by one less."""

from collections.abc import Iterator

from sqlalchemy import Row, delete, exists, insert, select

from keys.errors import KeysError, RootKeyNeeded
from keys.keyring import Keyring
from keys.keystore import KEK_WRAPS, KEKS
from keys.rootkey import RootKey
from keys.wrapping import kek_place, wraps_by
from rows.engine import reading, transaction


def name_of(root: RootKey) -> str:
    """How a root key is told from others: `provider:key id`."""
    return f"{root.provider}:{root.key_id}"


def add(ring: Keyring, root: RootKey) -> Iterator[bool]:
    """Wrap each KEK that stands by `root` too; after each, whether it was wrapped here or by another process meanwhile.

    Safe to stop and to start again. Raises RootKeyAway, RootKeyDenied, Unreadable.
    """
    for row in _keks_of(ring, root.provider, root.key_id, having=False):
        kek = ring.keks.opened(row.tenant_id, row.kek_id)
        [wrap] = wraps_by([root], kek, kek_place(ring.deployment, row.tenant_id, row.kek_id, row.epoch))
        yield _insert(ring, row, wrap)


def _insert(ring: Keyring, row: Row[str, bytes, int], wrap: dict[str, object]) -> bool:
    of_it = (KEK_WRAPS.c.tenant_id == row.tenant_id) & (KEK_WRAPS.c.kek_id == row.kek_id)
    with transaction(ring.keystore) as tx:
        # Locked: two at once must not both insert, and one that is being destroyed must get no new wrap.
        this = select(KEKS.c.state).where(KEKS.c.tenant_id == row.tenant_id, KEKS.c.kek_id == row.kek_id)
        there = select(exists().where(of_it, KEK_WRAPS.c.root_key_id == wrap["root_key_id"]))
        if tx.scalar(this.with_for_update()) == "destroyed" or tx.scalar(there):
            return False
        tx.execute(insert(KEK_WRAPS), {"tenant_id": row.tenant_id, "kek_id": row.kek_id} | wrap)
    return True


def drop(ring: Keyring, provider: str, key_id: str) -> int:
    """Delete each wrap by that root key, once another root key of the ring has opened the KEK; how many.

    Raises RootKeyNeeded at the first that no other opens now: its wrap and those after it stay.
    """
    others = [root for root in ring.roots if (root.provider, root.key_id) != (provider, key_id)]
    if not others:
        raise RootKeyNeeded(f"{provider}:{key_id} is the only root key here. Set another one beside it, and add that.")
    without = Keyring(keystore=ring.keystore, roots=others, deployment=ring.deployment, now=ring.now)
    dropped = 0
    for row in _keks_of(ring, provider, key_id, having=True):
        _open(without, row, f"{provider}:{key_id}")
        dropped += _delete(ring, row, provider, key_id)
    return dropped


def _open(without: Keyring, row: Row[str, bytes, int], dropped: str) -> None:
    try:
        without.keks.opened(row.tenant_id, row.kek_id)
    except KeysError as error:
        raise RootKeyNeeded(
            f"Without {dropped} nothing here opens KEK {row.kek_id.hex()} of {row.tenant_id}: its wrap stays. {error}"
        ) from error


def _delete(ring: Keyring, row: Row[str, bytes, int], provider: str, key_id: str) -> int:
    of_it = (KEK_WRAPS.c.tenant_id == row.tenant_id) & (KEK_WRAPS.c.kek_id == row.kek_id)
    its = (KEK_WRAPS.c.provider == provider) & (KEK_WRAPS.c.root_key_id == key_id)
    with transaction(ring.keystore) as tx:
        return tx.execute(delete(KEK_WRAPS).where(of_it, its)).rowcount


def _keks_of(ring: Keyring, provider: str, key_id: str, *, having: bool) -> list[Row[str, bytes, int]]:
    """The KEKs that stand and that this root key wraps, or does not wrap."""
    its = exists().where(
        KEK_WRAPS.c.tenant_id == KEKS.c.tenant_id,
        KEK_WRAPS.c.kek_id == KEKS.c.kek_id,
        KEK_WRAPS.c.provider == provider,
        KEK_WRAPS.c.root_key_id == key_id,
    )
    statement = select(KEKS.c.tenant_id, KEKS.c.kek_id, KEKS.c.epoch).where(KEKS.c.state != "destroyed")
    with reading(ring.keystore) as connection:
        rows = connection.execute(statement.where(its if having else ~its).order_by(KEKS.c.tenant_id, KEKS.c.epoch))
        return [*rows]
