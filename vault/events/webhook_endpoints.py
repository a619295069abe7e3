"""Webhook endpoints: where a tenant's own systems hear of events, and the secrets that deliveries are signed with.

A secret is shown once, by the call that makes it. One that was replaced goes on signing beside the new one for a day,
so that receivers change over without losing anything (standardwebhooks.com allows several signatures).
"""

import base64
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, select, update
from sqlalchemy.exc import IntegrityError

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import insert
from rows.deleting import delete_some
from rows.engine import reading
from vault import audit, cursors
from vault.caller import Caller
from vault.desk import Desk
from vault.errors import Invalid, NotFoundHere, NotUsable
from vault.ids import new_id
from vault.personal import Secret
from vault.sealing import open_own, place_of, seal_value
from vault.tables import event_deliveries, webhook_endpoints

OVERLAP = timedelta(hours=24)
MOST = 50
"""Endpoints of a tenant in a mode: each event is queued for all that want it, at once."""
REMOVALS = 3
"""How often an endpoint's removal is tried, to which the worker queues events meanwhile."""
LONGEST_URL = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One endpoint as its tenant sees it; `events` is empty for all types. `secret` only when it was just made."""

    id: str
    url: str
    events: Sequence[str]
    status: str
    created_at: datetime
    secret: Secret | None = field(default=None, repr=False)


def create(desk: Desk, url: str, types: Sequence[str]) -> Endpoint:
    """A new endpoint, its secret in it. Raises Invalid for a URL that can't be called, NotUsable beyond `MOST`."""
    _check(url)
    ident, secret = new_id("whe", desk.caller.tenant), _new_secret()
    row = {
        "tenant_id": desk.caller.tenant,
        "endpoint_id": ident,
        "live": desk.caller.live,
        "address": _sealed(desk.keyring, desk.caller.tenant, ident, "address", {"url": url}, 1),
        "secrets": _sealed(desk.keyring, desk.caller.tenant, ident, "secrets", {"now": secret}, 1),
        "types": " ".join(sorted(types)),
        "state": "enabled",
        "created_at": desk.caller.at,
    }
    with audit.transaction(desk.records) as tx:
        if (tx.scalar(select(func.count()).select_from(webhook_endpoints).where(_mine(desk.caller))) or 0) >= MOST:
            raise NotUsable("too_many_endpoints", f"There are {MOST} endpoints. Remove one that is not needed.")
        insert(tx, webhook_endpoints, row)
        audit.record(desk, tx, "webhook_endpoint.create", resource=ident)
    shown = Endpoint(id=ident, url=url, events=sorted(types), status="enabled", created_at=desk.caller.at)
    return replace(shown, secret=Secret(secret))


def read(desk: Desk, endpoint_id: str) -> Endpoint:
    """One endpoint. Raises NotFoundHere."""
    with reading(desk.records) as connection:
        return _endpoint(desk.keyring, row_of(connection, desk.caller, endpoint_id))


def find(desk: Desk, page: cursors.Wanted) -> cursors.Page[Endpoint]:
    """All endpoints of this mode, newest first."""
    order = (webhook_endpoints.c.created_at, webhook_endpoints.c.endpoint_id)
    with reading(desk.records) as connection:
        mine = select(webhook_endpoints).where(_mine(desk.caller))
        return cursors.page(connection, mine, order, page, lambda rows: [_endpoint(desk.keyring, row) for row in rows])


