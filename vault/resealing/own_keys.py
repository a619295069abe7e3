"""After a compromise: new DEKs of a tenant's own, and all that stands under the old ones made anew under them.

Each process keeps a tenant's own DEKs for a time, so the old ones are written under until that is over everywhere:
`finish` comes after it. Peppers, audit keys and signing keys are not destroyed: they verify what they made.
"""

from collections.abc import Mapping
from functools import partial

from sqlalchemy import ColumnElement

from keys import renewal
from keys.dek import Dek
from keys.renewal import RENEWED, REPLACED, Doomed
from rows.engine import reading, transaction
from vault import audit
from vault.ledger import keys
from vault.ledger.deciding import decide
from vault.ledger.keys import ANNOUNCED
from vault.ledger.settling import settle
from vault.resealing import reindexing
from vault.resealing.customers import tell
from vault.resealing.values import Told, left, move
from vault.sealed_columns import OWN, SEALED_COLUMNS, SealedColumn
from vault.workshop import Workshop, caller_of

BATCH = 200


def renew(shop: Workshop, doomed: Doomed) -> int:
    """A new DEK for each purpose whose newest is to be replaced; how many. Raises LedgerAway, and as `Keyring.keep`."""
    made = 0
    for purpose in RENEWED:
        new = renewal.succeed(shop.keyring, doomed, purpose, partial(_announce, shop, doomed.tenant_id, purpose))
        if new is not None:
            made += 1
            _tell(shop, doomed.tenant_id, purpose, new)
    shop.keyring.forget_cached()
    return made


def _announce(shop: Workshop, tenant: str, purpose: str, dek: Dek) -> None:
    """Tell the ledger of the key that will sign it next; whoever is restored from before could not verify it else."""
    if (tenant, purpose) != (shop.keyring.deployment, "signing"):
        return
    public = keys.public_of_dek(dek)
    caller, terms = caller_of(shop, tenant, live=True), {"public_key": public.hex()}
    with transaction(shop.records) as tx:
        decide(tx, shop.ledger, caller, ANNOUNCED, keys.key_id(public), version=1, terms=terms)
    settle(shop.ledger, shop.records)


def due(shop: Workshop, doomed: Doomed) -> int:
    """How many values and people stand under DEKs that are to be replaced."""
    with reading(shop.records) as connection:
        values = sum(left(connection, each, _of(each, doomed), _old(shop, doomed, each.under)) for each in _columns())
    return values + reindexing.people_left(shop, doomed.tenant_id, _old(shop, doomed, "index"))


def finish(shop: Workshop, doomed: Doomed, told: Told) -> int:
    """Move what stands under the old DEKs and destroy them; how many values do not open, whose DEKs stay.

    What another process has locked is looked for again until it is free.
    """
    closed = 0
    for purpose in REPLACED:
        old = _old(shop, doomed, purpose)
        if not old:
            continue
        lost = _moved(shop, doomed, purpose, old, told)
        closed += lost
        if not lost:
            renewal.destroy(shop.keyring, doomed.tenant_id, old)
    return closed


def _moved(shop: Workshop, doomed: Doomed, purpose: str, old: list[bytes], told: Told) -> int:
    if purpose == "index":
        return reindexing.reindex(shop, doomed.tenant_id, old, told)
    deks = shop.keyring.deks(doomed.tenant_id, old)
    return sum(_swept(shop, doomed, each, deks, told) for each in _columns() if each.under == purpose)


def _swept(shop: Workshop, doomed: Doomed, column: SealedColumn, old: Mapping[bytes, Dek], told: Told) -> int:
    """Look through one column until only what does not open is left under the old DEKs; how much that is."""
    while True:
        closed = _looked_through(shop, doomed, column, old, told)
        with reading(shop.records) as connection:
            if left(connection, column, _of(column, doomed), old) <= closed:
                return closed


def _looked_through(shop: Workshop, doomed: Doomed, column: SealedColumn, old: Mapping[bytes, Dek], told: Told) -> int:
    ring, after, closed = shop.keyring, None, 0
    new = ring.tenant_key(doomed.tenant_id, column.under)
    while True:
        with audit.transaction(shop.records) as tx:
            moved = move(tx, ring, column, _of(column, doomed), old, new, after=after, most=BATCH)
        closed, after = closed + moved.closed, moved.last
        if after is None:
            return closed
        told(moved.values)


def _old(shop: Workshop, doomed: Doomed, purpose: str) -> list[bytes]:
    """The DEKs that are to be replaced, once there is a newer one."""
    old = renewal.doomed_ones(shop.keyring, doomed, purpose)
    newest = next(iter(renewal.living(shop.keyring, doomed.tenant_id, purpose)), None)
    return [] if newest in old else list(old)


def _columns() -> list[SealedColumn]:
    return [each for each in SEALED_COLUMNS if each.under in OWN]


def _of(column: SealedColumn, doomed: Doomed) -> ColumnElement[bool]:
    return column.table.c.tenant_id == doomed.tenant_id


def _tell(shop: Workshop, tenant: str, purpose: str, new: Dek) -> None:
    with audit.transaction(shop.records) as tx:
        tell(tx, shop, tenant, purpose, "", new.id, 0)
