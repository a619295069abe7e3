"""The audit log: one entry a look or change, written in the transaction of what it records.

An entry is a *leaf*: canonical JSON (RFC 8785), version 1, that holds ids and codes only, never personal data. Its MAC
(HMAC-SHA256 under the tenant's audit key, which the database does not have) keeps a writer of the database from forging
one. Each database connection writes its own *lane* per tenant and numbers its entries without a gap, so a missing
number is a deleted entry. A transaction that fails, or whose commit has an unknown outcome, ends its connection's
lanes: the next entry opens new ones, and no number is missing anywhere.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from keys.keyring import Keyring
from rows import changes, engine
from rows.changes import Change, inserted, write
from rows.engine import is_sqlite
from vault.canonical import Plain, canonical
from vault.desk import Desk
from vault.tables import audit_entries

LEAF_VERSION = 1
LEAF_KEY = ("audit", "leaf")
"""Which of a tenant's own keys MACs are made with."""

LARGEST_LEAF = 0xFFFF
"""Bytes: what a bundle of entries can say (C2SP tlog-tiles)."""

_LANES = "panless.lanes"
_DEADLOCK = "40P01"

Details = Mapping[str, Plain]


@contextmanager
def transaction(records: Engine) -> Iterator[Connection]:
    """A write transaction on the records, whose audit lanes end when it fails.

    It commits in here: once the connection is back in its pool, another thread would go on in a lane that has failed.
    """
    with engine.transaction(records) as tx:
        lanes: dict[str, list[Any]] = tx.info.setdefault(_LANES, {})
        try:
            yield tx
            tx.commit()
        except BaseException:
            lanes.clear()
            raise


def write_whole(records: Engine, make: Callable[[Connection], Sequence[Change]]) -> bool:
    """Make changes in a transaction of their own, all of them or none; whether they were made.

    `make` is given the connection that they go over. On PostgreSQL they are one statement, which is its own
    transaction and spares a BEGIN and a COMMIT. None of them sees what another one did. Where PostgreSQL
    ended it because of a deadlock, nothing was done and the other one has gone on: it is made once more.
    """
    try:
        return _written_whole(records, make)
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _DEADLOCK:
            raise
        return _written_whole(records, make)


def _written_whole(records: Engine, make: Callable[[Connection], Sequence[Change]]) -> bool:
    one_trip = not is_sqlite(records)
    with (engine.reading if one_trip else engine.transaction)(records) as connection:
        lanes: dict[str, list[Any]] = connection.info.setdefault(_LANES, {})
        try:
            whole = changes.write_whole(connection, make(connection))
            if not one_trip:
                (connection.commit if whole else connection.rollback)()
        except BaseException:
            lanes.clear()
            raise
        if not whole:
            lanes.clear()
    return whole


def record(
    desk: Desk,
    tx: Connection,
    action: str,
    *,
    customer: str | None = None,
    resource: str | None = None,
    details: Details | None = None,
) -> None:
    """Write one entry into `tx`. `details` are codes, counts and our own ids, never anything personal."""
    write(tx, entry(desk, tx, action, customer=customer, resource=resource, details=details))


def entry(
    desk: Desk,
    tx: Connection,
    action: str,
    *,
    customer: str | None = None,
    resource: str | None = None,
    details: Details | None = None,
) -> Change:
    """An entry with the next number of its lane, to be written into `tx` together with what it records."""
    lane, counter = _next(tx, desk.caller.tenant)
    leaf = canonical(
        {
            "v": LEAF_VERSION,
            "deployment": desk.keyring.deployment,
            "tenant": desk.caller.tenant,
            "lane": lane,
            "counter": counter,
            "at": desk.caller.at.isoformat(timespec="microseconds"),
            "client": desk.caller.client,
            "actor": desk.caller.actor,
            "action": action,
            "customer": customer,
            "resource": resource,
            "purpose": desk.caller.purpose,
            "reference": desk.caller.purpose_reference,
            "request_id": desk.caller.request_id,
            "details": {**(details or {})},
        }
    )
    if len(leaf) > LARGEST_LEAF:
        raise ValueError("an audit entry holds ids and codes, and these are too many")
    return inserted(
        audit_entries,
        {
            "tenant_id": desk.caller.tenant,
            "lane": lane,
            "counter": counter,
            "leaf": leaf.decode(),
            "mac": leaf_mac(desk.keyring, desk.caller.tenant, leaf),
            "at": desk.caller.at,
            "action": action,
            "client_id": desk.caller.client or None,
            "customer_id": customer,
            "resource_id": resource,
        },
    )


def leaf_mac(keyring: Keyring, tenant: str, leaf: bytes) -> bytes:
    """HMAC-SHA256 of the leaf under the tenant's audit key."""
    return hmac.digest(keyring.subkey(tenant, *LEAF_KEY), leaf, hashlib.sha256)


def is_genuine(keyring: Keyring, tenant: str, leaf: bytes, mac: bytes) -> bool:
    """Whether this is the MAC of the leaf under an audit key that the tenant has or had."""
    keys = keyring.subkeys(tenant, *LEAF_KEY).values()
    return any(hmac.compare_digest(hmac.digest(key, leaf, hashlib.sha256), mac) for key in keys)


def _next(tx: Connection, tenant: str) -> tuple[str, int]:
    lane: list[Any] = tx.info[_LANES].setdefault(tenant, [secrets.token_hex(16), 0])
    lane[1] += 1
    return lane[0], lane[1]
