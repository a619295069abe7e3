"""Events: what a tenant's own systems are told, written in the transaction of what they tell.

An event is thin, because it leaves the house: ids, states and amounts, nothing of a person. Whoever wants more asks.
"""

from collections.abc import Mapping

from rows.changes import Change, inserted
from vault.caller import Caller
from vault.canonical import Plain, canonical
from vault.ids import new_id
from vault.tables import events


def made(caller: Caller, kind: str, resource_id: str, data: Mapping[str, Plain]) -> Change:
    """An event of that kind about a resource, to be written together with what it tells."""
    return inserted(
        events,
        {
            "tenant_id": caller.tenant,
            "event_id": new_id("evt", caller.tenant),
            "live": caller.live,
            "type": kind,
            "resource_id": resource_id,
            "data": canonical(data).decode(),
            "state": "pending",
            "created_at": caller.at,
        },
    )
