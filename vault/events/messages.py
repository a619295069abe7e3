"""An event as it is sent: signed, with the headers of Standard Webhooks.

The `webhook-id` is the event's id, so that a receiver knows a repeat (github.com/standard-webhooks/standard-webhooks,
version 1).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row
from standardwebhooks.webhooks import Webhook

from vault.canonical import canonical
from vault.personal import Secret


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: the body's bytes, and the headers that sign them."""

    body: bytes
    headers: dict[str, str]


def message(event: Row[Any], secrets: Sequence[Secret], at: datetime) -> Message:
    """An event as it is sent at that moment, signed with each of the secrets."""
    body = canonical(
        {
            "id": event.event_id,
            "type": event.type,
            "created_at": event.created_at.isoformat(),
            "live": event.live,
            "data": json.loads(event.data),
        }
    )
    signatures = (Webhook(secret.value).sign(event.event_id, at, body.decode()) for secret in secrets)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Panless",
        "webhook-id": event.event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
    return Message(body=body, headers=headers)
