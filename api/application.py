"""The Flask application: routes, problem details, request ids, one log line a request, the OpenAPI document."""

import time
from typing import Any

import structlog
from flask import Flask, Response, g, request
from flask_smorest import Api

from api import charges, customers, health, processor_accounts, reference, rights, tokens
from api.bodies import LARGEST
from api.door import new_request_id, scope_of
from api.fields import ProblemShown
from api.parts import NAME, Parts
from api.problems import MEDIA_TYPE, answer_errors

ROOMS = (tokens, charges, customers, rights, processor_accounts, health)
VERSION = "0.1.0"


class PanlessApi(Api):
    """flask-smorest's Api, whose error answers are ours."""

    def _register_error_handlers(self) -> None:
        """Leave errors to api/problems.py."""


def create_app(house: Parts) -> Flask:
    """The application over these parts; nothing connects before the first request."""
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=LARGEST,
        API_TITLE="Panless",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS=_SPEC,
        PROPAGATE_EXCEPTIONS=False,
    )
    app.extensions[NAME] = house
    app.before_request(_begin)
    app.after_request(_end)
    answer_errors(app)
    documented = PanlessApi(app)
    for room in ROOMS:
        documented.register_blueprint(room.blueprint)
    _document(app, documented)
    reference.serve_reference(app, documented)
    return app


_SPEC: dict[str, Any] = {
    "info": {
        "description": "A payment-token vault that never keeps the card number.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
}


def _document(app: Flask, documented: Api) -> None:
    """Write into the OpenAPI document what the routes' decorators know: scopes, and problems as the other answer."""
    documented.spec.components.schema("Problem", schema=ProblemShown)
    problem = {
        "description": "What is wrong (RFC 9457)",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    paths = documented.spec._paths  # noqa: SLF001  # apispec has no public way to amend a path
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<", "{").replace(">", "}")
        scope = scope_of(app.view_functions[rule.endpoint])
        for method in rule.methods or ():
            operation = paths.get(path, {}).get(method.lower())
            if operation is not None:
                operation["responses"]["default"] = problem
                operation |= {"security": [{"key": []}], "x-scope": scope} if scope else {}


def _begin() -> None:
    g.started = time.perf_counter()
    g.request_id = new_request_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    response.headers["Request-Id"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    route = request.url_rule.rule if request.url_rule else None  # the template: a path could carry anything
    structlog.get_logger().info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        milliseconds=round((time.perf_counter() - g.started) * 1000, 1),
    )
    return response
