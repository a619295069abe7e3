"""Commands that run: `dev`, `serve`, `worker`, `sandbox`; and `migrate`, which comes before them."""

import importlib.util
import os
import signal
import sys
import tempfile
from pathlib import Path

import click

from migrations.roles import Roles
from panless import wiring
from panless.dev.running import run_dev
from panless.process import logs
from panless.process.hardening import memory_folder
from panless.process.privilege import in_container, refuse_root
from panless.process.stopping import Stop
from panless.serving import tls
from panless.serving.ports import refuse_taken
from panless.settings.environment import Settings, read_settings
from panless.shown.trouble import Refused
from panless.worker import lanes_of, report, run
from panless.worker_metrics import measured
from vault.lanes.rounds import work_once
from vault.processing import beats

APPLICATION = "panless.wsgi:app()"
PORT = click.IntRange(1, 65535)


@click.command()
@click.option("--home", type=click.Path(path_type=Path), default=Path(".panless"), show_default=True)
@click.option("--port", type=PORT, default=8080, show_default=True, help="The server's.")
@click.option("--sandbox-port", type=PORT, help="The sandbox's; else the last one, at first a free one.")
def dev(home: Path, port: int, sandbox_port: int | None) -> None:
    """Run everything on this machine: a sandbox processor, the server, the worker."""
    run_dev(home.absolute(), port, sandbox_port)


@click.command()
def serve() -> None:
    """Serve HTTP (with gunicorn)."""
    settings = read_settings()
    _refuse_root(settings)
    wiring.build(settings).close()
    tls.refuse_unfit(settings.tls_certificate_file, settings.tls_key_file)
    refuse_taken(settings.bind, "Stop what listens there, or set PANLESS_BIND.")
    if settings.metrics_bind is not None:
        refuse_taken(settings.metrics_bind, "Stop what listens there, or set PANLESS_METRICS_BIND.")
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="panless-metrics-", dir=memory_folder())
    command = gunicorn_command(settings)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  # our own interpreter, no shell


def _refuse_root(settings: Settings) -> None:
    refuse_root(settings.run_as_root, os.geteuid(), contained=in_container())


def gunicorn_command(settings: Settings, application: str = APPLICATION) -> list[str]:
    """What `panless serve` becomes: many gevent workers on PostgreSQL, one process with threads on SQLite."""
    if settings.is_sqlite:
        kind = ["--worker-class", "panless.serving.slow_clients.Threads", "--workers", "1", "--threads", "1"]
    else:
        kind = ["--worker-class", "panless.serving.greenlets.Greenlets", "--workers", str(settings.workers)]
    listening = ["--bind", settings.bind, "--worker-connections", str(settings.client_connections)]
    if settings.tls_key_file is not None:
        listening += ["--certfile", str(settings.tls_certificate_file), "--keyfile", str(settings.tls_key_file)]
    said = ["--log-level", settings.log_level.lower()]
    command = [sys.executable, "-m", "gunicorn", "--config", "python:panless.serving.with_gunicorn"]
    return [*command, *kind, *listening, *said, application]


@click.command()
@click.option("--once", is_flag=True, help="One round of each lane, then stop.")
def worker(*, once: bool) -> None:
    """End what a crash or an unknown outcome left open, round after round."""
    settings = read_settings()
    _refuse_root(settings)
    logs.start(settings.log_level)
    components = wiring.build(settings)
    beats.begin(components.records)
    if not once:
        if settings.worker_metrics_bind is not None:
            refuse_taken(settings.worker_metrics_bind, "Stop what listens there, or set PANLESS_WORKER_METRICS_BIND.")
            components = measured(components, settings.worker_metrics_bind)
        run(lanes_of(components), Stop(signal.SIGTERM, signal.SIGINT).wait)
        return
    verdict = components.guard.check()
    if not verdict.is_good:
        raise Refused(verdict.message)
    click.echo(f"{work_once(components.workshop, report)} ended.")


@click.command()
@click.option(
    "--roles",
    nargs=3,
    metavar="APP WORKER KEYS",
    help="Then say what these login roles may do: the server's and the worker's on the records, both on the keystore.",
)
def migrate(roles: tuple[str, str, str] | None) -> None:
    """Bring both databases to their newest schema (PostgreSQL: as the owner of both)."""
    wiring.migrate(read_settings(), roles=Roles(*roles) if roles else None)
    click.echo("Both databases are at their newest schema.")
    if roles:
        click.echo(f"{roles[0]} sees one tenant at a time, {roles[1]} all of them; {roles[2]} may use the keys.")


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=12111, show_default=True, help="0 picks a free one.")
@click.option("--state", type=click.Path(path_type=Path), metavar="FILE", help="Keep the state between runs.")
def sandbox(port: int, state: Path | None) -> None:
    """Run a processor for tests, which speaks Stripe's wire."""
    if importlib.util.find_spec("sandbox") is None:
        raise Refused("There is no sandbox in this installation. It comes with a source checkout.")
    kept = ["--state", str(state)] if state else []
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", "--port", str(port), *kept])  # noqa: S606  # as above


COMMANDS = (dev, serve, worker, migrate, sandbox)
