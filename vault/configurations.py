"""What processes are set up with: a change is on the record, by the names of what changed, never by its values."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Engine, select, update

from keys.keyring import Keyring
from rows.tenants import for_tenant
from vault import audit
from vault.caller import Caller
from vault.desk import desk_for
from vault.ids import new_id
from vault.tables import deployment

_DIGEST_BYTES = 8


def note(records: Engine, keyring: Keyring, kind: str, values: Mapping[str, str], at: datetime) -> list[str]:
    """Record, in the deployment's log, what differs from the last process of that `kind`; the names of it.

    Values are kept as keyed digests: some are secrets.
    """
    key = keyring.subkey(keyring.deployment, "audit", "configuration")
    now = {name: _digest(key, value) for name, value in values.items()}
    with audit.transaction(for_tenant(records, keyring.deployment)) as tx:
        row = tx.execute(select(deployment.c.configurations).with_for_update(of=deployment)).scalar_one()
        known: dict[str, dict[str, str]] = json.loads(row or "{}")
        before = known.get(kind, {})
        changed = sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))
        if changed:
            tx.execute(update(deployment).values(configurations=json.dumps({**known, kind: now})))
            caller = Caller(
                tenant=keyring.deployment, client="", live=True, at=at, request_id=new_id("req", keyring.deployment)
            )
            details = {"kind": kind, "changed": changed}
            audit.record(desk_for(records, keyring, caller), tx, "configuration.changed", details=details)
    return changed


def _digest(key: bytes, value: str) -> str:
    return hmac.digest(key, value.encode(), hashlib.sha256)[:_DIGEST_BYTES].hex()
