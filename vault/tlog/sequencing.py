"""Sequencing: entries that are committed get their places in the log, and a checkpoint over them is signed.

One transaction a batch, under the lock of the log's row, so that no two workers ever sign two continuations. Before it
signs, it holds what is kept against the last checkpoint that was signed, checks the MAC of each new entry, and reads
back what it wrote: what changed on the way does not get a signature.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, select, tuple_, update

from keys.database import reading, transaction
from keys.keyring import Keyring
from vault.audit import is_genuine
from vault.errors import LogBroken
from vault.statements import inserted, write
from vault.tables import audit_entries, audit_logs
from vault.tlog import kept
from vault.tlog.merkle import Tree, leaf_hash, tree_of
from vault.tlog.notes import Checkpoint, NotGenuine, open_note, sign
from vault.tlog.signing import name_of, origin_of, signers, verifiers

BATCH = 4096
"""Entries that get their places in one transaction at most."""

_WAITING = audit_entries.c.position.is_(None)
_PLACE = (
    update(audit_entries)
    .where(
        audit_entries.c.tenant_id == bindparam("of_tenant"),
        audit_entries.c.lane == bindparam("of_lane"),
        audit_entries.c.counter == bindparam("of_counter"),
        _WAITING,
    )
    .values(position=bindparam("place"))
)


def waiting(records: Engine) -> Sequence[str]:
    """The tenants of which entries wait for their places."""
    with reading(records) as connection:
        return connection.scalars(select(audit_entries.c.tenant_id).where(_WAITING).distinct()).all()


def found(records: Engine, tenant: str) -> None:
    """Begin the log of a tenant, if it has none."""
    row = {"generation": 1, "size": 0, "checkpoint": b"", "anchored_size": 0, "waiting_since": None}
    with transaction(records) as tx:
        write(tx, inserted(audit_logs, {"tenant_id": tenant} | row, if_absent=True))


def sequence(records: Engine, keyring: Keyring, tenant: str, at: datetime) -> int:
    """Give places to entries that have none, BATCH at most, and sign; how many. None while another worker does it.

    Within a lane the places follow its numbers, so at each checkpoint a lane has all its numbers from 1 on. An entry
    whose MAC is wrong, or that lies in another's row, gets no place. Raises LogBroken, and as `Keyring.tenant_key`.
    """
    with transaction(records) as tx:
        log = _locked(tx, tenant)
        entries = [] if log is None else _genuine(tx, keyring, tenant)
        if log is None or not entries:
            return 0
        tree = checked_tree(tx, keyring, log)
        tiles = [*tree.append([leaf_hash(each.leaf.encode()) for each in entries]), *tree.partial_tiles()]
        _place(tx, log, entries)
        kept.keep_tiles(tx, tenant, log.size, tiles)
        _check_written(tx, log, tree)
        _sign(tx, keyring, log, tree, at)
    return len(entries)


def checked_tree(connection: Connection, keyring: Keyring, log: Row[Any]) -> Tree:
    """The log's tree as its tiles give it. Raises LogBroken where that is not what was signed last."""
    if not log.size and not log.checkpoint:
        return Tree()
    try:
        signed = open_note(log.checkpoint, verifiers(keyring, log.tenant_id))
        tree = tree_of(log.size, lambda level, number: kept.tile(connection, log.tenant_id, level, number))
    except (NotGenuine, ValueError) as error:
        raise _broken(log, str(error)) from None
    origins = {origin_of(name_of(keyring.deployment, log.tenant_id), past + 1) for past in range(log.generation)}
    if (signed.size, signed.root) != (tree.size, tree.root()) or signed.origin not in origins:
        raise _broken(log, "Its tiles are not those that the last checkpoint was signed over.")
    return tree


def _locked(tx: Connection, tenant: str) -> Row[Any] | None:
    """The log's row, if no other worker has it."""
    this = select(audit_logs).where(audit_logs.c.tenant_id == tenant)
    return tx.execute(this.with_for_update(skip_locked=True)).one_or_none()


def _genuine(tx: Connection, keyring: Keyring, tenant: str) -> list[Any]:
    """The next entries to be placed, by lane and number; what was forged is passed over."""
    key = (audit_entries.c.lane, audit_entries.c.counter)
    columns = select(*key, audit_entries.c.leaf, audit_entries.c.mac)
    mine = columns.where(audit_entries.c.tenant_id == tenant, _WAITING).order_by(*key).limit(BATCH)
    good: list[Any] = []
    page: Sequence[Any] = tx.execute(mine).all()
    while page and len(good) < BATCH:
        good += [
            each for each in page if _is_in_its_row(each) and is_genuine(keyring, tenant, each.leaf.encode(), each.mac)
        ]
        page = tx.execute(mine.where(tuple_(*key) > page[-1][:2])).all() if len(page) == BATCH else []
    return good[:BATCH]


def _is_ours(keyring: Keyring, tenant: str, row: Any) -> bool:  # noqa: ANN401  # a row
    return is_genuine(keyring, tenant, row.leaf.encode(), row.mac)


def _is_in_its_row(row: Any) -> bool:  # noqa: ANN401  # a row
    """Whether a leaf says where it lies: a genuine one that was copied to another row does not."""
    try:
        leaf = json.loads(row.leaf)
        return (leaf["lane"], leaf["counter"]) == (row.lane, row.counter)
    except (ValueError, KeyError, TypeError):
        return False


def _place(tx: Connection, log: Row[Any], entries: Sequence[Any]) -> None:
    of = {"of_tenant": log.tenant_id}
    places = [
        of | {"of_lane": each.lane, "of_counter": each.counter, "place": log.size + number}
        for number, each in enumerate(entries)
    ]
    tx.execute(_PLACE, places)


def _check_written(tx: Connection, log: Row[Any], tree: Tree) -> None:
    """Read back entries and tiles. Raises LogBroken where they are not those that were hashed."""
    again = tree_of(log.size, lambda level, number: kept.tile(tx, log.tenant_id, level, number))
    for _ in again.append([leaf_hash(leaf) for leaf in kept.leaves(tx, log.tenant_id, log.size, tree.size)]):
        pass
    now = tree_of(tree.size, lambda level, number: kept.tile(tx, log.tenant_id, level, number))
    if not again.root() == now.root() == tree.root():
        raise _broken(log, "What was read back is not what was written.")


def _sign(tx: Connection, keyring: Keyring, log: Row[Any], tree: Tree, at: datetime) -> None:
    origin = origin_of(name_of(keyring.deployment, log.tenant_id), log.generation)
    note = sign(Checkpoint(origin=origin, size=tree.size, root=tree.root()), signers(keyring, log.tenant_id))
    this = update(audit_logs).where(audit_logs.c.tenant_id == log.tenant_id)
    since = log.waiting_since or at
    tx.execute(this.values(size=tree.size, checkpoint=note, waiting_since=since))


def _broken(log: Row[Any], why: str) -> LogBroken:
    return LogBroken(f"The audit log of {log.tenant_id} was changed. {why} Run: panless audit verify.")
