"""The classification table, line by line."""

import json
from typing import Any

import pytest

from vault.processing.answers import Declined, Failure, NotReached, Refused, Unknown
from vault.processors.stripe.errors import failure
from vault.processors.stripe.transport import Answer

CARD_DECLINED = {
    "type": "card_error",
    "code": "card_declined",
    "decline_code": "lost_card",
    "advice_code": "do_not_try_again",
    "network_decline_code": "41",
    "payment_intent": {"id": "pi_1", "object": "payment_intent", "status": "requires_payment_method"},
}
LOST_CARD = Declined(
    code="card_declined",
    decline_code="lost_card",
    advice_code="do_not_try_again",
    network_decline_code="41",
    reference="pi_1",
)
INVALID = {"type": "invalid_request_error"}
CREDENTIALS = Refused(code="processor_credentials_refused", credentials=True)

TABLE: list[tuple[int, dict[str, Any], Declined | Failure]] = [
    (402, CARD_DECLINED, LOST_CARD),
    (
        402,
        {"type": "card_error", "code": "expired_card", "setup_intent": {"id": "seti_1", "status": "canceled"}},
        Declined(code="expired_card", reference="seti_1"),
    ),
    (402, INVALID | {"code": "authentication_required"}, Declined(code="authentication_required")),
    (402, {"type": "card_error"}, Declined(code="card_error")),
    (
        400,
        INVALID | {"code": "parameter_missing", "param": "amount"},
        Refused(code="parameter_missing", param="amount"),
    ),
    (400, INVALID | {"param": "card[number]"}, Refused(code="invalid_request_error", param="card[number]")),
    (400, {"type": "idempotency_error"}, Unknown(reason="idempotency_mismatch")),
    (400, {"type": "idempotency_error", "code": "some_new_code"}, Unknown(reason="idempotency_mismatch")),
    (400, {"type": "api_error", "code": "parameter_missing"}, Unknown(reason="http_400")),
    (400, INVALID | {"code": "lock_timeout"}, Unknown(reason="lock_timeout")),
    (400, INVALID | {"code": "rate_limit"}, NotReached(reason="rate_limit", retry_after=7.0)),
    (404, INVALID | {"code": "resource_missing", "param": "id"}, Refused(code="resource_missing", param="id")),
    (401, INVALID, CREDENTIALS),
    (401, INVALID | {"code": "api_key_expired"}, CREDENTIALS),
    (403, INVALID, CREDENTIALS),
    (429, INVALID | {"code": "rate_limit"}, NotReached(reason="rate_limit", retry_after=7.0)),
    (429, INVALID | {"code": "lock_timeout"}, Unknown(reason="lock_timeout")),
    (409, {"code": "idempotency_key_in_use"}, Unknown(reason="idempotency_key_in_use", in_flight=True)),
    (409, INVALID, Unknown(reason="http_409")),
    (424, {"type": "api_error"}, Unknown(reason="http_424")),
    (500, {"type": "api_error"}, Unknown(reason="http_500")),
    (500, CARD_DECLINED, Unknown(reason="http_500")),
    (503, {"type": "api_error"}, Unknown(reason="http_503")),
    (302, INVALID, Unknown(reason="http_302")),
]


@pytest.mark.parametrize(("status", "error", "outcome"), TABLE, ids=lambda value: str(value)[:40])
def test_an_error_means_what_the_table_says(status: int, error: dict[str, Any], outcome: Declined | Failure) -> None:
    """Type, status and code decide, by one table; Retry-After goes along where the call did nothing."""
    assert failure(Answer(status, {"error": error}, retry_after=7.0)) == outcome


STATUSES = (302, 400, 401, 402, 403, 404, 409, 424, 429, 500, 503)
GRID = {  # U nobody knows, R refused, C credentials refused, D declined, N never looked at; in the order of STATUSES
    "invalid_request_error": "URCDCRUUNUU",
    "card_error": "UUUDUUUUUUU",
    "api_error": "UUUUUUUUUUU",
    "idempotency_error": "UUUUUUUUUUU",
    "rate_limit_error": "UNCUCUUUNUU",
    "authentication_error": "UUCUCUUUNUU",
    "some_new_error": "UUUUUUUUUUU",
    None: "UUCUCUUUNUU",
}
MEANS = {"U": Unknown, "R": Refused, "C": Refused, "D": Declined, "N": NotReached}
CELLS = [(kind, status, meant) for kind, row in GRID.items() for status, meant in zip(STATUSES, row, strict=True)]


@pytest.mark.parametrize(("kind", "status", "meant"), CELLS)
@pytest.mark.parametrize("code", [None, "some_new_code"])
def test_the_type_decides_first_and_then_the_status(
    kind: str | None, status: int, meant: str, code: str | None
) -> None:
    """Only what was certainly turned away is refused, whatever the code; the rest is to be looked up."""
    if (kind, status, code) == ("rate_limit_error", 400, "some_new_code"):
        meant = "U"  # limits are known there by their code alone
    met = failure(Answer(status, {"error": {"type": kind, "code": code}}))
    assert isinstance(met, MEANS[meant])
    assert getattr(met, "credentials", False) is (meant == "C")
    assert failure(Answer(status, {"error": {"type": kind, "code": "lock_timeout"}})).__class__ is Unknown


@pytest.mark.parametrize("kind", ["payment_intent", "setup_intent"])
@pytest.mark.parametrize(
    "status", ["succeeded", "processing", "requires_capture", "requires_action", "requires_confirmation", "new", 7]
)
def test_a_decline_whose_intent_is_not_over_is_unknown(kind: str, status: object) -> None:
    """A 402 that comes with an intent which is paid, or may be, is no decline."""
    error = CARD_DECLINED | {"payment_intent": None, kind: {"id": "x_1", "status": status}}
    assert failure(Answer(402, {"error": error})) == Unknown(reason="declined_but_not_over")


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("body", [None, [], 5, "no", {}, {"error": "invalid_grant"}, {"error": ["x"]}, {"error": None}])
def test_an_error_that_is_not_stripes_is_unknown(status: int, body: object) -> None:
    """A proxy's page or any body without an error object says nothing of what Stripe did, whatever its status."""
    assert failure(Answer(status, body)) == Unknown(reason=f"http_{status}_unreadable")


NUMBER = "4242424242424242"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 429, 500])
@pytest.mark.parametrize("field", ["message", "code", "decline_code", "advice_code", "network_decline_code", "param"])
@pytest.mark.parametrize("quoted", [NUMBER, f"No such card: {NUMBER}", f"card {NUMBER}", [NUMBER], {"n": NUMBER}])
def test_no_input_that_an_error_quotes_comes_out(status: int, field: str, quoted: object) -> None:
    """Only values shaped like codes pass: never a message, never a number that stands where a code should."""
    outcome = failure(Answer(status, {"error": {"type": "invalid_request_error", field: quoted}}))
    assert NUMBER not in json.dumps([getattr(outcome, name) for name in outcome.__slots__])
