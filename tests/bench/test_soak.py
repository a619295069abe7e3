"""`make soak`, for seconds: that it runs, what it measures, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from commands import ROOT

from bench.growth import MUST, growth

LEVEL = [120.0, 121.0, 119.5, 120.5] * 10
ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}


@contextmanager
def soak(log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A soak that has begun; what it says goes to a file. Nobody waits for one that does not end."""
    command = [sys.executable, "-m", "bench.soak", "--rate", "5", *options]
    with log.open("w") as said:
        program = subprocess.Popen(command, env=ENVIRONMENT, cwd=ROOT, stdout=said, stderr=said)
    begun = psutil.Process(program.pid)
    try:
        yield program
    finally:
        with suppress(psutil.NoSuchProcess):
            for each in [*begun.children(recursive=True), begun]:
                each.kill()
        program.wait(10)


def test_a_short_one(tmp_path: Path) -> None:
    """Every answer is right, every event arrives in time where it is taken, though others fail and hang."""
    with soak(tmp_path / "said", "--seconds", "15") as program:
        program.wait(150)
    said = (tmp_path / "said").read_text()
    assert program.returncode == 0, said
    found = {line.partition("  ")[0]: line for line in said.splitlines()}
    for name in ("answers that were wrong", "lines of errors in the logs", "programs that ended"):
        assert "holds" in found[name]
    assert "holds" in found["events, p99 until they arrived"]
    assert all(f"{path} " in found["events, p99 until they arrived"] for path in ("dead", "half", "hanging"))


def test_ctrl_c(tmp_path: Path) -> None:
    """Whoever stops it is told what was measured until then, and nothing goes on behind their back."""
    with soak(tmp_path / "said", "--seconds", "600") as program:
        end = time.monotonic() + 100
        while " of 600 s" not in (tmp_path / "said").read_text() and time.monotonic() < end:
            time.sleep(0.1)
        begun = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGINT)
        program.wait(60)
    said = (tmp_path / "said").read_text()
    assert program.returncode == 130, said
    assert "answers that were wrong" in said
    assert psutil.wait_procs(begun, timeout=20)[1] == []


@pytest.mark.parametrize(
    ("samples", "grows"),
    [
        (LEVEL, False),
        ([size + number * 0.2 for number, size in enumerate(LEVEL)], True),
        ([size + min(number, 20) for number, size in enumerate(LEVEL)], False),
        ([size + max(number - 28, 0) for number, size in enumerate(LEVEL)], True),
    ],
)
def test_what_growth_is(samples: list[float], grows: bool) -> None:  # noqa: FBT001  # what is expected
    """What goes on to the end is growth; what fills early and then is full is none."""
    assert (growth(samples) > MUST) is grows
