"""Sequencing: entries that are committed get their places in the log, and a checkpoint over them is signed.

One transaction a batch, under the lock of the log's row, so that no two workers ever sign two continuations. Before it
signs, it holds what is kept against the last checkpoint that was signed and against the last one that this worker
signed or saw, and reads back what it wrote: what changed on the way does not get a signature.

Root keys are asked, and MACs checked, before that transaction: on SQLite it holds up every other writer.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Engine, Row, bindparam, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from keys.keyring import Keyring
from rows.changes import inserted, write
from rows.conditions import given
from rows.engine import is_sqlite, reading, transaction
from vault.audit import LEAF_KEY
from vault.errors import LogBroken, NotContinued
from vault.tables import audit_entries, audit_logs
from vault.tlog import kept
from vault.tlog.merkle import Tree, leaf_hash, tree_of
from vault.tlog.notes import Checkpoint, NotGenuine, Verifier, open_note, sign
from vault.tlog.signing import name_of, origin_of, parse_origin, signers
from vault.tlog.verifying import RESTORED

BATCH, BATCH_ALONE = 4096, 512
"""Entries that get their places in one transaction at most; on SQLite fewer, because it has one writer."""

_WAITING = audit_entries.c.position.is_(None)
_PLACE = (
    update(audit_entries).where(given(audit_entries, "lane", "counter"), _WAITING).values(position=bindparam("place"))
)


@dataclass(frozen=True, slots=True)
class Known:
    """How far a worker saw a log, and what was signed there: None where nothing was yet."""

    generation: int
    size: int
    checkpoint: Checkpoint | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """All that a turn needs of the keyring."""

    name: str
    macs: Mapping[bytes, bytes]
    newer: Mapping[bytes, bytes]
    signers: Sequence[tuple[Verifier, Ed25519PrivateKey]]

    @property
    def verifiers(self) -> list[Verifier]:
        return [verifier for verifier, _ in self.signers]


def waiting(records: Engine) -> Sequence[str]:
    """The tenants of which entries wait for their places."""
    with reading(records) as connection:
        return connection.scalars(select(audit_entries.c.tenant_id).where(_WAITING).distinct()).all()


def found(records: Engine, tenant: str) -> None:
    """Begin the log of a tenant, if it has none."""
    row = {"generation": 1, "size": 0, "checkpoint": b"", "anchored_size": 0, "waiting_since": None}
    with transaction(records) as tx:
        write(tx, inserted(audit_logs, {"tenant_id": tenant} | row, if_absent=True))


def sequence(
    records: Engine, keyring: Keyring, tenant: str, at: datetime, most: int, known: Known | None = None
) -> Known | None:
    """Give places to at `most` so many entries, and sign; how far the log is now. None if another worker has it.

    Within a lane the places follow its numbers, so at each checkpoint a lane has all its numbers from 1 on. An entry
    whose MAC is wrong, or that lies in another's row, gets no place. Raises NotContinued where the log does not go on
    from what is `known`, LogBroken, and as `Keyring.tenant_key`.
    """
    keys = _keys(keyring, tenant)
    with reading(records) as connection:
        before = kept.log_of(connection, tenant)
        entries = _genuine(connection, keys, tenant, most)
    if before is None:
        return None
    try:
        with transaction(records) as tx:
            log = _locked(tx, tenant)
            if log is None or (log.generation, log.size) != (before.generation, before.size):
                return None
            tree = _checked_tree(tx, keys, log, known)
            return _known(log, tree, keys) if not entries else _placed(tx, keys, log, tree, entries, at)
    except IntegrityError:
        raise _broken(tenant, "An entry has a place that nobody gave it.") from None


def sizes(records: Engine) -> dict[str, tuple[int, int]]:
    """Generation and size of each log, by its row's word."""
    with reading(records) as connection:
        rows = connection.execute(select(audit_logs.c.tenant_id, audit_logs.c.generation, audit_logs.c.size)).all()
    return {row.tenant_id: (row.generation, row.size) for row in rows}


def follow(records: Engine, keyring: Keyring, tenant: str, known: Known) -> Known:
    """How far the log is by now, which another worker took on. Raises NotContinued, LogBroken; as `sequence`."""
    keys = _keys(keyring, tenant)
    with reading(records) as connection:
        log = kept.log_of(connection, tenant)
        if log is None or (log.generation, log.size) == (known.generation, known.size):
            return known
        return _known(log, _checked_tree(connection, keys, log, known), keys)


def batch(records: Engine) -> int:
    """How many entries get their places in one transaction at most."""
    return BATCH_ALONE if is_sqlite(records) else BATCH


def _placed(tx: Connection, keys: _Keys, log: Row[Any], tree: Tree, entries: Sequence[Any], at: datetime) -> Known:
    tiles = [*tree.append([leaf_hash(each.leaf.encode()) for each in entries]), *tree.partial_tiles()]
    _place(tx, log, entries)
    kept.keep_tiles(tx, log.tenant_id, log.size, tiles)
    _check_written(tx, log, tree)
    return _sign(tx, keys, log, tree, at)


def _keys(keyring: Keyring, tenant: str) -> _Keys:
    name = name_of(keyring.deployment, tenant)
    known, newer = keyring.subkeys(tenant, *LEAF_KEY), keyring.subkeys_now(tenant, *LEAF_KEY)
    return _Keys(name=name, macs=known, newer=newer, signers=signers(keyring, tenant))


