"""KEK epochs roll over, DEKs move to the new one, an old one that is empty goes; the audit log tells of each.

The root key's provider is asked, and the keystore written, before the audit entry: a transaction on the records must
not wait for an HSM. What is killed between the two has rotated and not told; `keks` in the keystore has the dates.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from sqlalchemy import Row

from keys import keks, roots
from keys.rewrapping import rewrap
from keys.rootkey import RootKey
from vault import audit
from vault.tlog.lateness import require_fresh
from vault.workshop import Workshop, desk_of


def require_proof(shop: Workshop, tenant: str) -> None:
    """Raises AnchorStale where an operation on a tenant's keys would not be on a record that nobody can change."""
    require_fresh(shop.logs, shop.records, shop.keyring, tenant, shop.clock())


def require_proofs(shop: Workshop, tenants: Iterable[str]) -> None:
    """As `require_proof` for several tenants, and for the deployment, whose log tells what was done to all of them."""
    for tenant in {shop.keyring.deployment, *tenants}:
        require_proof(shop, tenant)


def due(shop: Workshop) -> list[str]:
    """The tenants whose newest KEK is as old as an epoch is long."""
    return keks.due(shop.keyring, shop.clock() - shop.kek_epoch)


def rotate(shop: Workshop, tenant: str, roots: Sequence[RootKey] = ()) -> bool:
    """A new KEK for the tenant, wrapped by `roots`, or by all; False if another process was first.

    Raises KeyMissing, RootKeyAway, RootKeyDenied.
    """
    require_proof(shop, tenant)
    made = keks.rotate(shop.keyring, tenant, roots)
    if made is not None:
        _tell(shop, tenant, "kek.rotated", made.hex())
    return made is not None


def empty(shop: Workshop, kek: Row[str, bytes]) -> bool:
    """Move what hangs on a retired KEK to the tenant's newest; whether none is left on it.

    Raises KeyMissing, RootKeyAway, RootKeyDenied, Unreadable.
    """
    require_proof(shop, kek.tenant_id)
    rewrap(shop.keyring, kek.tenant_id, kek.kek_id)
    return note_empty(shop, kek)


def note_empty(shop: Workshop, kek: Row[str, bytes]) -> bool:
    """Note that nothing hangs on a retired KEK any more; whether that is so."""
    empty = keks.note_empty(shop.keyring, kek.tenant_id, kek.kek_id)
    if empty:
        _tell(shop, kek.tenant_id, "kek.emptied", kek.kek_id.hex())
    return empty


def add_root(shop: Workshop, root: RootKey) -> int:
    """Have one more root key open every KEK; how many it opens now that it did not. Raises as `roots.add`."""
    require_proof(shop, shop.keyring.deployment)
    added = sum(roots.add(shop.keyring, root))
    _tell(shop, shop.keyring.deployment, "root.added", roots.name_of(root), keks=added)
    return added


def drop_root(shop: Workshop, provider: str, key_id: str) -> int:
    """Delete every wrap by a root key; how many there were. Raises as `roots.drop`."""
    require_proof(shop, shop.keyring.deployment)
    dropped = roots.drop(shop.keyring, provider, key_id)
    _tell(shop, shop.keyring.deployment, "root.dropped", f"{provider}:{key_id}", wraps=dropped)
    return dropped


def destroy(shop: Workshop, kek: Row[str, bytes]) -> bool:
    """Destroy a KEK that was empty for long enough; False if a DEK hangs on it after all."""
    require_proof(shop, kek.tenant_id)
    destroyed = keks.destroy(shop.keyring, kek.tenant_id, kek.kek_id)
    if destroyed:
        _tell(shop, kek.tenant_id, "kek.destroyed", kek.kek_id.hex())
    return destroyed


def backups(shop: Workshop) -> timedelta:
    """For how long backups of the keystore are kept."""
    return timedelta(days=shop.policy.keystore_backup_days)


def _tell(shop: Workshop, tenant: str, action: str, resource: str, **counts: int) -> None:
    """Write the audit entry, of the deployment's own keys into its own log."""
    desk = desk_of(shop, tenant, live=True)
    with audit.transaction(desk.records) as tx:
        audit.record(desk, tx, action, resource=resource[:40], details={"name": resource, **counts})
