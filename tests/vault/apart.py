"""Programs that run as the user of servers, each at work in a folder of its own, by which it is found and ended."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil
from postgres import user_of_servers


def program(name: str) -> str:
    """Where it is, whoever's PATH lacks the administrator's folders."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert found, "apt-get install patroni etcd-server haproxy: no drill of a failover is ever skipped"
    return found


def run_apart(command: list[str], folder: Path) -> None:
    """Start a program as the user of servers, at work in this folder, by which it is found again."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("ab") as log:
        given = {"cwd": folder, "env": env, "user": user_of_servers(), "process_group": 0}
        started = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **given)
    Thread(target=started.wait, daemon=True).start()  # buries it, whoever kills it


def processes_in(folder: Path) -> list[psutil.Process]:
    """Whoever is at work in this folder or below, parents first."""
    found = []
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(each.cwd()).is_relative_to(folder):
                found.append(each)
    return found


def end_all(folder: Path) -> None:
    """Kill whoever is at work there, and who they start meanwhile."""
    while left := processes_in(folder):
        for each in left:
            with suppress(psutil.Error):
                each.send_signal(signal.SIGKILL)
        psutil.wait_procs(left, timeout=5)


def until(is_so: Callable[[], bool], otherwise: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)