def change(desk: Desk, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint:
    """Change those of `url`, `events` and `status` (`enabled`, `disabled`) that are named.

    Raises NotFoundHere, Invalid.
    """
    with audit.transaction(desk.records) as tx:
        row = row_of(tx, desk.caller, endpoint_id)
        values: dict[str, Any] = {}
        if "url" in changes:
            _check(changes["url"])
            values |= _resealed(desk.keyring, row, "address", {"url": changes["url"]}) | {"next_call_at": None}
        if "events" in changes:
            values["types"] = " ".join(sorted(changes["events"]))
        if "status" in changes:
            values |= {"state": changes["status"], "failing_since": None, "next_call_at": None}
        if values:
            tx.execute(update(webhook_endpoints).where(_this(desk.caller, endpoint_id)).values(values))
            audit.record(desk, tx, "webhook_endpoint.update", resource=endpoint_id)
        return _endpoint(desk.keyring, row_of(tx, desk.caller, endpoint_id))


def end_pause(tx: Connection, caller: Caller, endpoint_id: str) -> None:
    """Have a failing endpoint called now, and not only when it was to be."""
    failing = webhook_endpoints.c.failing_since.is_not(None)
    tx.execute(update(webhook_endpoints).where(_this(caller, endpoint_id), failing).values(next_call_at=None))


def remove(desk: Desk, endpoint_id: str) -> None:
    """Take an endpoint away, and its deliveries, of which there may be more than one statement has time for.

    A call that does not end has done part of it, and the next one goes on. Raises NotFoundHere.
    """
    with reading(desk.records) as connection:
        row_of(connection, desk.caller, endpoint_id)
    while delete_some(desk.records, event_deliveries, _to(desk.caller, endpoint_id), event_deliveries.c.created_at):
        pass
    for _ in range(REMOVALS - 1):
        with suppress(IntegrityError):  # an event was queued for it between its deliveries and itself
            return _remove(desk, endpoint_id)
    return _remove(desk, endpoint_id)


def _remove(desk: Desk, endpoint_id: str) -> None:
    with audit.transaction(desk.records) as tx:
        row_of(tx, desk.caller, endpoint_id)
        tx.execute(delete(event_deliveries).where(_to(desk.caller, endpoint_id)))
        tx.execute(delete(webhook_endpoints).where(_this(desk.caller, endpoint_id)))
        audit.record(desk, tx, "webhook_endpoint.delete", resource=endpoint_id)


def _to(caller: Caller, endpoint_id: str) -> ColumnElement[bool]:
    return and_(event_deliveries.c.tenant_id == caller.tenant, event_deliveries.c.endpoint_id == endpoint_id)


def rotate(desk: Desk, endpoint_id: str) -> Endpoint:
    """A new secret; the one before signs beside it for `OVERLAP`. Raises NotFoundHere."""
    secret = _new_secret()
    with audit.transaction(desk.records) as tx:
        row = row_of(tx, desk.caller, endpoint_id)
        before = _opened(desk.keyring, row, "secrets")["now"]
        value = {"now": secret, "before": before, "until": (desk.caller.at + OVERLAP).isoformat()}
        values = _resealed(desk.keyring, row, "secrets", value)
        tx.execute(update(webhook_endpoints).where(_this(desk.caller, endpoint_id)).values(values))
        audit.record(desk, tx, "webhook_endpoint.rotate", resource=endpoint_id)
    return replace(_endpoint(desk.keyring, row), secret=Secret(secret))


def signing(keyring: Keyring, row: Row[Any], at: datetime) -> list[Secret]:
    """The secrets that sign a delivery at that moment, the newest first."""
    value = _opened(keyring, row, "secrets")
    old = "before" in value and datetime.fromisoformat(value["until"]) > at
    return [Secret(value["now"]), *([Secret(value["before"])] if old else [])]


def address(keyring: Keyring, row: Row[Any]) -> str:
    """Where an endpoint is."""
    url: str = _opened(keyring, row, "address")["url"]
    return url


def row_of(connection: Connection, caller: Caller, endpoint_id: str) -> Row[Any]:
    """An endpoint's row. Raises NotFoundHere."""
    row = connection.execute(select(webhook_endpoints).where(_this(caller, endpoint_id))).one_or_none()
    if row is None:
        raise NotFoundHere("No such webhook endpoint.")
    return row


def _check(url: str) -> None:
    """Whether it can be called at all; where it leads is looked at whenever it is called (`panless/outgoing.py`)."""
    try:
        parts = urlsplit(url)
        fit = parts.scheme == "https" and parts.hostname and not parts.fragment and not parts.username
        fit = fit and parts.port != 0
    except ValueError:  # a port that is none, brackets that hold no address
        fit = False
    if not fit or not (url.isascii() and url.isprintable()) or " " in url or len(url) > LONGEST_URL:
        raise Invalid("url", "Not an https URL that can be called.")


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"


def _endpoint(keyring: Keyring, row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.endpoint_id,
        url=address(keyring, row),
        events=row.types.split(),
        status=row.state,
        created_at=row.created_at,
    )


def _resealed(keyring: Keyring, row: Row[Any], column: str, value: Mapping[str, Any]) -> dict[str, Any]:
    version = getattr(row, f"{column}_version") + 1
    sealed = _sealed(keyring, row.tenant_id, row.endpoint_id, column, value, version)
    return {column: sealed, f"{column}_version": version}


def _sealed(keyring: Keyring, tenant: str, ident: str, column: str, value: Mapping[str, Any], version: int) -> bytes:
    return seal_value(keyring.tenant_key(tenant, "secrets"), value, _place(keyring, tenant, ident, column, version))


def _opened(keyring: Keyring, row: Row[Any], column: str) -> dict[str, Any]:
    place = _place(keyring, row.tenant_id, row.endpoint_id, column, getattr(row, f"{column}_version"))
    return open_own(keyring, "secrets", getattr(row, column), place)


def _place(keyring: Keyring, tenant: str, ident: str, column: str, version: int) -> Context:
    return place_of(keyring, tenant, "webhook_endpoints", column, ident, version=version)


def _mine(caller: Caller) -> ColumnElement[bool]:
    return and_(webhook_endpoints.c.tenant_id == caller.tenant, webhook_endpoints.c.live == caller.live)


def _this(caller: Caller, endpoint_id: str) -> ColumnElement[bool]:
    return and_(_mine(caller), webhook_endpoints.c.endpoint_id == endpoint_id)
