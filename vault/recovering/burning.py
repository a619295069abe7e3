"""Burning: using a processor's idempotency key up, so that whatever is still on its way under it is refused there.

A call whose outcome is unknown may not have arrived yet. Nobody sends it again; a harmless call to another endpoint
takes its key, and what the processor answers to that says whether anything was ever done under it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Row

from rows.changes import Change, updated, write
from rows.engine import transaction
from vault.money.findings import after_burn
from vault.processing import doubt
from vault.processing.connecting import Connected
from vault.processing.intents import Intent
from vault.tables import intents
from vault.workshop import Workshop


def words(row: Row[Any]) -> dict[str, str]:
    """What the burn of an intent's own key says: the same each time, so that one that is repeated is a replay."""
    return {"panless_burns": row.resource_id}


def burn(
    shop: Workshop, intent: Intent, connected: Connected, key: str, about: Mapping[str, str]
) -> tuple[Literal["fresh", "used"] | None, bool]:
    """Burn the key of an intent, and keep what it came to; None where nobody can say yet.

    Also whether a list at the processor has by now what was done under it: a used key must settle first.
    """
    burnt, must_settle = after_burn(connected.processor.burn(connected.credentials, key=key, words=about))
    if burnt is not None:
        with transaction(shop.records) as tx:
            write(tx, kept(intent, burnt, doubt.settling(connected.processor) if must_settle else 0))
    return burnt, not must_settle


def nothing_comes(shop: Workshop, row: Row[Any], intent: Intent, connected: Connected) -> bool:
    """Whether certainly nothing more is done under an intent's own key: it was burnt, and has settled."""
    if row.burnt is not None:
        return bool(row.is_settled)
    burnt, is_settled = burn(shop, intent, connected, row.processor_key, words(row))
    return burnt is not None and is_settled


def kept(intent: Intent, burnt: str | None, settles_in: int) -> Change:
    """What burning came to, to be written unless the lease is lost; in how many seconds lists have settled."""
    key = {"tenant_id": intent.tenant, "intent_id": intent.intent_id, "word": intent.word}
    return updated(intents, key, {"burnt": burnt}, clocks={"settles_at": settles_in})
