"""Tenants and their clients: who may call, and how it proves that. What a key is: `client_keys.py`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from keys.errors import KeyMissing
from keys.identity import identified, identity_of
from keys.keyring import Keyring
from rows.conditions import together
from rows.engine import reading
from rows.prepared import Prepared
from vault import audit
from vault.caller import Caller
from vault.canonical import Plain
from vault.desk import Desk, desk_for
from vault.errors import NotFoundHere
from vault.ids import new_id
from vault.ledger.book import Ledger
from vault.ledger.deciding import decide
from vault.ledger.settling import settle
from vault.personal import Secret
from vault.tables import client_keys, clients, guard, tenants
from vault.tenancy.client_keys import (
    UNSEEN,
    Arrival,
    Presented,
    Terms,
    is_genuine,
    key_row,
    meets,
    new_key,
    terms_of,
    upgraded,
    write_key,
)
from vault.tenancy.scopes import SCOPES

ANY_TIME = Terms()
REVOKED = "client.revoke"
"""What the ledger and the audit log call a revocation."""


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
    key: "KeyShown | None" = None
    """The key that proved it."""
    person: str | None = None
    """Whom the issuer of its token vouches for besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyShown:
    """A client's key as people see it: all but what it is."""

    key_id: str
    client_id: str
    terms: Terms
    last_used_at: datetime | None
    upgrade: dict[str, Any] | None = field(default=None, repr=False)
    """What its row gets, if that is still of the form from before there were terms."""


def create_tenant(records: Engine, keyring: Keyring, *, cell: str, name: str, at: datetime) -> str:
    """A new tenant with its own keys (keystore first); its id."""
    tenant_id = new_id("ten", cell)
    keyring.create_tenant(tenant_id)
    with audit.transaction(records) as tx:
        tx.execute(insert(tenants), {"tenant_id": tenant_id, "name": name, "created_at": at})
        audit.record(desk_for(records, keyring, _operator(tenant_id, at)), tx, "tenant.create", resource=tenant_id)
    return tenant_id


def create_client(
    records: Engine,
    keyring: Keyring,
    *,
    tenant: str,
    name: str,
    live: bool,
    scopes: Iterable[str],
    at: datetime,
    terms: Terms = ANY_TIME,
) -> tuple[str, Secret]:
    """A new client with one API key: its id and the key, which is shown this once. Raises ValueError."""
    presented = new_key(tenant, live=live)
    row = _new_client(tenant, name, live=live, scopes=scopes, at=at)
    return _keep(records, keyring, row, presented, terms), Secret(write_key(presented))


def register_client(
    records: Engine,
    keyring: Keyring,
    presented: Presented,
    *,
    name: str,
    live: bool,
    scopes: Iterable[str],
    at: datetime,
    terms: Terms = ANY_TIME,
) -> str:
    """A new client that another issuer's tokens name (`client_keys.of_issuer`): its id. Raises ValueError."""
    return _keep(
        records, keyring, _new_client(presented.tenant, name, live=live, scopes=scopes, at=at), presented, terms
    )


def _new_client(tenant: str, name: str, *, live: bool, scopes: Iterable[str], at: datetime) -> dict[str, Any]:
    granted = frozenset(scopes)
    if unknown := granted - SCOPES:
        raise ValueError(f"No such scope: {', '.join(sorted(unknown))}.")
    row = {"tenant_id": tenant, "client_id": new_id("cli", tenant), "name": name, "live": live, "created_at": at}
    return {**row, "scopes": " ".join(sorted(granted))}


def _keep(records: Engine, keyring: Keyring, row: dict[str, Any], presented: Presented, terms: Terms) -> str:
    client = SimpleNamespace(**row)
    key = key_row(keyring, client, presented, terms, client.created_at)
    try:
        with audit.transaction(records) as tx:
            tx.execute(insert(clients), row)
            tx.execute(insert(client_keys), key)
            details: dict[str, Plain] = {"scopes": client.scopes, "live": client.live, "key": presented.key_id}
            caller = _operator(client.tenant_id, client.created_at)
            audit.record(
                desk_for(records, keyring, caller), tx, "client.create", resource=client.client_id, details=details
            )
    except IntegrityError:  # a new API key has a new id
        raise ValueError("This tenant has a client of that name at the issuer already.") from None
    return str(client.client_id)


