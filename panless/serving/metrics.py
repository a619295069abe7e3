"""Figures for Prometheus: requests by method, route and status, how long they took, and the guard's verdict.

The values of all server processes lie in files of `PROMETHEUS_MULTIPROC_DIR`, which `panless serve` makes, so that each
process can answer for all. No label carries anything that a client sent: routes are templates.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, MetricsHandler
from prometheus_client.multiprocess import MultiProcessCollector

from keys.keks import KekStatus
from panless.serving.ports import split
from vault.recovering import open_intents, webhooks_left
from vault.requests.watch import Watch
from vault.tlog.lateness import Lateness

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)


class Metrics:
    """The figures of one server process."""

    def __init__(self) -> None:
        """Open this process's values."""
        own = CollectorRegistry()
        labels = ["method", "route", "status"]
        self._requests = Counter("panless_requests", "Requests answered.", labels, registry=own)
        self._seconds = Histogram(
            "panless_request_seconds", "Time to answer.", ["method", "route"], registry=own, buckets=BUCKETS
        )
        self._refused = Counter("panless_overloaded", "Requests refused as there was too much to do.", registry=own)
        self._waiting = Gauge(
            "panless_waiting_requests",
            "Requests that wait for their turn.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._verdict = Gauge(
            "panless_guard_verdict",
            "1 for a verdict that any server process holds now.",
            ["verdict"],
            registry=own,
            multiprocess_mode="livemax",
        )
        self._verdicts: set[str] = set()
        self._rights = Gauge(
            "panless_rights_requests",
            "Rights requests that are open, blocked, pressing (past the policy's day of warning) or overdue.",
            ["which"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._intents = Gauge(
            "panless_intents",
            "Intents that are pending, that need a human (manual); what reconciling found (differences).",
            ["which"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._oldest_intents = Gauge(
            "panless_intents_oldest_seconds",
            "How old the oldest intent is that is pending, or that needs a human; 0 where there is none.",
            ["state"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._doubts = Gauge(
            "panless_doubts",
            "Processor accounts about which these records may have lost something.",
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._webhooks = Gauge(
            "panless_webhooks",
            "Processors' events that came to nothing: of ours and unmatched here, or given_up unanswered.",
            ["which"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._unlimited = Counter(
            "panless_rate_limits_uncounted",
            "Requests that no rate limit was applied to because the store of counts did not answer.",
            registry=own,
        )
        self._audit_log = Gauge(
            "panless_audit_log_seconds",
            "Since when the oldest audit entry has been without a place (unplaced), a checkpoint without an anchor.",
            ["which"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._deks = Gauge(
            "panless_deks",
            "Living DEKs on a KEK.",
            ["kek", "epoch"],
            registry=own,
            multiprocess_mode="livemostrecent",
        )
        self._oldest_epoch = Gauge(
            "panless_oldest_epoch_seconds",
            "How old the oldest KEK is that a living DEK hangs on.",
            registry=own,
            multiprocess_mode="livemostrecent",
        )

    def observe(self, app: Flask) -> None:
        """Count the requests that `app` answers."""
        app.after_request(self._count)

    def show_verdict(self, code: str) -> None:
        """Show which verdict holds, and that the others do not."""
        self._verdicts.add(code)
        for known in self._verdicts:
            self._verdict.labels(known).set(known == code)

    def show_admission(self, waiting: int, refused: int) -> None:
        """Show how many requests wait for their turn; count those that were refused since."""
        self._waiting.set(waiting)
        self._refused.inc(refused)

    def show_intents(self, watched: open_intents.Watch) -> None:
        """Show how many intents are open, how old they are, and what else money waits for."""
        for which in ("pending", "manual", "differences"):
            self._intents.labels(which).set(getattr(watched, which))
        self._oldest_intents.labels("pending").set(watched.oldest_pending)
        self._oldest_intents.labels("manual").set(watched.oldest_manual)
        self._doubts.set(watched.doubts)

    def show_webhooks(self, watched: webhooks_left.Watch) -> None:
        """Show how many events of processors need a human."""
        for which, count in asdict(watched).items():
            self._webhooks.labels(which).set(count)

    def show_lateness(self, late: Lateness) -> None:
        """Show since when the audit log's oldest entry has no place, and its oldest checkpoint no anchor."""
        for which, seconds in asdict(late).items():
            self._audit_log.labels(which).set(seconds)

    def show_rights(self, watched: Watch) -> None:
        """Show how many rights requests wait, and how many of them are late."""
        for which, count in asdict(watched).items():
            self._rights.labels(which).set(count)

    def count_unlimited(self, requests: int) -> None:
        """Count requests that were let through because their rate limit could not be counted."""
        self._unlimited.inc(requests)

    def show_keys(self, found: Sequence[KekStatus], at: datetime) -> None:
        """Show how many DEKs hang on each KEK, and since when they could have moved on."""
        for kek in found:
            self._deks.labels(kek.kek_id.hex(), kek.epoch).set(kek.live)
        self._oldest_epoch.set(max(((at - kek.created_at).total_seconds() for kek in found if kek.live), default=0))

    def _count(self, response: Response) -> Response:
        method = request.method if request.method in METHODS else "other"
        route = request.url_rule.rule if request.url_rule else "none"
        self._requests.labels(method, route, str(response.status_code)).inc()
        self._seconds.labels(method, route).observe(time.perf_counter() - g.started)
        return response


def of_all_processes() -> CollectorRegistry:
    """The figures of all server processes: each listens, and the kernel gives each request to one of them."""
    gathered = CollectorRegistry()
    MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]  # theirs
    return gathered


def serve_metrics(bind: str, figures: CollectorRegistry) -> Callable[[], None]:
    """Answer on `bind` (HOST:PORT), with the figures at any path but `/livez`; what comes back ends that."""
    server = _Server(split(bind), _Handler.factory(figures))
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.shutdown


class _Handler(MetricsHandler):
    """Says on `/livez` that the process runs, as the server's own does."""

    def do_GET(self) -> None:  # noqa: N802  # its name in the standard library
        """Answer."""
        if self.path != "/livez":
            super().do_GET()
            return
        body = json.dumps({"status": "alive"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    allow_reuse_port = True
    daemon_threads = True
