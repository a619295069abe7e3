"""Errors as answers: problem details (RFC 9457). One table says which domain error is which answer.

What is not in the table is a silent 500: its text may quote what nobody should read.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from api.parts import IssuerAway
from api.wire.fields import moment
from keys.errors import DatabaseReplaced, KeyDestroyed, RootKeyAway, RootKeyDenied, WatermarkMoved
from vault import errors

MEDIA_TYPE = "application/problem+json"
DOC = "/docs#problem-"


class Problem(Exception):
    """An answer that says what is wrong; raised by the door itself."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        headers: dict[str, str] | None = None,
        **members: Any,  # noqa: ANN401  # JSON members of the answer
    ) -> None:
        """Take what the answer says; `members` are further members of the problem object."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.members = members


@dataclass(frozen=True, slots=True)
class Kind:
    """How one error is answered; `wait`: seconds of Retry-After, else 1 where the error can be retried."""

    status: int
    code: str
    wait: int | None = None


TABLE: dict[type[Exception], Kind] = {
    errors.NotFoundHere: Kind(404, "not_found"),
    errors.Erased: Kind(410, "erased"),
    KeyDestroyed: Kind(410, "erased"),
    errors.Gone: Kind(410, "gone"),
    errors.Restricted: Kind(423, "restricted"),
    errors.Blocked: Kind(409, "blocked"),
    errors.KeyReused: Kind(422, "idempotency_key_reused"),
    errors.InProgress: Kind(409, "in_progress"),
    errors.MovedOn: Kind(409, "contended"),
    errors.InDoubt: Kind(503, "in_doubt"),
    errors.CustomerExists: Kind(409, "customer_exists"),
    errors.Duplicate: Kind(409, "duplicate_request"),
    errors.ActorNeeded: Kind(400, "actor_required"),
    errors.ObligationTaken: Kind(409, "already_paid"),
    errors.DoNotRetry: Kind(422, "do_not_retry"),
    errors.Invalid: Kind(422, "invalid_request"),
    errors.NotUsable: Kind(409, "not_usable"),
    errors.RawCardsRefused: Kind(403, "raw_cards_refused"),
    errors.ProcessorRefused: Kind(422, "processor_refused"),
    errors.ProcessorNotReached: Kind(503, "processor_not_reached"),
    errors.AnchorStale: Kind(503, "audit_anchor_stale"),
    errors.LedgerAway: Kind(503, "ledger_unavailable"),
    errors.Refused: Kind(503, "records_restored"),  # or another verdict: it says which
    DatabaseReplaced: Kind(503, "database_unavailable"),
    RootKeyAway: Kind(503, "root_key_unavailable"),
    RootKeyDenied: Kind(503, "root_key_denied", 10),  # somebody must mend it first, and nobody needs to restart
    IssuerAway: Kind(503, "issuer_unavailable", 5),  # a client that is told 401 would renew a good token
    WatermarkMoved: Kind(503, "contended"),
    OperationalError: Kind(503, "database_unavailable"),
    InterfaceError: Kind(503, "database_unavailable"),
    PoolTimeout: Kind(503, "database_busy"),
}

_TEXTS = {
    "erased": "This was erased.",
    "database_unavailable": "A database does not answer. Try again.",
    "issuer_unavailable": "The issuer of this token does not answer. Nothing was done: try again.",
    "overloaded": "There is more to do here than can be done in time; nothing was begun. Try again.",
    "database_busy": "All database connections are in use. Try again.",
    "processor_credentials_refused": "The processor refuses this processor account's credentials. Renew them.",
    "root_key_denied": "The provider of the root key refuses this deployment. Its operator must grant that.",
    "root_key_unavailable": "The root key does not answer. Try again.",
}


def answer_errors(app: Flask) -> None:
    """Have `app` answer every error as problem details."""
    app.register_error_handler(Problem, _of_problem)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_error)


def problem_response(
    status: int,
    code: str,
    detail: str,
    headers: dict[str, str] | None = None,
    **members: Any,  # noqa: ANN401  # JSON members
) -> Response:
    """An answer in problem details. It names no request, so that equal problems are equal bytes."""
    body = {
        "type": f"{DOC}{code.replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "doc": f"{DOC}{code.replace('_', '-')}",
        **members,
    }
    return Response(json.dumps(body), status, headers, content_type=MEDIA_TYPE)


def answer_to_overload() -> Response:
    """The answer to who comes while there is more to do than can be done in time."""
    code = "overloaded"
    return problem_response(503, code, _TEXTS[code], {"Retry-After": "1"})


def answer_to(error: Exception) -> Response:
    """The answer to any error."""
    if isinstance(error, Problem):
        return _of_problem(error)
    return _of_http(error) if isinstance(error, HTTPException) else _of_error(error)


def _of_problem(problem: Problem) -> Response:
    return problem_response(problem.status, problem.code, problem.detail, problem.headers, **problem.members)


def _of_http(error: HTTPException) -> Response:
    """The framework's own errors: 404, 405, 413, and 422 from a schema."""
    status = error.code or 500
    found = getattr(error, "data", None) or {}
    members = {"errors": _fields(found["messages"])} if "messages" in found else {}
    code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
    detail = _DETAILS.get(status, f"{HTTPStatus(status).phrase}.")
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    return problem_response(status, code, detail, headers, **members)


