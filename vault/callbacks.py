"""Telling others how a rights request stands, each time it stands elsewhere: at least once, for three days at most.

There is a row for each request and address. What is told is how the request stands when it is told, so that a message
that comes late is never wrong. An address is sealed: it may hold a token.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, select, update

from keys.context import Context
from keys.database import reading, transaction
from keys.keyring import Keyring
from vault import rights
from vault.caller import Caller
from vault.columns import database_clock
from vault.errors import CallbackFailed
from vault.rights import RightsRequest
from vault.sealing import place_of, seal_value, unseal_value
from vault.statements import inserted, write
from vault.tables import callbacks, rights_requests

RETRIED_FOR = timedelta(days=3)
LEASE_SECONDS = 60
BATCH = 100
FIRST_PAUSE, LONGEST_PAUSE = 5, 3600
FINAL = rights.COMPLETED | {"denied", "cancelled"}

Address = Mapping[str, str]
Tell = Callable[[Caller, RightsRequest, str, Address], str | None]
"""Tell an address of a request that stood in the given state before; None, or a code that says why it failed."""


def is_allowed(hosts: Collection[str], tenant: str, client: str, url: str) -> bool:
    """Whether a controller may have us call this URL: https, and its host (`host` or `host:port`) among `hosts`.

    An entry is for everybody, or begins with the id of a tenant or of a client and `=`.
    """
    if not (url.isascii() and url.isprintable() and " " not in url):
        return False
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address, or do not match
        return False
    named = {parts.netloc, f"{tenant}={parts.netloc}", f"{client}={parts.netloc}"}
    return parts.scheme == "https" and not parts.fragment and not named.isdisjoint(hosts)


def ask(
    tx: Connection,
    keyring: Keyring,
    caller: Caller,
    request_id: str,
    name: str,
    protocol: str,
    address: Address,
    told: str,
) -> None:
    """Have an address told of a request that stands at `told` now, in place of the one of that name."""
    key = {"tenant_id": caller.tenant, "request_id": request_id, "name": name}
    sealed = seal_value(keyring.tenant_key(caller.tenant, "secrets"), address, _place(keyring, **key))
    tx.execute(delete(callbacks).where(_this(**key)))
    row = {**key, "protocol": protocol, "address": sealed, "told": told, "trying": told}
    write(tx, inserted(callbacks, row, clocks={"next_attempt_at": 0}))


def due(records: Engine) -> Sequence[Row[Any]]:
    """Every address to be told something, with `live` and the `state` of its request."""
    with reading(records) as connection:
        return connection.execute(_DUE).all()


def take_up(records: Engine, row: Row[Any]) -> bool:
    """Take the lease of an attempt; whether this process got it."""
    free = and_(_of(row), callbacks.c.next_attempt_at <= database_clock())
    with transaction(records) as tx:
        return _changed(tx, free, next_attempt_at=database_clock(LEASE_SECONDS))


def tell(records: Engine, keyring: Keyring, tellers: Mapping[str, Tell], caller: Caller, row: Row[Any]) -> bool:
    """Tell one address how its request stands. Raises CallbackFailed, once that is written down."""
    request = rights.read(records, caller, row.request_id)
    teller = tellers.get(row.protocol)
    place = _place(keyring, row.tenant_id, row.request_id, row.name)
    address = unseal_value(keyring.tenant_key(row.tenant_id, "secrets"), row.address, place)
    failed = "not_configured" if teller is None else teller(caller, request, row.told, address)
    if failed is None:
        _end(records, row, request.status)
        return True
    _put_off(records, caller, row, request.status)
    raise CallbackFailed(f"A callback of {request.id} failed: {failed}.")


def _end(records: Engine, row: Row[Any], state: str) -> None:
    """This state is told, or given up; after a final one nothing more will be."""
    rest = {"address": None} if state in FINAL else {}
    with transaction(records) as tx:
        _changed(
            tx,
            _of(row),
            told=state,
            trying=state,
            attempts=0,
            failing_since=None,
            next_attempt_at=database_clock(),
            **rest,
        )


def _put_off(records: Engine, caller: Caller, row: Row[Any], state: str) -> None:
    """Try again later, and later each time; after three days that state is not told any more."""
    is_new = row.trying != state
    since, attempts = (caller.at, 1) if is_new or row.failing_since is None else (row.failing_since, row.attempts + 1)
    if caller.at - since >= RETRIED_FOR:
        _end(records, row, state)
        return
    pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 12), LONGEST_PAUSE)
    with transaction(records) as tx:
        _changed(
            tx, _of(row), trying=state, attempts=attempts, failing_since=since, next_attempt_at=database_clock(pause)
        )


def _changed(tx: Connection, which: ColumnElement[bool], **values: object) -> bool:
    return tx.execute(update(callbacks).where(which).values(values)).rowcount == 1


def _place(keyring: Keyring, tenant_id: str, request_id: str, name: str) -> Context:
    return place_of(keyring, tenant_id, "callbacks", "address", f"{request_id} {name}")


def _this(tenant_id: str, request_id: str, name: str) -> ColumnElement[bool]:
    return and_(callbacks.c.tenant_id == tenant_id, callbacks.c.request_id == request_id, callbacks.c.name == name)


def _of(row: Row[Any]) -> ColumnElement[bool]:
    """This row, unless another address stands there by now."""
    return and_(_this(row.tenant_id, row.request_id, row.name), callbacks.c.address == row.address)


_DUE = (
    select(callbacks, rights_requests.c.live, rights_requests.c.state)
    .join(
        rights_requests,
        and_(
            rights_requests.c.tenant_id == callbacks.c.tenant_id,
            rights_requests.c.request_id == callbacks.c.request_id,
        ),
    )
    .where(
        callbacks.c.address.is_not(None),
        callbacks.c.next_attempt_at <= database_clock(),
        callbacks.c.told != rights_requests.c.state,
    )
    .order_by(callbacks.c.next_attempt_at)
    .limit(BATCH)
)
