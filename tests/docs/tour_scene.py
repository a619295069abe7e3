"""What runs the commands of our pages: `panless dev`, and a shell for the blocks of one kind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from house import ROOT, wait_for

LOCAL = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@contextmanager
def running(home: Path, port: int) -> Iterator[None]:
    """`panless dev`, as `make run` starts it, in a folder."""
    command = [sys.executable, "-m", "panless", "dev", "--port", str(port)]
    with (home / "out.txt").open("a") as out:
        program = subprocess.Popen(
            command, cwd=home, env={**LOCAL, "HOME": str(home)}, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", 60)
        while not (home / ".panless" / "dev.env").exists():  # written as soon as /livez answers
            time.sleep(0.05)
        yield
    finally:
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait(30) == 0


def run_page(page: str, kind: str, home: Path, **environment: str) -> list[str]:
    """Run the page's blocks of this kind in one shell; what each of them wrote."""
    block = re.compile(rf"^( *)```sh {kind}\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
    steps = [step for _, step in block.findall((ROOT / page).read_text())]
    script = "\n".join(["set -euo pipefail", *(f"echo '#### {number}'\n{step}" for number, step in enumerate(steps))])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=home,
        env=LOCAL | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return [part.partition("\n")[2] for part in done.stdout.split("#### ")[1:]]