def _operator(tenant: str, at: datetime) -> Caller:
    """Who makes tenants and clients: the command line."""
    return Caller(tenant=tenant, client="", live=True, at=at, request_id=new_id("req", tenant))


def authenticate(
    records: Engine, ledger: Ledger, presented: Presented, at: datetime, arrival: Arrival = UNSEEN
) -> Client | None:
    """The client whose key this is, if it may come like this; None for any reason that it is not.

    The same look says whether these are the records that the guard vouched for. Raises Refused, DatabaseReplaced.
    """
    vouched = ledger.witness.vouched
    with reading(records) as connection:
        row = _BY_KEY.one(connection, {"tenant": presented.tenant, "key": presented.key_id})
        seen = identified(connection, row.identity)
    ledger.witness.check(seen, vouched)
    return _genuine(ledger.keyring, presented, row, arrival, at) if row.client_id is not None else None


def _genuine(keyring: Keyring, presented: Presented, row: Any, arrival: Arrival, at: datetime) -> Client | None:  # noqa: ANN401  # a row of `_BY_KEY`
    if row.revoked_at is not None or presented.live not in {None, row.live}:
        return None
    try:
        if not is_genuine(keyring, presented, row) or not meets(terms_of(row), arrival, at):
            return None
        return replace(_client(row), key=replace(_shown(row), upgrade=upgraded(keyring, row)))
    except KeyMissing:
        return None


def list_clients(records: Engine, tenant: str) -> Sequence[Client]:
    """All clients of a tenant, the revoked ones too, oldest first."""
    statement = select(clients).where(clients.c.tenant_id == tenant).order_by(clients.c.created_at)
    with reading(records) as connection:
        return [_client(row) for row in connection.execute(statement)]


def list_keys(records: Engine, tenant: str) -> Sequence[KeyShown]:
    """All keys of a tenant's clients, oldest first."""
    statement = select(client_keys).where(client_keys.c.tenant_id == tenant).order_by(client_keys.c.created_at)
    with reading(records) as connection:
        return [_shown(row) for row in connection.execute(statement)]


def revoke_client(desk: Desk, ledger: Ledger, client_id: str) -> None:
    """Take a client's keys out of use for good, on the ledger, whichever mode they are of.

    From the commit on they open nothing. Revoking again changes nothing. Raises NotFoundHere.
    """
    this = and_(clients.c.tenant_id == desk.caller.tenant, clients.c.client_id == client_id)
    with reading(desk.records) as connection:
        row = connection.execute(select(clients).where(this)).one_or_none()
    if row is None:
        raise NotFoundHere("No such client.")
    if row.revoked_at is None and _decide_revocation(desk, ledger, row, this):
        settle(ledger, desk.records)


def _decide_revocation(desk: Desk, ledger: Ledger, row: Row[tuple[object, ...]], this: ColumnElement[bool]) -> bool:
    version = row.version + 1
    revoked = update(clients).where(this, clients.c.revoked_at.is_(None))
    with audit.transaction(desk.records) as tx:
        if tx.execute(revoked.values(revoked_at=desk.caller.at, version=version)).rowcount != 1:
            return False  # somebody was faster, and tells the ledger
        decide(tx, ledger, desk.caller, REVOKED, row.client_id, version=version)
        audit.record(desk, tx, REVOKED, resource=row.client_id)
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


def _shown(row: Any) -> KeyShown:  # noqa: ANN401  # a key's row
    return KeyShown(
        key_id=row.key_id,
        client_id=row.client_id,
        terms=terms_of(row),
        last_used_at=row.last_used_at,
    )


_THIS_KEY = and_(client_keys.c.tenant_id == bindparam("tenant"), client_keys.c.key_id == bindparam("key"))
ITS_CLIENT = together(client_keys, clients, "client_id")
OF_KEY = [
    client_keys.c[name] for name in ("key_id", "digest", "mac", "expires_at", "networks", "certificate", "last_used_at")
]
# A key that these records don't know has no client, but the guard's row comes all the same.
_BY_KEY = Prepared(
    select(
        *clients.c,
        *OF_KEY,
        identity_of(guard).label("identity"),
    ).select_from(guard.outerjoin(client_keys, _THIS_KEY).outerjoin(clients, ITS_CLIENT))
)
