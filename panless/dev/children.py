"""The programs that `panless dev` runs: started, watched, stopped, none left behind."""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from panless.shown.trouble import Refused

PR_SET_PDEATHSIG = 1
PATIENCE = 70.0
"""Seconds that a program may take to stop: longer than a request may take to end."""

TAIL = 5
_libc = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Child:
    """One program, and where it logs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Family:
    """All programs of one `panless dev`, in its process group."""

    def __init__(self, logs: Path) -> None:
        """Start nothing yet."""
        logs.mkdir(exist_ok=True)
        self._logs = logs
        self._children: list[Child] = []

    def start(self, name: str, *arguments: str) -> None:
        """Start `python -m ...`, its output in a log file of its own; it is told to stop should we die."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603  # our own programs
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # one system call, and no thread runs here
            )
        self._children.append(Child(name, process, log))

    def check(self) -> None:
        """Raise Refused if any has stopped."""
        for child in self._children:
            if child.process.poll() is not None:
                raise Refused(
                    f"The {child.name} stopped with exit code {child.process.returncode}. "
                    f"{child.log} ends: {' | '.join(_tail(child.log)) or '(empty)'}"
                )

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready`. Raises Refused when a program stops or the time is up."""
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise Refused(f"Nothing answers after {seconds:.0f} s. See {self._logs}.")
            time.sleep(0.05)

    def stop(self) -> None:
        """Have all stop, the last started first: the sandbox answers until nobody asks it any more."""
        for child in reversed(self._children):
            child.process.terminate()
            try:
                child.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _tail(log: Path) -> Sequence[str]:
    return log.read_text(errors="replace").splitlines()[-TAIL:]
