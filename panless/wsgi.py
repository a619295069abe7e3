"""What gunicorn loads in each of its workers: `panless.wsgi:app()`."""

import atexit
import gc
import sys
import time
from functools import partial

import structlog
from flask import Flask
from sqlalchemy.exc import InterfaceError, OperationalError

from api.admission import Admission
from api.admitting import admitted
from api.application import create_app
from keys.keks import status
from panless.process import configuration, logs
from panless.process.heartbeat import beat
from panless.serving.metrics import Metrics, of_all_processes, serve_metrics
from panless.serving.proxies import behind
from panless.serving.slow_clients import SlowClients
from panless.settings.environment import Settings, read_settings
from panless.shown.trouble import EXPECTED, sentence
from panless.wiring import Components, build
from vault.processing import beats
from vault.recovering import open_intents, webhooks_left
from vault.requests.watch import watch
from vault.tlog.lateness import lateness

KEYS_EVERY = 300.0
"""Seconds between two counts of the DEKs: each reads them all."""

BOOT_ERROR = 3
"""gunicorn's own exit code for a worker that can't start: it ends the server instead of trying for ever."""

NOT_YET, REST = 1, 1.0
"""The exit code, and the seconds before it, where a database does not answer: gunicorn then starts another worker."""


def app() -> Flask:
    """The application of this process, its guard checked and kept checked."""
    try:
        settings = read_settings()
        logs.start(settings.log_level)
        components = build(settings)
        beats.begin(components.records)
    except (OperationalError, InterfaceError) as error:  # the server began with them, and its other workers serve
        structlog.get_logger().error("not_started", reason=sentence(error))
        time.sleep(REST)
        sys.exit(NOT_YET)
    except EXPECTED as error:
        structlog.get_logger().critical("not_started", reason=sentence(error))
        sys.exit(BOOT_ERROR)
    application = create_app(components.parts)
    admission = Admission(_turns(settings), time.monotonic)
    application.wsgi_app = _guarded(application, admission, settings)  # type: ignore[method-assign]  # as Flask wants it
    metrics = _metrics(components, application)
    _keep_checked(components, admission, metrics)
    _keep_written(components, metrics)
    _settle_memory()
    return application


def _turns(settings: Settings) -> int:
    """How many requests are worked on at once: each finds a database connection, and on SQLite a thread."""
    return min(settings.connections, settings.threads) if settings.is_sqlite else settings.connections


def _settle_memory() -> None:
    """Take what is loaded by now out of garbage collection: one pass over it would hold a request up for 80 ms."""
    gc.collect()
    gc.freeze()


def _guarded(application: Flask, admission: Admission, settings: Settings) -> SlowClients:
    """What stands between gunicorn and the application: clients that are slow, proxies that are believed, a queue."""
    serve = behind(
        admitted(application.wsgi_app, admission),
        settings.trusted_proxies or (),
        settings.proxy_hops,
        settings.client_certificate_header,
    )
    return SlowClients(serve, seconds=settings.client_timeout)


def _metrics(components: Components, application: Flask) -> Metrics | None:
    if components.settings.metrics_bind is None:
        return None
    metrics = Metrics()
    metrics.observe(application)
    atexit.register(serve_metrics(components.settings.metrics_bind, of_all_processes()))
    return metrics


def _keep_checked(components: Components, admission: Admission, metrics: Metrics | None) -> None:
    """Look at the guard every few seconds; nothing that may wait for somebody else is done in between."""
    told = components.guard.verdict

    def check() -> bool:
        nonlocal told
        before, told = told, components.guard.check()  # a request may have found it between two of these looks
        verdict = told
        if verdict != before:
            structlog.get_logger().info("verdict", code=verdict.code, message=verdict.message, cause=verdict.cause)
        if refused := admission.take_refused():
            structlog.get_logger().warning("overloaded", refused=refused, waiting=admission.waiting)
        if metrics is not None:
            metrics.show_verdict(verdict.code)
            metrics.show_admission(admission.waiting, refused)
            metrics.count_unlimited(components.limits.take_uncounted())
        return verdict.is_good

    atexit.register(beat(check))


def _keep_written(components: Components, metrics: Metrics | None) -> None:
    """Write down who came and looked at cards, every few seconds and once more at the end; show what is measured."""
    noted, parts = False, components.parts

    def write_down() -> bool:
        nonlocal noted
        if not components.guard.verdict.is_good:
            return False
        if metrics is not None:
            metrics.show_rights(watch(components.records, components.policy, components.clock()))
            metrics.show_lateness(lateness(components.logs, components.records, components.clock()))
            metrics.show_intents(open_intents.watch(components.records, components.clock()))
            metrics.show_webhooks(webhooks_left.watch(components.records))
        if not noted:
            configuration.note(components, "server")
            noted = True
        try:  # what can't be written of one tenant is raised
            parts.tallies.write_down(components.records, components.keyring, components.clock())
        finally:
            parts.uses.write_down(components.records)  # last: it waits for who holds the row of a key
        return True

    def write_down_the_rest() -> None:
        parts.uses.write_down(components.records)
        parts.tallies.write_down(components.records, components.keyring, components.clock(), all_of_it=True)

    atexit.register(write_down_the_rest)
    atexit.register(beat(write_down))
    if metrics is not None:
        atexit.register(beat(partial(_count_keys, components, metrics), KEYS_EVERY))


def _count_keys(components: Components, metrics: Metrics) -> bool:
    metrics.show_keys(status(components.keyring), components.clock())
    return True
