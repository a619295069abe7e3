"""The Flask application: routes, problem details, request ids, one log line a request, the OpenAPI document."""

import json
import time
from functools import cached_property
from typing import Any

import structlog
from flask import Flask, Response, g, request
from flask_smorest import Api

from api.admission import ARRIVED
from api.bodies import LARGEST, take_the_rest
from api.door import new_request_id
from api.openapi import document
from api.parts import NAME, Parts, parts
from api.problems import answer_errors
from api.routes import (
    audit,
    charges,
    customers,
    disputes,
    erasures,
    events,
    fides,
    health,
    holds,
    opendsr,
    packages,
    processor_accounts,
    reference,
    refunds,
    restrictions,
    rights,
    tokens,
    webhook_endpoints,
    webhooks,
)
from api.wire.headers import FIXED, UNDER_TLS

ROOMS = (
    tokens,
    charges,
    refunds,
    customers,
    restrictions,
    holds,
    rights,
    erasures,
    packages,
    processor_accounts,
    disputes,
    events,
    webhook_endpoints,
    webhooks,
    opendsr,
    fides,
    audit,
    health,
)
VERSION = "0.1.0"


class PanlessApi(Api):
    """flask-smorest's Api, whose error answers are ours."""

    def _register_error_handlers(self) -> None:
        """Leave errors to api/problems.py."""

    def _openapi_json(self) -> Response:
        """The document, written once: anybody may ask for it, as often as they like."""
        return Response(self._written, content_type="application/json")

    @cached_property
    def _written(self) -> str:
        return json.dumps(self.spec.to_dict(), indent=2)


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
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.url_map.merge_slashes = False  # a redirect would repeat the path, whatever stands in it
    app.extensions[NAME] = house
    app.before_request(_begin)
    app.after_request(_end)
    answer_errors(app)
    documented = PanlessApi(app)
    for room in ROOMS:
        documented.register_blueprint(room.blueprint)
    document.amend(app, documented)
    reference.serve_reference(app, documented)
    return app


_SPEC: dict[str, Any] = {
    "info": {
        "description": "A payment-token vault that never keeps the card number.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
}


def _begin() -> None:
    g.started = request.environ.get(ARRIVED) or time.perf_counter()
    g.age = parts().ages()
    g.request_id = new_request_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    take_the_rest(request)
    response.headers["Request-Id"] = g.request_id
    if (standing := g.get("standing")) is not None:
        response.headers.update(standing.headers)
    _guard(response)
    route = request.url_rule.rule if request.url_rule else None  # the template: a path could carry anything
    structlog.get_logger().info(
        "request",
        method=request.method,
        route=route,
        status=response.status_code,
        milliseconds=round((time.perf_counter() - g.started) * 1000, 1),
    )
    return response


def _guard(response: Response) -> None:
    """Add the headers that the route has not set itself."""
    own = {name.lower() for name, _ in response.headers}
    for name, value in FIXED.items():
        if name.lower() not in own:
            response.headers.add(name, value)
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = UNDER_TLS
