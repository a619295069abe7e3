"""Recovery notes: what the processor keeps for us with each object that we make there, sealed.

Our rows are committed before a call. A failover can lose them and the processor still has what the call made: the note
says what the rows said, so that they can be written again (`lost_commits`). It is sealed like any value of ours, and
the same call sends the same note, because a processor compares what comes with a key that it knows.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from keys.context import Context
from keys.dek import Dek
from keys.envelope import dek_id_of, seal_alike
from keys.errors import KeyDestroyed, KeyMissing, Unreadable
from keys.keyring import Keyring
from vault.cards.storing import Storing
from vault.money.charge_outcomes import Charging
from vault.processing.intents import Intent
from vault.processing.processor_answers import Noted
from vault.sealing import open_value

MOST_CHARACTERS = 2500
"""Of a note, so that the weakest processor finds room for it; a longer one is left out, and not found again."""


def of_customer(keyring: Keyring, storing: Storing, tag: str) -> str | None:
    """Of the processor's customer. Storings at once send one key between them, so it says nothing that is one's own."""
    return _write(keyring, storing.dek, storing.tenant_id, "customer", tag, {"customer": storing.customer_id})


def of_card(keyring: Keyring, storing: Storing, tag: str, reference: str | None) -> str | None:
    """Of a stored card; `reference` is what the tenant calls its customer, where the order said so."""
    value = {
        "token": storing.token_id,
        "customer": storing.customer_id,
        "usage": storing.usage,
        "reference": reference,
        **_of_intent(storing.intent),
    }
    return _write(keyring, storing.dek, storing.tenant_id, "card", tag, value)


CHARGE = ("token_id", "amount", "currency", "capture_method", "initiator", "reason")


def of_charge(keyring: Keyring, charging: Charging, tag: str) -> str | None:
    """Of a payment. It outlives its customer, so it is sealed as what is retained of the charge is."""
    value = {
        "charge": charging.row["charge_id"],
        "obligation": charging.retained["obligation"],
        **{name: charging.row[name] for name in CHARGE},
        **_of_intent(charging.intent),
    }
    tenant = charging.caller.tenant
    return _write(keyring, keyring.tenant_key(tenant, "retention"), tenant, "charge", tag, value)


def of_refund(
    keyring: Keyring, intent: Intent, charge_id: str, amount: int, reason: str | None, tag: str
) -> str | None:
    """Of a refund."""
    value = {
        "refund": intent.resource_id,
        "charge": charge_id,
        "amount": amount,
        "reason": reason,
        **_of_intent(intent),
    }
    return _write(keyring, keyring.tenant_key(intent.tenant, "retention"), intent.tenant, "refund", tag, value)


def read(keyring: Keyring, tenant: str, kind: str, noted: Noted) -> dict[str, Any] | None:
    """What the note of an object says; None for one that is not of ours, or whose key is destroyed."""
    try:
        return open_value(keyring, base64.urlsafe_b64decode(noted.note), _place(keyring, tenant, kind, noted.tag))
    except (Unreadable, KeyDestroyed, KeyMissing, binascii.Error):
        return None


def dek_of(keyring: Keyring, tenant: str, noted: Noted) -> Dek:
    """The key that a note which was read is sealed under."""
    return keyring.dek(tenant, dek_id_of(base64.urlsafe_b64decode(noted.note)))


def _write(keyring: Keyring, dek: Dek, tenant: str, kind: str, tag: str, value: Mapping[str, Any]) -> str | None:
    plain = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    note = base64.urlsafe_b64encode(seal_alike(dek, plain, _place(keyring, tenant, kind, tag))).decode()
    return note if len(note) <= MOST_CHARACTERS else None


def _of_intent(intent: Intent | None) -> dict[str, str | None]:
    """What of the intent is needed to know a retry of its call again."""
    if intent is None:
        return {}
    key = intent.key_digest
    return {"key": key.hex() if key is not None else None, "fingerprint": intent.fingerprint.hex()}


def _place(keyring: Keyring, tenant: str, kind: str, tag: str) -> Context:
    return Context(
        deployment=keyring.deployment,
        tenant=tenant,
        table="processor",
        column=kind,
        row=tag,
        customer="",
        version=1,
    )
