"""The worker's figures for Prometheus: what became of deliveries, and what waits to be delivered.

None is of one endpoint: there are as many as tenants like.
"""

import atexit
from collections.abc import Mapping
from dataclasses import replace

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from panless.process.heartbeat import beat
from panless.serving.metrics import serve_metrics
from panless.wiring import Components
from vault.events.watch import Waiting, watch

BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 600, 3600, 86400)
OUTCOMES = ("delivered", "postponed", "failed")


class WorkerMetrics:
    """The figures of one worker."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.registry = CollectorRegistry()
        self._attempts = Counter(
            "panless_deliveries_attempts",
            "Calls of webhook endpoints: the event was delivered, postponed to another try, or has failed for good.",
            ["outcome"],
            registry=self.registry,
        )
        for outcome in OUTCOMES:
            self._attempts.labels(outcome)
        self._seconds = Histogram(
            "panless_deliveries_seconds",
            "Time from when a delivery was queued, or first tried, until it was delivered.",
            registry=self.registry,
            buckets=BUCKETS,
        )
        self._waiting = Gauge(
            "panless_deliveries_waiting",
            "Deliveries that wait, at endpoints that answer and at failing ones.",
            ["endpoints"],
            registry=self.registry,
        )
        self._oldest = Gauge(
            "panless_deliveries_oldest_seconds",
            "How long the oldest delivery has waited; 0 where there is none.",
            ["endpoints"],
            registry=self.registry,
        )

    def count(self, became: str, waited: float) -> None:
        """Count an attempt, and how long what was delivered had waited."""
        self._attempts.labels(became).inc()
        if became == "delivered":
            self._seconds.observe(max(waited, 0.0))

    def show(self, found: Mapping[str, Waiting]) -> None:
        """Show what waits."""
        for endpoints, each in found.items():
            self._waiting.labels(endpoints).set(each.waiting)
            self._oldest.labels(endpoints).set(each.oldest)


def measured(components: Components, bind: str) -> Components:
    """These parts, what they deliver being counted, and answered for on `bind` until the program ends."""
    metrics = WorkerMetrics()

    def look() -> bool:
        metrics.show(watch(components.records))
        return True

    atexit.register(beat(look))
    atexit.register(serve_metrics(bind, metrics.registry))
    return replace(components, attempted=metrics.count)
