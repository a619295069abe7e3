"""A deployment that stands as one in production does: server and worker as programs, each as its role on PostgreSQL."""

import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import databases, receivers
from bench.apart import ROLES, take_roles, used_by
from bench.house import POLICY, House, build_house
from bench.http import ROOT, free_address
from bench.receivers import PATHS, WELL, Receivers

PATIENCE_SECONDS, STOPPING_SECONDS = 60, 5


@dataclass(frozen=True)
class Standing:
    """A deployment with its tenant, whose own systems are told of events; programs by what they are called."""

    house: House
    url: str
    receivers: Receivers
    well: Sequence[str]
    """The ids of the webhook endpoints that answer."""
    programs: Mapping[str, psutil.Process]
    logs: Sequence[Path]


@contextmanager
def standing() -> Iterator[Standing]:
    """All of it, with the sandbox as processor; all of it is gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="panless-soak-", ignore_cleanup_errors=True) as folder,
        databases.opened("postgresql", Path(folder)) as pairs,
        _sandbox(Path(folder)) as processor,
        receivers.running(Path(folder)) as told,
    ):
        house = build_house(Path(folder) / "house", *pairs[0], processor)
        take_roles(house)
        endpoints = {path: _endpoint(house, told.url(path)) for path in PATHS}
        with _served(Path(folder), house, told) as (url, programs, logs):
            yield Standing(house, url, told, [endpoints[path] for path in WELL], programs, logs)
        house.components.close()


@contextmanager
def _served(
    home: Path, house: House, told: Receivers
) -> Iterator[tuple[str, Mapping[str, psutil.Process], Sequence[Path]]]:
    """Server and worker, with figures for Prometheus and anchors as in production."""
    (home / "anchors").mkdir()
    address, of_server, of_worker = free_address(), free_address(), free_address()
    both = {
        "PANLESS_AUDIT_ANCHOR": str(home / "anchors"),
        "PANLESS_POLICY": str(policy_for_many(home)),
        "SSL_CERT_FILE": _authorities(home, told.certificate),
    }
    served = {**used_by(house, ROLES.app), **both, "PANLESS_BIND": address, "PANLESS_METRICS_BIND": of_server}
    worked = {**used_by(house, ROLES.worker), **both, "PANLESS_WORKER_METRICS_BIND": of_worker}
    logs = [home / "server.log", home / "worker.log"]
    with (
        _program(["panless", "serve"], served, logs[0], f"http://{address}/readyz") as master,
        _program(["bench.soak_worker"], worked, logs[1], f"http://{of_worker}/livez") as worker,
    ):
        yield f"http://{address}", _named(master, worker), logs


def policy_for_many(home: Path) -> Path:
    """Ours, but for erasures in a day: past a thousand a second human must agree, and the soak is there sooner."""
    file = home / "policy.toml"
    file.write_text(re.sub(r"(?m)^erasures_per_day = .*$", "erasures_per_day = 1000000", POLICY.read_text()))
    return file


def _endpoint(house: House, url: str) -> str:
    made: str = house.ask(house.prepare("POST", "/v1/webhook-endpoints", {"url": url}))["id"]
    return made


def _named(master: int, worker: int) -> dict[str, psutil.Process]:
    serving = psutil.Process(master)
    named = {"server, master": serving, "worker": psutil.Process(worker)}
    return named | {f"server, process {number}": each for number, each in enumerate(serving.children(), 1)}


def _authorities(home: Path, certificate: Path) -> str:
    """Those of this machine and one more: reading them costs what it costs in production."""
    known = ssl.get_default_verify_paths().cafile
    (home / "authorities.pem").write_text((Path(known).read_text() if known else "") + certificate.read_text())
    return str(home / "authorities.pem")


@contextmanager
def _sandbox(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox", "--port", "0"]
    with subprocess.Popen(
        command, cwd=home, env=_environment({}), stdout=subprocess.PIPE, text=True, process_group=0
    ) as program:
        try:
            yield program.stdout.readline().split()[-1] if program.stdout else ""
        finally:
            program.terminate()


@contextmanager
def _program(module: Sequence[str], environment: Mapping[str, str], log: Path, probe: str) -> Iterator[int]:
    """A module as a program, from when it answers; Ctrl-C at the terminal does not reach it."""
    command = [sys.executable, "-m", *module]
    with (
        log.open("w") as said,
        subprocess.Popen(command, env=_environment(environment), stdout=said, stderr=said, process_group=0) as program,
    ):
        try:
            _wait(program, probe, log)
            yield program.pid
        finally:
            _end(program)


def _end(program: subprocess.Popen[bytes]) -> None:
    """Have it stop; what it has under way is nobody's any more."""
    program.terminate()
    with suppress(subprocess.TimeoutExpired):
        program.wait(STOPPING_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(program.pid, signal.SIGKILL)


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **settings}


def _wait(program: subprocess.Popen[bytes], probe: str, log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not _answers(probe):
        assert program.poll() is None, log.read_text()[-500:]
        assert time.monotonic() < end, log.read_text()[-500:]
        time.sleep(0.1)


def _answers(probe: str) -> bool:
    try:
        urllib.request.urlopen(probe, timeout=2).close()  # noqa: S310  # our own program
    except OSError:
        return False
    return True