def _checked_tree(tx: Connection, keys: _Keys, log: Row[Any], known: Known | None) -> Tree:
    """The log's tree as its tiles give it. Raises LogBroken where that is not what was signed last, NotContinued."""
    if not log.size and not log.checkpoint:
        tree, origin = Tree(), origin_of(keys.name, 1)
    else:
        tree, origin = _signed_tree(tx, keys, log)
    if origin != origin_of(keys.name, log.generation) and not _says_restored(tx, keys, log):
        raise _broken(log.tenant_id, "It claims a generation that no entry began.")
    if known is not None and not _goes_on(tx, log, tree, known):
        raise NotContinued(f"The audit log of {log.tenant_id} does not go on from where it was.")
    return tree


def _signed_tree(tx: Connection, keys: _Keys, log: Row[Any]) -> tuple[Tree, str]:
    try:
        signed = open_note(log.checkpoint, keys.verifiers)
        tree = _tree(tx, log, log.size)
        past = parse_origin(signed.origin)[2] <= log.generation
    except (NotGenuine, ValueError) as error:
        raise _broken(log.tenant_id, str(error)) from None
    is_ours = signed.origin.startswith(keys.name)
    if (signed.size, signed.root) != (tree.size, tree.root()) or not (past and is_ours):
        raise _broken(log.tenant_id, "Its tiles are not those that the last checkpoint was signed over.")
    return tree, signed.origin


def _goes_on(tx: Connection, log: Row[Any], tree: Tree, known: Known) -> bool:
    if (log.generation, log.size) < (known.generation, known.size):
        return False
    if known.generation != log.generation:
        return False
    signed = known.checkpoint
    if signed is None:
        return True
    earlier = tree if signed.size == tree.size else _tree(tx, log, signed.size)
    return earlier.root() == signed.root


def _says_restored(tx: Connection, keys: _Keys, log: Row[Any]) -> bool:
    """Whether a genuine entry says that this generation was begun."""
    mine = audit_entries.c.tenant_id == log.tenant_id, audit_entries.c.action == RESTORED
    rows = tx.execute(select(audit_entries).where(*mine)).all()
    said = [json.loads(row.leaf)["details"]["generation"] for row in rows if _is_ours(keys, row)]
    return log.generation in said


def _tree(tx: Connection, log: Row[Any], size: int) -> Tree:
    return tree_of(size, lambda level, number: kept.tile(tx, log.tenant_id, level, number))


def _locked(tx: Connection, tenant: str) -> Row[Any] | None:
    """The log's row, if no other worker has it."""
    this = select(audit_logs).where(audit_logs.c.tenant_id == tenant)
    return tx.execute(this.with_for_update(skip_locked=True)).one_or_none()


def _genuine(connection: Connection, keys: _Keys, tenant: str, most: int) -> list[Any]:
    """The next entries to be placed, by lane and number; what was forged is passed over."""
    key = (audit_entries.c.lane, audit_entries.c.counter)
    columns = select(*key, audit_entries.c.leaf, audit_entries.c.mac)
    mine = columns.where(audit_entries.c.tenant_id == tenant, _WAITING).order_by(*key).limit(most)
    good: list[Any] = []
    page: Sequence[Any] = connection.execute(mine).all()
    while page and len(good) < most:
        good += [each for each in page if _is_ours(keys, each) and _is_in_its_row(each)]
        page = connection.execute(mine.where(tuple_(*key) > page[-1][:2])).all() if len(page) == most else []
    return good[:most]


def _is_ours(keys: _Keys, row: Any) -> bool:  # noqa: ANN401  # a row
    """Whether one of the tenant's keys made its MAC; perhaps one that is too new for what this process remembers."""
    leaf = row.leaf.encode()
    return any(
        hmac.compare_digest(hmac.digest(key, leaf, hashlib.sha256), row.mac)
        for known in (keys.macs, keys.newer)
        for key in known.values()
    )


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
    again = _tree(tx, log, log.size)
    for _ in again.append([leaf_hash(leaf) for leaf in kept.leaves(tx, log.tenant_id, log.size, tree.size)]):
        pass
    if not again.root() == _tree(tx, log, tree.size).root() == tree.root():
        raise _broken(log.tenant_id, "What was read back is not what was written.")


def _sign(tx: Connection, keys: _Keys, log: Row[Any], tree: Tree, at: datetime) -> Known:
    known = _known(log, tree, keys)
    if known.checkpoint is None:
        raise _broken(log.tenant_id, "There is nothing to sign.")
    note = sign(known.checkpoint, keys.signers)
    since = min(log.waiting_since or at, at)  # a clock that was ahead once must not keep anchors waiting
    this = update(audit_logs).where(audit_logs.c.tenant_id == log.tenant_id)
    tx.execute(this.values(size=tree.size, checkpoint=note, waiting_since=since))
    return known


def _known(log: Row[Any], tree: Tree, keys: _Keys) -> Known:
    origin = origin_of(keys.name, log.generation)
    signed = Checkpoint(origin=origin, size=tree.size, root=tree.root()) if tree.size else None
    return Known(log.generation, tree.size, signed)


def _broken(tenant: str, why: str) -> LogBroken:
    return LogBroken(f"The audit log of {tenant} was changed. {why} Run: panless audit verify.")
