"""Clients whose keys come to an end, or came to one that somebody has taken back."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Engine, and_, func, select

from rows.conditions import together
from rows.engine import reading
from vault.tables import audit_entries, client_keys, clients
from vault.tenancy.clients import REVOKED


def ending(records: Engine, now: datetime, before: datetime) -> Sequence[str]:
    """The clients whose last key is good now and not any more at `before`, by the database's word alone."""
    theirs = together(client_keys, clients, "client_id")
    last, every = func.max(client_keys.c.expires_at), func.count(client_keys.c.expires_at) == func.count()
    ends = select(clients.c.client_id).join(client_keys, theirs).where(clients.c.revoked_at.is_(None))
    soon = ends.group_by(clients.c.tenant_id, clients.c.client_id).having(every, last > now, last < before)
    with reading(records) as connection:
        return connection.scalars(soon.order_by(last)).all()


def revived(records: Engine) -> Sequence[str]:
    """The clients that the audit log says were revoked, and that their rows say were not: somebody put those back."""
    theirs = and_(audit_entries.c.tenant_id == clients.c.tenant_id, audit_entries.c.resource_id == clients.c.client_id)
    revoked = select(clients.c.client_id).join(audit_entries, theirs).where(audit_entries.c.action == REVOKED)
    with reading(records) as connection:
        return connection.scalars(revoked.where(clients.c.revoked_at.is_(None)).distinct()).all()
