"""What waits to be asked of a processor, because an event named it: kept by name, never what was said of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from keys.context import Context
from keys.keyring import Keyring
from rows.changes import Change, inserted
from vault.processing import references
from vault.sealing import open_own, place_of, seal_value
from vault.tables import webhook_inbox


def kept(
    keyring: Keyring,
    tenant: str,
    account: str,
    *,
    event: str,
    kind: str,
    named: Mapping[str, str | None],
    at: datetime,
) -> Change:
    """An event to be looked into, once, however often it is told; one that names nothing that we follow is ignored."""
    digest = references.digest(keyring, tenant, account, event)
    concerns = any(named.values())
    place = _place(keyring, tenant, digest, 1)
    row = {
        "tenant_id": tenant,
        "account_id": account,
        "event_digest": digest,
        "type": kind,
        "named": seal_value(keyring.tenant_key(tenant, "secrets"), named, place) if concerns else None,
        "state": "pending" if concerns else "ignored",
        "next_attempt_at": at,
        "received_at": at,
    }
    return inserted(webhook_inbox, row, if_absent=True)


def named_in(keyring: Keyring, row: Row[Any]) -> dict[str, str | None]:
    """What an event is about: some of `{payment, method, dispute, setup}`, by the processor's names.

    Raises Unreadable.
    """
    return open_own(keyring, "secrets", row.named, _place(keyring, row.tenant_id, row.event_digest, row.named_version))


def _place(keyring: Keyring, tenant: str, event: bytes, version: int) -> Context:
    return place_of(keyring, tenant, "webhook_inbox", "named", event, version=version)
