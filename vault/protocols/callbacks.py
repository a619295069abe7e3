"""Telling others how a rights request stands, each time it stands elsewhere: at least once, for three days at most.

There is a row for each request and address. What is told is how the request stands when it is told, so that a message
that comes late is never wrong. An address is sealed: it may hold a token. Whatever fails while one is told, a call or
our own code, is tried again later, and later each time.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, delete, select, update

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import inserted, write
from rows.clock import database_clock
from rows.conditions import of_row, together
from rows.engine import reading, transaction
from vault import leases
from vault.desk import Desk
from vault.errors import CallbackFailed
from vault.requests import rights
from vault.requests.rights import RightsRequest
from vault.sealing import open_own, place_of, seal_value
from vault.tables import callbacks, rights_requests

RETRIED_FOR = timedelta(days=3)
LEASE_SECONDS = 60
BATCH = 100
FIRST_PAUSE, LONGEST_PAUSE = 5, 3600
FINAL = rights.COMPLETED | {"denied", "cancelled"}
NOT_BEGUN = {*rights.UNDECIDED, "approved"}

Address = Mapping[str, str]
Tell = Callable[[Desk, RightsRequest, str, str, Address], str | None]
"""Tell an address of a request that was told to stand in the first state that it stands in the second, which is as it
stands now or where it was on the way; None, or a code that says why it failed."""

NOT_CALLED = frozenset({"not_configured", "host_not_allowed", "not_certified_yet"})
"""The codes of what fails before anybody is called, and is no fault of theirs."""

Host = tuple[str, str]
"""A tenant, and a host that it has us call, or the protocol that calls one for all: no tenant holds up another's."""


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


def ask(desk: Desk, tx: Connection, request_id: str, name: str, protocol: str, address: Address, told: str) -> None:
    """Have an address told of a request that stands at `told` now, in place of the one of that name."""
    key = {"tenant_id": desk.caller.tenant, "request_id": request_id, "name": name}
    place = _place(desk.keyring, desk.caller.tenant, request_id, name)
    sealed = seal_value(desk.keyring.tenant_key(desk.caller.tenant, "secrets"), address, place)
    tx.execute(delete(callbacks).where(_this(**key)))
    row = {**key, "protocol": protocol, "address": sealed, "told": told, "trying": told}
    write(tx, inserted(callbacks, row, clocks={"next_attempt_at": 0}))


def due(records: Engine) -> Sequence[Row[Any]]:
    """Every address to be told something, with `live` and the `state` of its request."""
    with reading(records) as connection:
        return connection.execute(_DUE).all()


def take_up(records: Engine, row: Row[Any]) -> bool:
    """Take the lease of an attempt; whether this process got it."""
    same = callbacks.c.address == row.address
    return leases.take(records, callbacks, row, "next_attempt_at", LEASE_SECONDS, same)


def tell(desk: Desk, tellers: Mapping[str, Tell], row: Row[Any], failing: set[Host]) -> bool:
    """Tell one address how its request stands, and how it did on the way there; whether that was done.

    A host among `failing` is not called: its turn comes when the lease is over. Raises CallbackFailed, once that is
    written down; a host that was called in vain is among `failing` then.
    """
    told, state, teller = row.told, row.state, tellers.get(row.protocol, _nobody)
    try:
        request, address = rights.read(desk, row.request_id), opened(desk.keyring, row)
        host = row.tenant_id, urlsplit(address.get("url", "")).netloc or row.protocol
        if host in failing:
            return False
        for state in _steps(told, request.status):
            code = teller(desk, request, told, state, address)
            failing.update({host} if code and code not in NOT_CALLED else ())
            _check(request, code)
            _end(desk.records, row, state)
            told = state
    except Exception as error:
        _put_off(desk, row, state)
        if isinstance(error, CallbackFailed):
            raise
        raise CallbackFailed(f"A callback of {row.request_id} failed: {type(error).__name__}.") from error
    return True


def is_last(desk: Desk, request_id: str, name: str, waiting: Collection[str], state: str) -> bool:
    """Whether no callback of that name for another request is still to be told that it is past the `waiting` states.

    If one is, then that one says it for both: this one counts as told from the same moment on, so that of several
    which are told at once there is exactly one last.
    """
    theirs = and_(
        callbacks.c.tenant_id == desk.caller.tenant, callbacks.c.name == name, callbacks.c.address.is_not(None)
    )
    pending = select(callbacks.c.request_id).where(theirs, callbacks.c.told.in_(waiting))
    with transaction(desk.records) as tx:
        found = set(tx.scalars(pending.order_by(callbacks.c.request_id).with_for_update()))
        if found <= {request_id}:
            return True
        _changed(tx, _this(desk.caller.tenant, request_id, name), told=state)
    return False


def _steps(told: str, state: str) -> Sequence[str]:
    """What there is to tell: a request that was completed before anybody looked was executed all the same."""
    return ("executing", state) if told in NOT_BEGUN and state in rights.COMPLETED else (state,)


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


def _put_off(desk: Desk, row: Row[Any], state: str) -> None:
    """Try again later, and later each time; after three days that state is not told any more."""
    is_new = row.trying != state
    since, attempts = (
        (desk.caller.at, 1) if is_new or row.failing_since is None else (row.failing_since, row.attempts + 1)
    )
    if desk.caller.at - since >= RETRIED_FOR:
        _end(desk.records, row, state)
        return
    pause = leases.pause(attempts - 1, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
    with transaction(desk.records) as tx:
        _changed(
            tx, _of(row), trying=state, attempts=attempts, failing_since=since, next_attempt_at=database_clock(pause)
        )


def _nobody(*_: object) -> str:
    return "not_configured"


def _check(request: RightsRequest, code: str | None) -> None:
    if code is not None:
        raise CallbackFailed(f"A callback of {request.id} failed: {code}.")


def opened(keyring: Keyring, row: Row[Any]) -> Address:
    """The address in a row. Raises Unreadable."""
    place = _place(keyring, row.tenant_id, row.request_id, row.name, row.address_version)
    address: Address = open_own(keyring, "secrets", row.address, place)
    return address


def _changed(tx: Connection, which: ColumnElement[bool], **values: object) -> bool:
    return tx.execute(update(callbacks).where(which).values(values)).rowcount == 1


def _place(keyring: Keyring, tenant_id: str, request_id: str, name: str, version: int = 1) -> Context:
    return place_of(keyring, tenant_id, "callbacks", "address", request_id, name, version=version)


def _this(tenant_id: str, request_id: str, name: str) -> ColumnElement[bool]:
    return and_(callbacks.c.tenant_id == tenant_id, callbacks.c.request_id == request_id, callbacks.c.name == name)


def _of(row: Row[Any]) -> ColumnElement[bool]:
    """This row, unless another address stands there by now."""
    return and_(of_row(callbacks, row), callbacks.c.address == row.address)


_DUE = (
    select(callbacks, rights_requests.c.live, rights_requests.c.state)
    .join(rights_requests, together(rights_requests, callbacks, "request_id"))
    .where(
        callbacks.c.address.is_not(None),
        callbacks.c.next_attempt_at <= database_clock(),
        callbacks.c.told != rights_requests.c.state,
    )
    .order_by(callbacks.c.next_attempt_at)
    .limit(BATCH)
)
