"""What the OpenAPI document says beyond what routes declare: every answer they may give, its headers, and its links.

A status that stands nowhere here is one that never comes: the fuzzer holds the document to that
(tests/security/test_fuzz.py).
"""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Flask
from flask_smorest import Api

from api.door import PREFIXES, SUBJECT_REQUEST_ID, Needs, needs_of
from api.openapi import links
from api.problems import MEDIA_TYPE
from api.request_headers import ACTOR, IDEMPOTENCY_KEY, PURPOSE
from api.routes.tokens import CustomerFields
from api.wire.fields import ProblemShown
from api.wire.opendsr import OpenDsrError
from vault.ids import pattern
from vault.protocols.opendsr import BASE

CONVERTED = re.compile(r"<(?:\w+:)?(\w+)>")
"""A part of a route that takes a value, perhaps by a converter: `<name>`, `<path:name>`."""

UNREAD = frozenset({400, 414, 431})
"""What is no request that the server reads: in our form, whatever the path."""

ALWAYS = UNREAD | {500, 503}
"""And: a bug; databases, ledger or keys that do not answer or do not belong together."""

WITH_KEY = frozenset({401, 403, 413, 415, 422, 429})
WITH_ID = frozenset({404, 410})
"""What a path, a body or the retry of a call names is not there, or not any more."""

CHANGING = frozenset({409})
"""Others at the same time, the same key in flight, or a state that does not allow it."""

OPEN = {"/readyz": frozenset({503}), "/webhooks/{processor_account}": frozenset({413, 422})}
OPEN["/v1/packages/{link}"] = frozenset({404, 410, 422})
OPENDSR = {413: 400, 415: 400, 422: 400}
"""What OpenDSR calls otherwise (api/wire/opendsr.py)."""

_TEXT: dict[str, Any] = {"type": "string"}
REQUEST_ID: dict[str, Any] = {
    "Request-Id": {"required": True, "schema": {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}}
}
_REPLAYED: dict[str, Any] = {"Idempotent-Replayed": {"schema": {"type": "string", "enum": ["true"]}}}
_LOCATION: dict[str, Any] = {"Location": {"schema": _TEXT}}
_RETRY: dict[str, Any] = {"Retry-After": {"schema": {"type": "integer"}}}
_LIMITS: dict[str, Any] = {name: {"schema": _TEXT} for name in ("RateLimit", "RateLimit-Policy")}
HEADERS: dict[int, dict[str, Any]] = {
    201: _LOCATION | _REPLAYED,
    202: _LOCATION | _REPLAYED,
    401: {"WWW-Authenticate": {"required": True, "schema": _TEXT}},
    409: _LOCATION | _RETRY,
    429: _RETRY | _LIMITS,
    502: _RETRY,
    503: _RETRY,
}


def amend(app: Flask, documented: Api) -> None:
    """Write into the document what decorators of routes know, and what every answer has in common."""
    components = documented.spec.components
    for unused in ("Error", "PaginationMetadata"):  # flask-smorest's own; errors here are problems
        components.schemas.pop(unused)
    components.responses.clear()
    components.schema("Problem", schema=ProblemShown)
    components.schema("OpenDsrError", schema=OpenDsrError)
    components.schema("CustomerFields", schema=CustomerFields)
    paths = documented.spec._paths  # noqa: SLF001  # apispec has no public way to amend a path
    for method, path, operation, needed in _operations(app, paths):
        _answer(path, operation, _refusals(method, path, needed))
        operation.update(_of_key(method, path, operation, needed) if needed else {})
        if needed and needed.optional:
            operation["requestBody"]["required"] = False
    for methods in paths.values():
        for parameter in methods.get("parameters", ()):
            parameter["schema"] = _of_path(parameter["name"])
    links.link(paths)


def _of_path(name: str) -> dict[str, Any]:
    if name == "subject_request_id":
        return {"type": "string", "pattern": f"^{SUBJECT_REQUEST_ID.pattern}$"}
    return {"type": "string", "pattern": pattern(PREFIXES[name][0])} if name in PREFIXES else {"type": "string"}


def _operations(app: Flask, paths: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any], Needs | None]]:
    for rule in app.url_map.iter_rules():
        path = CONVERTED.sub(r"{\1}", rule.rule)
        for method in rule.methods or ():
            if (operation := paths.get(path, {}).get(method.lower())) is not None:
                yield method, path, operation, needs_of(app.view_functions[rule.endpoint])


def _refusals(method: str, path: str, needed: Needs | None) -> set[int]:
    """Each status that is no success."""
    found = set(ALWAYS | OPEN.get(path, frozenset()))
    if needed is not None:
        found |= WITH_KEY | needed.refusals
        found |= WITH_ID if "{" in path or method == "POST" else set()
        found |= CHANGING if method != "GET" else set()
    if path.startswith(("/fides/", BASE)):
        found.add(404)  # it is not set up
    return {OPENDSR.get(status, status) for status in found} if path.startswith(BASE) else found


def _answer(path: str, operation: dict[str, Any], refusals: set[int]) -> None:
    responses = operation["responses"]
    for taken_over in ("default", "422"):  # flask-smorest's own
        responses.pop(taken_over, None)
    responses |= {str(status): _refusal(path, status) for status in sorted(refusals)}
    for status, response in responses.items():
        response["headers"] = REQUEST_ID | HEADERS.get(int(status), {})


def _refusal(path: str, status: int) -> dict[str, Any]:
    of_opendsr = path.startswith(BASE)
    content = {"application/json": _schema("OpenDsrError")} if of_opendsr else {}
    content |= {MEDIA_TYPE: _schema("Problem")} if not of_opendsr or status in UNREAD else {}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _schema(name: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{name}"}}


def _of_key(method: str, path: str, operation: dict[str, Any], needed: Needs) -> dict[str, Any]:
    """What a call with an API key carries: its scope, and the headers that have a meaning here."""
    headers = [_header("Panless-Actor", "The human behind the client: letters, digits and ._:-", ACTOR, required=False)]
    if method == "POST" and path.startswith("/v1/"):  # other protocols name their calls in their bodies
        meaning = "Names this call: a retry with the same key is the same call"
        headers.append(_header("Idempotency-Key", meaning, IDEMPOTENCY_KEY, required=needed.key))
    if needed.purpose:
        headers.append(_header("Access-Purpose", 'Why: <code>; ref="<ticket>"', PURPOSE, required=True))
    parameters = [*operation.get("parameters", []), *headers]
    return {"security": [{"key": []}], "x-scope": needed.scope, "parameters": parameters}


def _header(name: str, meaning: str, form: re.Pattern[str], *, required: bool) -> dict[str, Any]:
    schema = {"type": "string", "pattern": f"^{form.pattern}$"}
    return {"in": "header", "name": name, "description": meaning, "required": required, "schema": schema}
