"""Tenants and their clients: who may call, and how an API key proves it.

A key reads `panless_test_` or `panless_live_`, the tenant's and the key's id, 256 random bits and a checksum, so that
the tenant is known before the first row is read and a typing error costs none. What is stored is an HMAC that binds
tenant, client, key, mode and scopes: a writer of the database who edits any of them makes the key stop working.
"""

import hashlib
import hmac
import secrets
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, bindparam, exists, insert, select, update

from keys.database import reading, transaction
from keys.errors import KeyMissing
from keys.identity import identified, identity_of
from keys.keyring import Keyring
from keys.prepared import Prepared
from vault import audit
from vault.caller import Caller
from vault.errors import NotFoundHere
from vault.ids import BODY_LENGTH, base32, new_id
from vault.ledger import Ledger, decide, settle
from vault.personal import Secret
from vault.scopes import SCOPES
from vault.tables import client_keys, clients, guard, heartbeat, processor_accounts, tenants

_PEPPER = ("client_key", "api-key")
_SECRET_LENGTH = 52
_CHECKSUM_LENGTH = 8
_KEY_LENGTH = 2 * BODY_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
_MODES = {"panless_test_": False, "panless_live_": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that calls us, as its key proved."""

    tenant: str
    client_id: str
    name: str
    live: bool
    scopes: frozenset[str]
    created_at: datetime
    revoked_at: datetime | None
    is_behind: bool = False
    """Whether commits of its tenant may be lost: see `catching_up`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """The parts of an API key that somebody presents."""

    tenant: str
    key_id: str
    live: bool
    secret: str = field(repr=False)


def create_tenant(records: Engine, keyring: Keyring, *, cell: str, name: str, at: datetime) -> str:
    """A new tenant with its own keys (keystore first); its id."""
    tenant_id = new_id("ten", cell)
    keyring.create_tenant(tenant_id)
    with transaction(records) as tx:
        tx.execute(insert(tenants), {"tenant_id": tenant_id, "name": name, "created_at": at})
    return tenant_id


def create_client(
    records: Engine, keyring: Keyring, *, tenant: str, name: str, live: bool, scopes: Iterable[str], at: datetime
) -> tuple[str, Secret]:
    """A new client with one API key: its id and the key, which is shown this once. Raises ValueError."""
    granted = frozenset(scopes)
    if unknown := granted - SCOPES:
        raise ValueError(f"No such scope: {', '.join(sorted(unknown))}.")
    client_id, key_id = new_id("cli", tenant), new_id("key", tenant)
    presented = Presented(tenant=tenant, key_id=key_id, live=live, secret=base32(secrets.token_bytes(32)))
    written = " ".join(sorted(granted))
    row = {
        "tenant_id": tenant,
        "client_id": client_id,
        "name": name,
        "scopes": written,
        "live": live,
        "created_at": at,
    }
    digest = _digest(keyring.subkey(tenant, *_PEPPER), presented, client_id, written)
    with transaction(records) as tx:
        tx.execute(insert(clients), row)
        key_row = {"tenant_id": tenant, "key_id": key_id, "client_id": client_id, "digest": digest, "created_at": at}
        tx.execute(insert(client_keys), key_row)
    return client_id, Secret(_write(presented))


def parse_key(key: str) -> Presented | None:
    """The parts of a well-formed API key, else None. Reads no row."""
    prefix, rest = key[:13], key[13:]
    if prefix not in _MODES or len(rest) != _KEY_LENGTH or not (rest.isascii() and rest.isalnum()):
        return None
    tenant, key_id = rest[:BODY_LENGTH], rest[BODY_LENGTH : 2 * BODY_LENGTH]
    presented = Presented(
        tenant=f"ten_{tenant}",
        key_id=f"key_{key_id}",
        live=_MODES[prefix],
        secret=rest[2 * BODY_LENGTH : -_CHECKSUM_LENGTH],
    )
    return presented if hmac.compare_digest(_write(presented), key) else None


def authenticate(records: Engine, ledger: Ledger, presented: Presented, at: datetime) -> Client | None:
    """The client whose key this is; None for any reason that it is not.

    The same look says whether these are the records that the guard vouched for. Raises Refused, DatabaseReplaced.
    """
    vouched = ledger.witness.vouched
    with reading(records) as connection:
        row = _BY_KEY.one(connection, {"tenant": presented.tenant, "key": presented.key_id, "live": presented.live})
        seen = identified(connection, row.identity)
    ledger.witness.check(seen, vouched)
    client = _genuine(ledger.keyring, presented, row, at) if row.client_id is not None else None
    behind = row.is_behind or seen.instance != row.alive_in
    return replace(client, is_behind=True) if client is not None and behind else client


def _genuine(keyring: Keyring, presented: Presented, row: Any, at: datetime) -> Client | None:  # noqa: ANN401  # a row of `_BY_KEY`
    try:
        genuine = _is_genuine(keyring, presented, row)
    except KeyMissing:
        return None
    expired = row.expires_at is not None and row.expires_at <= at
    if not genuine or expired or row.revoked_at is not None or row.live != presented.live:
        return None
    return _client(row)


def list_clients(records: Engine, tenant: str) -> Sequence[Client]:
    """All clients of a tenant, the revoked ones too, oldest first."""
    statement = select(clients).where(clients.c.tenant_id == tenant).order_by(clients.c.created_at)
    with reading(records) as connection:
        return [_client(row) for row in connection.execute(statement)]


def revoke_client(records: Engine, keyring: Keyring, ledger: Ledger, caller: Caller, client_id: str) -> None:
    """Take a client's keys out of use for good, on the ledger, whichever mode they are of.

    From the commit on they open nothing. Revoking again changes nothing. Raises NotFoundHere.
    """
    this = and_(clients.c.tenant_id == caller.tenant, clients.c.client_id == client_id)
    with reading(records) as connection:
        row = connection.execute(select(clients).where(this)).one_or_none()
    if row is None:
        raise NotFoundHere("No such client.")
    if row.revoked_at is None and _decide_revocation(records, keyring, ledger, caller, row, this):
        settle(ledger, records)


def _decide_revocation(
    records: Engine,
    keyring: Keyring,
    ledger: Ledger,
    caller: Caller,
    row: Row[tuple[object, ...]],
    this: ColumnElement[bool],
) -> bool:
    version = row.version + 1
    revoked = update(clients).where(this, clients.c.revoked_at.is_(None))
    with audit.transaction(records) as tx:
        if tx.execute(revoked.values(revoked_at=caller.at, version=version)).rowcount != 1:
            return False  # somebody was faster, and tells the ledger
        decide(tx, ledger, caller, "client.revoke", row.client_id, version=version)
        audit.record(tx, keyring, caller, "client.revoke", resource=row.client_id)
    return True


def _client(row: Row[tuple[object, ...]]) -> Client:
    return Client(
        tenant=row.tenant_id,
        client_id=row.client_id,
        name=row.name,
        live=row.live,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )


def _write(presented: Presented) -> str:
    mode = "live" if presented.live else "test"
    body = f"panless_{mode}_{presented.tenant[4:]}{presented.key_id[4:]}{presented.secret}"
    return f"{body}{zlib.crc32(body.encode()):08x}"


def _is_genuine(keyring: Keyring, presented: Presented, row: Any) -> bool:  # noqa: ANN401  # as above
    """Whether one of the tenant's peppers made this digest: the newest, or one before it. Raises KeyMissing."""
    return any(
        hmac.compare_digest(_digest(key, presented, row.client_id, row.scopes), row.digest)
        for subkeys in (keyring.subkeys, keyring.subkeys_now)
        for key in subkeys(presented.tenant, *_PEPPER).values()
    )


def _digest(key: bytes, presented: Presented, client_id: str, scopes: str) -> bytes:
    mode = "live" if presented.live else "test"
    parts = (presented.tenant, client_id, presented.key_id, mode, scopes, presented.secret)
    message = b"".join(struct.pack(">H", len(part)) + part.encode() for part in parts)
    return hmac.digest(key, message, hashlib.sha256)


_THIS_KEY = and_(client_keys.c.tenant_id == bindparam("tenant"), client_keys.c.key_id == bindparam("key"))
_ITS_CLIENT = and_(client_keys.c.tenant_id == clients.c.tenant_id, client_keys.c.client_id == clients.c.client_id)
_BEHIND = select(processor_accounts.c.account_id).where(
    processor_accounts.c.tenant_id == bindparam("tenant"),
    processor_accounts.c.live == bindparam("live"),
    processor_accounts.c.look_from.is_not(None),
    processor_accounts.c.deleted_at.is_(None),
)
# A key that these records don't know has no client, but the guard's row comes all the same.
_BY_KEY = Prepared(
    select(
        clients,
        client_keys.c.digest,
        client_keys.c.expires_at,
        identity_of(guard).label("identity"),
        select(heartbeat.c.instance).scalar_subquery().label("alive_in"),
        exists(_BEHIND).label("is_behind"),
    ).select_from(guard.outerjoin(client_keys, _THIS_KEY).outerjoin(clients, _ITS_CLIENT))
)
