"""What Stripe's errors mean: by type first, then by status.

Sources: Stripe's reference of errors, of error codes and of idempotent requests. Only codes come out: a message may
quote what was sent.
"""

import re
from typing import Any

from vault.processing.answers import Declined, Failure, NotReached, Refused, Unknown
from vault.processors.stripe.transport import Answer

Object = dict[str, Any]

CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
PARAM = re.compile(r"[A-Za-z_][A-Za-z_\[\]]{0,99}")
NETWORK_CODE = re.compile(r"[A-Za-z0-9]{1,4}")

KEY_TAKEN = "idempotency_mismatch"
CREDENTIALS_REFUSED = Refused(code="processor_credentials_refused", credentials=True)
REQUEST = ("invalid_request_error", "authentication_error", "rate_limit_error", None)
"""The types of what was turned away before anything was done; older answers have the second and third, or none."""

OVER = (None, "requires_payment_method", "canceled")
"""The statuses of an intent, embedded in a 402, in which nothing is paid and nothing is under way."""


def failure(answer: Answer) -> Declined | Failure:
    """What an answer other than 2xx means; what is not certainly nothing, is Unknown.

    A body without an error object comes from somewhere else than Stripe's API: Unknown, whatever its status.
    """
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    if not isinstance(error, dict):
        return Unknown(reason=f"http_{answer.status}_unreadable")
    kind, code = error.get("type"), error_code(error)
    if answer.status == 409:  # noqa: PLR2004 - HTTP: another request holds the key, or the object
        in_flight = code == "idempotency_key_in_use"
        return Unknown(reason=code if in_flight else "http_409", in_flight=in_flight)
    if kind == "idempotency_error":
        return Unknown(reason=KEY_TAKEN)
    if code == "lock_timeout":  # the object is worked on, by this same call perhaps
        return Unknown(reason=code)
    if answer.status == 402 and kind in ("card_error", "invalid_request_error"):  # noqa: PLR2004 - HTTP
        return _of_card(error)
    return _of_request(answer, error) if kind in REQUEST else Unknown(reason=f"http_{answer.status}")


def declined(error: Object, reference: str | None) -> Declined:
    """A 402's error object, or the `last_..._error` of an intent, which has the same fields."""
    return Declined(
        code=error_code(error),
        decline_code=_only(CODE, error.get("decline_code")),
        advice_code=_only(CODE, error.get("advice_code")),
        network_decline_code=_only(NETWORK_CODE, error.get("network_decline_code")),
        reference=reference,
    )


def error_code(error: Object) -> str:
    """The code of an error, its type where Stripe gives no code."""
    return _only(CODE, error.get("code")) or _only(CODE, error.get("type")) or "unspecified"


def embedded(error: Any) -> Object | None:  # noqa: ANN401 - JSON of any shape
    """The intent that a 402 is about."""
    intents = (dig(error, name) for name in ("payment_intent", "setup_intent"))
    return next((intent for intent in intents if isinstance(intent, dict)), None)


def _of_card(error: Object) -> Declined | Unknown:
    """Declined, unless the intent that comes along says otherwise."""
    intent = embedded(error)
    if dig(intent, "status") not in OVER:
        return Unknown(reason="declined_but_not_over")
    name = dig(intent, "id")
    return declined(error, name if isinstance(name, str) else None)


def _of_request(answer: Answer, error: Object) -> Failure:
    """What a request was turned away for."""
    code, status = error_code(error), answer.status
    if status == 429 or (status == 400 and code in ("rate_limit", "rate_limit_error")):  # noqa: PLR2004 - HTTP; 400 is how limits were answered before
        return NotReached(reason=code, retry_after=answer.retry_after)
    if status in (401, 403):
        return CREDENTIALS_REFUSED
    if status in (400, 404) and error.get("type") == "invalid_request_error":
        return Refused(code=code, param=_only(PARAM, error.get("param")))
    return Unknown(reason=f"http_{status}")


def dig(value: Any, *path: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """The value at the end of a path through objects, None where it ends early."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _only(shape: re.Pattern[str], value: object) -> str | None:
    """The value if it has the shape of a code; anything else might be input that the processor quotes."""
    return value if isinstance(value, str) and shape.fullmatch(value) else None
