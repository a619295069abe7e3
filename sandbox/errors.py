"""Stripe's error objects, as an exception that carries the whole answer."""

from typing import Any

DOCUMENTATION = "https://stripe.com/docs/error-codes/"
BY_STATUS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The script says that this request is wrong."),
    401: ("invalid_request_error", None, "Invalid API Key provided."),
    402: ("card_error", "card_declined", "Your card was declined."),
    403: ("invalid_request_error", None, "The provided key does not have the required permissions."),
    404: ("invalid_request_error", "resource_missing", "No such object."),
    409: ("idempotency_error", "idempotency_key_in_use", "Another request with this Idempotency-Key is under way."),
    429: ("invalid_request_error", "rate_limit", "Too many requests hit the API too quickly."),
    500: ("api_error", None, "An unexpected error occurred."),
}


class WireError(Exception):
    """An answer other than 200.

    ``stored`` tells whether the answer is kept for its idempotency key: it is once execution began, and is not when
    the request was refused before (authentication, limits, conflicts, parameters).
    """

    def __init__(
        self, status: int, error: dict[str, Any], *, stored: bool = True, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(error.get("code", error["type"]))
        self.status = status
        self.error = {name: value for name, value in error.items() if value is not None}
        self.stored = stored
        self.headers = headers or {}


def explained(error: dict[str, Any]) -> dict[str, Any]:
    """An error object with the page that explains its code."""
    code = error.get("code")
    return error | {"doc_url": DOCUMENTATION + code.replace("_", "-")} if code else error


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> WireError:
    """A 400 for parameters that could not be read: nothing was executed, nothing is stored."""
    error = explained({"type": "invalid_request_error", "message": message, "param": param, "code": code})
    return WireError(400, error, stored=False)


def refused(
    message: str, *, param: str | None = None, code: str | None = None, objects: dict[str, Any] | None = None
) -> WireError:
    """A 400 that the state of things caused; ``objects`` are embedded whole, as Stripe does."""
    error = {"type": "invalid_request_error", "message": message, "param": param, "code": code, **(objects or {})}
    return WireError(400, explained(error))


def missing(noun: str, name: str, *, param: str, status: int = 404) -> WireError:
    """No such object: 404 when it stands in the path, 400 when another object refers to it."""
    message = f"No such {noun}: '{name}'"
    error = {"type": "invalid_request_error", "code": "resource_missing", "message": message, "param": param}
    return WireError(status, explained(error))


def card_error(fields: dict[str, Any], **objects: object) -> WireError:
    """A 402: ``fields`` say what the issuer said, ``objects`` are embedded whole."""
    return WireError(402, explained({"type": "card_error", **fields, **objects}))


def unauthenticated(message: str) -> WireError:
    """A 401, never stored; the key that was sent is not repeated."""
    error = {"type": "invalid_request_error", "message": message}
    return WireError(401, error, stored=False, headers={"WWW-Authenticate": 'Basic realm="Stripe"'})


def forbidden() -> WireError:
    """A 403, never stored: the key lacks a permission."""
    message = "The provided key does not have the required permissions for this endpoint."
    return WireError(403, {"type": "invalid_request_error", "message": message}, stored=False)


def key_in_use() -> WireError:
    """A 409: the first request with this idempotency key is still under way."""
    message = "Another request with this Idempotency-Key is under way. Try again when it has ended."
    error = {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": message}
    return WireError(409, error, stored=False, headers={"Stripe-Should-Retry": "true"})


def key_reused() -> WireError:
    """A 400: this idempotency key came with other parameters, or at another endpoint, before."""
    message = "This Idempotency-Key was first used with other parameters or at another endpoint."
    return WireError(400, {"type": "idempotency_error", "message": message}, stored=False)


def broken(message: str = "An unexpected error occurred.") -> WireError:
    """A 500, stored like any other outcome: the same key answers 500 again."""
    return WireError(500, {"type": "api_error", "message": message})


def unknown_url(method: str, path: str) -> WireError:
    """A 404 for an endpoint that the sandbox does not have."""
    message = f"Unrecognized request URL ({method}: {path})."
    return WireError(404, {"type": "invalid_request_error", "message": message}, stored=False)


def of_status(status: int, code: str | None = None, kind: str | None = None) -> WireError:
    """The failure that a scripted fault asks for, in the words of that status; another type comes without a code."""
    own, usual, message = BY_STATUS.get(status, BY_STATUS[500 if status >= 500 else 400])  # noqa: PLR2004 - HTTP
    if kind not in (None, own):
        usual = None
    headers = {"Stripe-Rate-Limited-Reason": "global-rate"} if status == 429 else {}  # noqa: PLR2004 - HTTP
    if code == "lock_timeout":
        headers = {"Stripe-Should-Retry": "true"}
    return WireError(
        status, explained({"type": kind or own, "code": code or usual, "message": message}), headers=headers
    )