_CODES = {
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
}
_DETAILS = {
    404: "There is nothing here.",
    405: "This path does not take this method.",
    413: "The body is larger than 64 KiB.",
    422: "Some fields are missing, unknown or wrong.",
}


def _fields(messages: Any, path: str = "") -> list[dict[str, str]]:  # noqa: ANN401  # marshmallow nests messages freely
    """Marshmallow's nested messages as a flat list; the outermost name is where (json, query), not what."""
    if isinstance(messages, dict):
        return [
            row for name, inner in messages.items() for row in _fields(inner, f"{path}.{name}" if path else f"{name}")
        ]
    return [{"field": path.partition(".")[2] or path, "message": str(message)} for message in messages]


def _of_error(error: Exception) -> Response:
    kind = _kind(error)
    if kind is None:
        structlog.get_logger().error("unexpected_error", kind=type(error).__name__, exc_info=error)
        return problem_response(500, "internal_error", "Something went wrong here. It was noted.")
    if isinstance(error, errors.ProcessorRefused) and error.credentials:
        kind = Kind(502, "processor_credentials_refused")
    if kind.status == 503:  # noqa: PLR2004  # its name
        structlog.get_logger().warning(
            "unavailable", code=_code(error, kind), kind=type(error).__name__, reason=_reason(error)
        )
    text = _TEXTS.get(kind.code, str(error))
    headers = _wait(error, kind) | _links(error)
    return problem_response(kind.status, _code(error, kind), text, headers, **_members(error))


def _wait(error: Exception, kind: Kind) -> dict[str, str]:
    """When to come back, where that can help."""
    is_worth_it = getattr(error, "retryable", kind.status == 503)  # noqa: PLR2004  # its name
    return {"Retry-After": str(kind.wait or 1)} if kind.wait or is_worth_it else {}


READ_ONLY = "25006"
"""SQLSTATE of a PostgreSQL that only reads, as a standby does whose address has moved before it was promoted."""


def _kind(error: Exception) -> Kind | None:
    if isinstance(error, InternalError) and getattr(error.orig, "sqlstate", None) == READ_ONLY:
        return TABLE[OperationalError]
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), None)


def _reason(error: Exception) -> str | None:
    """What a database's driver or a root key's provider said; such messages quote no data."""
    if isinstance(error, RootKeyAway | RootKeyDenied):
        return str(error)
    return str(error.orig) if isinstance(error, DBAPIError) else None


def _code(error: Exception, kind: Kind) -> str:
    if isinstance(error, errors.ObligationTaken):
        return "in_doubt" if error.in_doubt else "already_paid"
    return error.code if isinstance(error, errors.NotUsable | errors.Refused) else kind.code


def _links(error: Exception) -> dict[str, str]:
    """Where to look instead."""
    match error:
        case errors.ObligationTaken():
            place = f"/v1/charges/{error.charge_id}"
        case errors.CustomerExists():
            place = f"/v1/customers/{error.customer_id}"
        case errors.Duplicate():
            place = f"/v1/rights-requests/{error.request_id}"
        case errors.Blocked(request=str(request)):
            place = f"/v1/rights-requests/{request}"
        case _:
            return {}
    return {"Location": place}


def _members(error: Exception) -> dict[str, Any]:
    """What an error says besides its sentence: ids and codes."""
    members: dict[str, Any] = {}
    match error:
        case errors.Blocked():
            until = {reason: moment(end) for reason, end in error.until.items()}
            members = {"reasons": error.reasons, "until": until, "request": error.request}
        case errors.Duplicate():
            members = {"request": error.request_id}
        case errors.ObligationTaken():
            members = {"charge": error.charge_id}
        case errors.DoNotRetry():
            members = {"reason": error.code, "until": moment(error.until) if error.until else None}
        case errors.CustomerExists():
            members = {"customer": error.customer_id}
        case errors.Invalid():
            members = {"errors": [{"field": error.field, "message": str(error)}]}
        case errors.ProcessorRefused():
            members = {"processor_code": error.code, "processor_param": error.param}
    return members
