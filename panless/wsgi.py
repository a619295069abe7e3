"""What gunicorn loads in each of its workers: `panless.wsgi:app()`."""

import atexit
import sys

import structlog
from flask import Flask

from api.application import create_app
from api.parts import Parts
from panless import logs
from panless.heartbeat import beat
from panless.metrics import Metrics, serve_metrics
from panless.settings import read_settings
from panless.trouble import EXPECTED, sentence
from panless.wiring import Components, build

BOOT_ERROR = 3
"""gunicorn's own exit code for a worker that can't start: it ends the server instead of trying for ever."""


def app() -> Flask:
    """The application of this process, its guard checked and kept checked."""
    try:
        settings = read_settings()
        logs.start(settings.log_level)
        components = build(settings)
    except EXPECTED as error:
        structlog.get_logger().critical("not_started", reason=sentence(error))
        sys.exit(BOOT_ERROR)
    application = create_app(_parts(components))
    _keep_checked(components, _metrics(components, application))
    return application


def _parts(components: Components) -> Parts:
    return Parts(
        records=components.records,
        keyring=components.keyring,
        ledger=components.ledger,
        guard=components.guard,
        processors=components.processors,
        policy=components.policy,
        clock=components.clock,
        accept_raw_cards=components.settings.accept_raw_cards,
    )


def _metrics(components: Components, application: Flask) -> Metrics | None:
    if components.settings.metrics_bind is None:
        return None
    metrics = Metrics()
    metrics.observe(application)
    atexit.register(serve_metrics(components.settings.metrics_bind))
    return metrics


def _keep_checked(components: Components, metrics: Metrics | None) -> None:
    def check() -> None:
        before, verdict = components.guard.verdict.code, components.guard.check()
        if verdict.code != before:
            structlog.get_logger().info("verdict", code=verdict.code, message=verdict.message)
        if metrics is not None:
            metrics.show_verdict(verdict.code)

    atexit.register(beat(check))
