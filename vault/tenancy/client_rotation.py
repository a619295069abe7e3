"""A new API key for a client that has one: both work until the old one ends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from keys.keyring import Keyring
from vault import audit
from vault.desk import Desk
from vault.errors import NotFoundHere, NotVouchedFor
from vault.personal import Secret
from vault.tables import client_keys, clients
from vault.tenancy.client_keys import Terms, form_of, key_row, new_key, rebound, terms_of, write_key
from vault.tenancy.clients import ITS_CLIENT, OF_KEY


def rotate_client(desk: Desk, client_id: str, *, old_until: datetime, terms: Terms) -> Secret:
    """A new API key for a client, shown this once; those that it has end at `old_until`, or before it as they did.

    Raises NotFoundHere; NotVouchedFor if a row was edited, because the new key would make that good.
    """
    with audit.transaction(desk.records) as tx:
        rows = _untouched(desk.keyring, _rows(tx, desk.caller.tenant, client_id))
        for row in rows:
            _end(tx, desk.keyring, row, old_until)
        presented = new_key(desk.caller.tenant, live=rows[0].live)
        tx.execute(insert(client_keys), key_row(desk.keyring, rows[0], presented, terms, desk.caller.at))
        audit.record(desk, tx, "client.rotate", resource=client_id, details={"until": old_until.isoformat()})
    return Secret(write_key(presented))


def _rows(tx: Connection, tenant: str, client_id: str) -> Sequence[Any]:
    mine = and_(clients.c.tenant_id == tenant, clients.c.client_id == client_id, clients.c.revoked_at.is_(None))
    tx.execute(select(clients.c.client_id).where(mine).with_for_update())  # then see what a rotation before this made
    this = and_(mine, client_keys.c.key_id.startswith("key_", autoescape=True))  # not what stands for a token's name
    rows = tx.execute(_WITH_KEYS.where(this).order_by(client_keys.c.created_at.desc()).with_for_update()).all()
    if not rows:
        raise NotFoundHere("No such client with an API key, or it is revoked.")
    return rows


def _untouched(keyring: Keyring, rows: Sequence[Any]) -> Sequence[Any]:
    """Rows that nobody edited. Raises NotVouchedFor."""
    if any(row.mac is None for row in rows):
        raise NotVouchedFor(
            "A key of this client is from an earlier release and was not used since. Use it, wait a minute and try "
            "again; or revoke the client and create another."
        )
    if any(form_of(keyring, row) is None for row in rows):
        raise NotVouchedFor("A key of this client was edited in the database. Revoke the client and create another.")
    return rows


def _end(tx: Connection, keyring: Keyring, row: Any, until: datetime) -> None:  # noqa: ANN401  # a row of `_WITH_KEYS`
    terms = terms_of(row)
    if terms.expires_at is None or terms.expires_at > until:
        ended = rebound(keyring, row, replace(terms, expires_at=until))
        this = and_(client_keys.c.tenant_id == row.tenant_id, client_keys.c.key_id == row.key_id)
        tx.execute(update(client_keys).where(this).values(ended))


_WITH_KEYS = select(*clients.c, *OF_KEY).join_from(clients, client_keys, ITS_CLIENT)
