"""The program as its users have it: processes, a terminal's output, files."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from commands import PLAIN
from ports import free_port

from panless.process.hardening import memory_folder

PANLESS = str(Path(sys.executable).with_name("panless"))
PAN = "4242424242424242"


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    """What `true` gives as soon as it gives something; a failure when the time is up."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.05)
    return found


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence with which a command refused."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.strip()


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


def ask(url: str, key: str = "", body: object = None, **headers: str) -> Answer:
    """One request, and its answer whatever its status."""
    sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, sent | named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, json.loads(answer.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.loads(error.read()))


def answers(url: str) -> bool:
    try:
        return ask(url).status == 200
    except OSError:
        return False


def card() -> dict[str, Any]:
    return {"type": "card", "card": {"number": PAN, "exp_month": 12, "exp_year": 2034, "cvc": "123"}}


@dataclass
class Dev:
    """A `panless dev` in a process group of its own."""

    process: subprocess.Popen[bytes]
    home: Path
    output: Path

    @property
    def env(self) -> dict[str, str]:
        """What it wrote into dev.env, once it says that it is ready."""
        until(lambda: self.process.poll() is not None or "Ctrl-C" in self.output.read_text())
        assert self.process.poll() is None, self.output.read_text()
        return environment(self.home)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Its exit code, after this signal to it alone."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def press_ctrl_c(self) -> int:
        """Its exit code, after what a terminal does: SIGINT to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.process.wait(30)

    def members(self) -> list[psutil.Process]:
        """All processes of its group that run."""
        return [one for one in psutil.process_iter() if _group(one) == self.process.pid]


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None


def environment(home: Path) -> dict[str, str]:
    lines = (home / "dev.env").read_text().splitlines()
    return {name: shlex.split(value)[0] for name, _, value in (line.partition("=") for line in lines)}


def start_dev(home: Path, *options: str, env: Mapping[str, str] | None = None) -> Dev:
    output = home.with_name(f"{home.name}-output-{time.monotonic_ns()}.txt")
    with output.open("wb") as file:
        process = subprocess.Popen(
            [PANLESS, "dev", "--home", str(home), "--port", str(free_port()), *options],
            env=PLAIN | dict(env or {}),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    return Dev(process, home, output)


def kill_group(dev: Dev) -> None:
    for one in dev.members():
        one.kill()
    dev.process.wait()


def folder_of_figures(pid: int) -> Path:
    """Where this server process keeps them; its environment, which says so, can't be read."""
    place = Path(memory_folder() or tempfile.gettempdir())
    return Path(until(lambda: [*place.glob(f"panless-metrics-*/*_{pid}.db")])[0]).parent


def settings_in(folder: Path) -> dict[str, str]:
    """The settings of a SQLite deployment in one folder."""
    return {
        "PANLESS_RECORDS_URL": f"sqlite:///{folder}/records.db",
        "PANLESS_KEYSTORE_URL": f"sqlite:///{folder}/keystore.db",
        "PANLESS_KEYFILE": f"{folder}/keyfile",
        "PANLESS_LEDGER": f"{folder}/ledger",
        "PANLESS_POLICY": f"{folder}/policy.toml",
        "PANLESS_RUN_AS_ROOT": "always",  # tests may be run by anybody
    }


def fingerprints(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file under `folder`: the hash of its content, and its mode."""
    return {
        str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mode)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
