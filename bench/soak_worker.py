"""The worker, for which every webhook endpoint is on this machine, where it may be called."""

import signal
from dataclasses import replace
from functools import partial

from panless import outgoing, wiring
from panless.process import logs
from panless.process.stopping import Stop
from panless.settings.environment import read_settings
from panless.worker import lanes_of, run
from panless.worker_metrics import measured
from vault.processing import beats


def main() -> None:
    """As `panless worker`, TLS and certificates too, but that no name is looked up."""
    settings = read_settings()
    logs.start(settings.log_level)
    here = partial(outgoing.post, fit=outgoing.anywhere, resolve=lambda _host, _port: ["127.0.0.1"])
    components = replace(wiring.build(settings), post=here)
    beats.begin(components.records)
    if settings.worker_metrics_bind is not None:
        components = measured(components, settings.worker_metrics_bind)
    run(lanes_of(components), Stop(signal.SIGTERM, signal.SIGINT).wait)


if __name__ == "__main__":
    main()
