"""What a genuine webhook is about, by its type."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from vault.personal import Secret
from vault.processing.answers import Notice
from vault.processors.stripe.adapter import StripeProcessor

SECRET, NOW = Secret("whsec_x"), datetime(2026, 12, 1, tzinfo=UTC)
PLAIN = {"id": "ch_1", "object": "charge", "payment_intent": "pi_1"}
ABOUT: list[tuple[str, dict[str, Any], dict[str, str | None]]] = [
    ("setup_intent.succeeded", {"id": "seti_1", "object": "setup_intent"}, {"setup": "seti_1"}),
    ("setup_intent.setup_failed", {"id": "seti_2", "payment_method": "pm_1"}, {"setup": "seti_2"}),
    ("setup_intent.canceled", {"id": "seti 3"}, {"setup": None}),
    ("payment_intent.succeeded", {"id": "pi_1"}, {"payment": "pi_1"}),
    ("charge.succeeded", PLAIN, {"payment": None}),
    ("charge.succeeded", PLAIN | {"disputed": True}, {"payment": "pi_1"}),
    ("charge.refunded", PLAIN, {"payment": "pi_1"}),
    ("charge.dispute.created", {"id": "du_1", "payment_intent": "pi_1"}, {"dispute": "du_1", "payment": "pi_1"}),
    ("refund.failed", {"id": "re_1", "payment_intent": "pi_1"}, {"payment": "pi_1"}),
    ("payment_method.detached", {"id": "pm_1"}, {"method": "pm_1"}),
    ("customer.updated", {"id": "cus_1"}, {}),
]


def parsed(kind: str, about: dict[str, Any], secret: Secret = SECRET) -> Notice | None:
    event = {"object": "event", "id": "evt_1", "type": kind, "data": {"object": about}}
    body, signed = json.dumps(event).encode(), int(NOW.timestamp())
    digest = hmac.new(secret.value.encode(), f"{signed}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={signed},v1={digest}"}
    return StripeProcessor().parse_webhook(body, headers, secret=SECRET, now=NOW)


@pytest.mark.parametrize(("kind", "about", "names"), ABOUT, ids=[row[0] for row in ABOUT])
def test_a_notice_names_what_its_event_is_about(kind: str, about: dict[str, Any], names: dict[str, str | None]) -> None:
    """A payment, a method, a dispute or a setup; nothing for a charge whose payment has an event of its own."""
    assert parsed(kind, about) == Notice(event="evt_1", type=kind, **names)


def test_a_forged_one_is_none() -> None:
    """Whatever it says."""
    assert parsed("setup_intent.succeeded", {"id": "seti_1"}, Secret("whsec_other")) is None
