"""The worker as it runs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from house import ROOT, House


@contextmanager
def worker(house: House, **environment: str) -> Iterator[Path]:
    """`panless worker` over a house; its log."""
    log = house.home / "worker.log"
    env = {"PATH": os.environ["PATH"], **house.environment, **environment}
    command = [sys.executable, "-m", "panless", "worker"]
    with log.open("wb") as file:
        program = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=file, start_new_session=True)
    try:
        yield log
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, 9)
        program.wait(10)
