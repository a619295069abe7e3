"""What each status of each object means."""

from collections.abc import Callable
from typing import Any

import pytest

from vault.personal import CardMetadata
from vault.processing.answers import (
    ActionRequired,
    Approved,
    Corrected,
    Declined,
    Forgotten,
    Redaction,
    Refunded,
    Refused,
    Stored,
    Unknown,
    Voided,
)
from vault.processors.stripe import outcomes
from vault.processors.stripe.outcomes import UNEXPECTED, outcome
from vault.processors.stripe.transport import Answer

CARD = {
    "brand": "amex",
    "last4": "0005",
    "exp_month": 1,
    "exp_year": 2031,
    "funding": "credit",
    "country": "US",
    "fingerprint": "f",
}
SETUP = {"id": "seti_1", "object": "setup_intent", "payment_method": {"id": "pm_1", "card": CARD}}
PAYMENT = {"id": "pi_1", "object": "payment_intent", "currency": "eur", "amount": 500, "amount_received": 500}
CHARGE = {"payment_method_details": {"card": {"network_transaction_id": "ntid"}}}
BY_SCRIPT = {"next_action": {"type": "use_stripe_sdk", "use_stripe_sdk": {"secret": "x"}}, "client_secret": "s"}
BY_ADDRESS = {
    "next_action": {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example", "return_url": "r"}},
    "client_secret": "s",
}
ERROR = {"code": "card_declined", "decline_code": "generic_decline", "message": "No."}
GENERIC = {"code": "card_declined", "decline_code": "generic_decline"}
SCRIPT, ADDRESS = (
    {"type": "use_stripe_sdk", "client_secret": "s"},
    {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example"}},
)

REFUND = {"object": "refund", "id": "re_1", "currency": "eur", "amount": 5}
JOB = {"id": "prj_1", "object": "privacy.redaction_job"}
TABLE: list[tuple[Callable[..., Any], dict[str, Any], object]] = [
    (outcomes.stored, SETUP | {"status": "succeeded"}, Stored(reference="pm_1", card=CardMetadata(**CARD))),
    (
        outcomes.stored,
        SETUP | {"status": "requires_action", **BY_SCRIPT},
        ActionRequired(reference="seti_1", next_action=SCRIPT),
    ),
    (
        outcomes.stored,
        SETUP | {"status": "requires_action", **BY_ADDRESS},
        ActionRequired(reference="seti_1", next_action=ADDRESS),
    ),
    (
        outcomes.stored,
        SETUP | {"status": "requires_payment_method", "last_setup_error": ERROR},
        Declined(reference="seti_1", **GENERIC),
    ),
    (outcomes.stored, SETUP | {"status": "canceled"}, Declined(code="canceled", reference="seti_1")),
    (outcomes.stored, SETUP | {"status": "processing"}, Unknown(reason="processing")),
    (outcomes.stored, SETUP | {"status": "requires_payment_method", "last_setup_error": None}, UNEXPECTED),
    (outcomes.stored, SETUP | {"status": "requires_confirmation"}, Unknown(reason="unconfirmed")),
    (outcomes.stored, SETUP | {"status": "some_new_status"}, UNEXPECTED),
    (outcomes.stored, SETUP | {"status": "succeeded", "payment_method": "pm_1"}, UNEXPECTED),
    (outcomes.stored, SETUP | {"status": "succeeded", "payment_method": None}, UNEXPECTED),
    (outcomes.stored, SETUP | {"status": ["succeeded"]}, UNEXPECTED),
    (outcomes.stored, PAYMENT | {"status": "succeeded"}, UNEXPECTED),
    (
        outcomes.charged,
        PAYMENT | {"status": "succeeded", "latest_charge": CHARGE},
        Approved(reference="pi_1", amount=500, network_transaction_id="ntid"),
    ),
    (
        outcomes.charged,
        PAYMENT | {"status": "succeeded", "latest_charge": "ch_1"},
        Approved(reference="pi_1", amount=500),
    ),
    (
        outcomes.charged,
        PAYMENT | {"status": "requires_action", **BY_SCRIPT},
        ActionRequired(reference="pi_1", next_action=SCRIPT),
    ),
    (
        outcomes.charged,
        PAYMENT | {"status": "requires_payment_method", "last_payment_error": ERROR},
        Declined(reference="pi_1", **GENERIC),
    ),
    (outcomes.charged, PAYMENT | {"status": "canceled"}, Voided(reference="pi_1")),
    (outcomes.charged, PAYMENT | {"status": "processing"}, Unknown(reason="processing")),
    (outcomes.charged, PAYMENT | {"status": "requires_capture"}, UNEXPECTED),
    (outcomes.charged, PAYMENT | {"status": "requires_confirmation"}, Unknown(reason="unconfirmed")),
    *(
        (outcomes.charged, PAYMENT | {"status": "succeeded"} | wrong, UNEXPECTED)
        for wrong in (
            {"amount_received": "500"},
            {"amount_received": 500.0},
            {"amount_received": True},
            {"amount_received": None},
            {"amount_received": -1},
            {"id": None},
            {"id": ""},
            {"id": 7},
            {"currency": None},
            {"currency": "zzz"},
            {"currency": "isk", "amount_received": 15050},
        )
    ),
    *(
        (
            outcomes.charged,
            {name: value for name, value in PAYMENT.items() if name != gone} | {"status": "succeeded"},
            UNEXPECTED,
        )
        for gone in ("id", "currency", "amount_received")
    ),
    (outcomes.charged, {"object": "payment_intent", "status": "canceled"}, UNEXPECTED),
    (
        outcomes.charged,
        PAYMENT | {"currency": "isk", "status": "succeeded", "amount_received": 50000},
        Approved(reference="pi_1", amount=500),
    ),
    (outcomes.charged, PAYMENT, UNEXPECTED),
    *(
        (
            outcomes.refunded,
            REFUND | {"status": theirs},
            Refunded(reference="re_1", amount=5, status=ours),
        )
        for theirs, ours in outcomes.REFUND.items()
    ),
    (outcomes.refunded, REFUND | {"status": None}, UNEXPECTED),
    (outcomes.detached, {"object": "payment_method", "customer": None}, Forgotten()),
    (outcomes.detached, {"object": "payment_method", "customer": "cus_1"}, UNEXPECTED),
    (outcomes.deleted, {"object": "customer", "deleted": True}, Forgotten()),
    (outcomes.deleted, {"object": "customer"}, UNEXPECTED),
    (outcomes.deleted, {"object": "customer", "deleted": "true"}, UNEXPECTED),
    (outcomes.detached, {"object": "payment_method"}, UNEXPECTED),
    (outcomes.refunded, REFUND | {"status": "succeeded", "amount": "5"}, UNEXPECTED),
    (outcomes.corrected, {"object": "payment_method", "customer": "cus_1"}, Corrected()),
    (outcomes.corrected, {"object": "payment_method", "customer": None}, UNEXPECTED),
    *(
        (outcomes.redaction, JOB | {"status": theirs}, Redaction(job="prj_1", state=ours))
        for theirs, ours in (
            ("created", "validating"),
            ("validating", "validating"),
            ("ready", "ready"),
            ("redacting", "redacting"),
            ("succeeded", "succeeded"),
            ("failed", "failed"),
            ("canceling", "failed"),
            ("canceled", "failed"),
        )
    ),
    (outcomes.redaction, JOB | {"status": "some_new_status"}, UNEXPECTED),
    (outcomes.redaction, {"object": "privacy.redaction_job", "status": "ready"}, UNEXPECTED),
]
KIND = {
    outcomes.stored: "setup_intent",
    outcomes.charged: "payment_intent",
    outcomes.refunded: "refund",
    outcomes.detached: "payment_method",
    outcomes.deleted: "customer",
    outcomes.corrected: "payment_method",
    outcomes.redaction: "privacy.redaction_job",
}


@pytest.mark.parametrize(("read", "body", "meant"), TABLE, ids=lambda value: getattr(value, "__name__", None))
def test_an_object_means_what_the_table_says(read: Callable[..., Any], body: dict[str, Any], meant: object) -> None:
    """The object's status decides; a status or a shape that we do not know is Unknown, never a guess."""
    assert outcome(Answer(200, body), KIND[read], read) == meant


@pytest.mark.parametrize(
    "body", [None, [], {}, 5, "customer", {"object": "list", "id": "cus_1"}, {"object": "customer"}]
)
def test_nonsense_in_a_success_is_unknown(body: object) -> None:
    """A 200 that is not JSON, or not the object asked for, may have been acted on: Unknown."""
    assert outcome(Answer(200, body), "customer", outcomes.customer_opened) == UNEXPECTED


def test_what_failed_before_an_answer_passes_as_it_is() -> None:
    """The transport's own outcomes need no reading."""
    refused = Refused(code="processor_credentials_refused", credentials=True)
    assert outcome(refused, "customer", outcomes.customer_opened) is refused
