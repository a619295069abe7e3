"""What Stripe's errors mean: the one table from statuses and codes to outcomes of the port.

Sources: Stripe's reference of errors, of error codes and of idempotent requests. Only codes come out: a message may
quote what was sent.
"""

import re
from collections.abc import Callable
from typing import Any

from vault.processing.processor_answers import Declined, Failure, NotReached, Refused, Unknown
from vault.processors.stripe_transport import Answer

Object = dict[str, Any]

CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
PARAM = re.compile(r"[A-Za-z_][A-Za-z_\[\]]{0,99}")
NETWORK_CODE = re.compile(r"[A-Za-z0-9]{1,4}")


def failure(answer: Answer) -> Declined | Failure:
    """What an answer other than 2xx means, by its code (or type, where it has none) and then by its status.

    A body without an error object comes from somewhere else than Stripe's API: Unknown, whatever its status.
    """
    error = answer.body.get("error") if isinstance(answer.body, dict) else None
    if not isinstance(error, dict):
        return Unknown(reason=f"http_{answer.status}_unreadable")
    by_code = BY_CODE.get((answer.status, error_code(error)))
    means = by_code or BY_STATUS.get(answer.status, _unknown)
    return means(answer, error)


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


def _refused(_: Answer, error: Object) -> Refused:
    return Refused(code=error_code(error), param=_only(PARAM, error.get("param")))


def _declined(_: Answer, error: Object) -> Declined:
    return declined(error, dig(error, "payment_intent", "id") or dig(error, "setup_intent", "id"))


def _credentials_refused(_: Answer, __: Object) -> Refused:
    return Refused(code="processor_credentials_refused", credentials=True)


def _mismatch(_: Answer, __: Object) -> Refused:
    return Refused(code="idempotency_mismatch")


def _limited(answer: Answer, error: Object) -> NotReached:
    return NotReached(reason=error_code(error), retry_after=answer.retry_after)


def _in_flight(_: Answer, error: Object) -> Unknown:
    return Unknown(reason=error_code(error), in_flight=True)


def _unknown(answer: Answer, _: Object) -> Unknown:
    return Unknown(reason=f"http_{answer.status}")


BY_CODE: dict[tuple[int, str], Callable[[Answer, Object], Declined | Failure]] = {
    (400, "idempotency_error"): _mismatch,  # this key came with other parameters before
    (400, "rate_limit"): _limited,  # how limits were answered before 429
    (409, "idempotency_key_in_use"): _in_flight,
}
BY_STATUS: dict[int, Callable[[Answer, Object], Declined | Failure]] = {
    400: _refused,
    401: _credentials_refused,
    402: _declined,
    403: _credentials_refused,
    404: _refused,
    429: _limited,  # `rate_limit`, `lock_timeout`: never executed, never stored for the key
}


def dig(value: Any, *path: str) -> Any:  # noqa: ANN401 - JSON of any shape
    """The value at the end of a path through objects, None where it ends early."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _only(shape: re.Pattern[str], value: object) -> str | None:
    """The value if it has the shape of a code; anything else might be input that the processor quotes."""
    return value if isinstance(value, str) and shape.fullmatch(value) else None
