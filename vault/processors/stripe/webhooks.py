"""Stripe's webhooks: whether one is genuine, and what it is about. What it says of an object is not taken from it.

Source: docs.stripe.com/webhooks (signatures over the raw body, `t` and `v1`), checked by the SDK's own function.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from stripe import SignatureVerificationError, WebhookSignature

from vault.personal import Secret
from vault.processing.answers import Disputed, Notice
from vault.processors.stripe import shapes
from vault.processors.stripe.errors import Object, dig

TOLERANCE = timedelta(seconds=300)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_TYPE = re.compile(r"[a-z0-9_.]{1,100}")


def parse(body: bytes, headers: Mapping[str, str], secret: Secret, now: datetime) -> Notice | None:
    """What a genuine event is about; None for one that is forged, too old, from the future, or not readable."""
    header = headers.get("Stripe-Signature", "")
    try:
        WebhookSignature.verify_header(body, header, secret.value)
        signed = next(int(part[2:]) for part in header.split(",") if part.startswith("t="))
        event = json.loads(body)
        if abs(now - datetime.fromtimestamp(signed, UTC)) > TOLERANCE or event["object"] != "event":
            return None
        return _notice(event)
    except (SignatureVerificationError, ValueError, KeyError, TypeError, OverflowError, StopIteration, RecursionError):
        return None


def _notice(event: Object) -> Notice:
    """Raises ValueError for one whose own name or type can't be Stripe's."""
    ident, kind, about = event["id"], event["type"], event["data"]["object"]
    if not _NAME.fullmatch(ident) or not _TYPE.fullmatch(kind):
        raise ValueError("no event of Stripe's")
    names: dict[str, str | None] = {"payment": None, "method": None, "dispute": None, "setup": None}
    for prefix, named in {} if _is_plain(kind, about) else _NAMED.items():
        if kind.startswith(prefix):
            names |= {name: _name(dig(about, path)) for name, path in named.items()}
            break
    return Notice(event=ident, type=kind[:40], **names)


def _is_plain(kind: str, about: Object) -> bool:
    """Whether it tells of a charge what `payment_intent.*` tells too, and nothing of money that went back."""
    return kind in _OF_EACH_CHARGE and not (dig(about, "amount_refunded") or dig(about, "disputed"))


def _name(value: object) -> str | None:
    """What can be the name of an object of Stripe's."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


_OF_EACH_CHARGE = ("charge.succeeded", "charge.pending", "charge.failed", "charge.updated")
_NAMED: Mapping[str, Mapping[str, str]] = {
    "payment_intent.": {"payment": "id"},
    "charge.dispute.": {"dispute": "id", "payment": "payment_intent"},
    "charge.": {"payment": "payment_intent"},
    "refund.": {"payment": "payment_intent"},
    "payment_method.": {"method": "id"},
    "setup_intent.": {"setup": "id"},
}
"""By the beginning of an event's type, the first that fits: where its object has the names of what it is about."""


def disputed(dispute: Object) -> Disputed:
    """Where a dispute stands."""
    due = dig(dispute, "evidence_details", "due_by")
    return Disputed(
        reference=shapes.text(dispute, "id"),
        payment=dispute["payment_intent"],
        status=shapes.text(dispute, "status"),
        amount=shapes.amount(dispute, "amount"),
        currency=shapes.text(dispute, "currency"),
        reason=shapes.text(dispute, "reason"),
        due_at=datetime.fromtimestamp(due, UTC) if due else None,
    )
