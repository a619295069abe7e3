"""The README's tour, run as a newcomer would: the commands as they stand there, in one shell."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import ROOT, wait_for

BLOCK = re.compile(r"^```sh tour\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


@pytest.fixture
def dev(tmp_path: Path, free_port: int) -> Iterator[Path]:
    """`panless dev`, as `make run` starts it, in an empty folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "panless", "dev", "--port", str(free_port)]
    with (tmp_path / "out.txt").open("w") as out:
        program = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{free_port}/readyz", 60)
        while not (tmp_path / ".panless" / "dev.env").exists():  # written as soon as /livez answers
            time.sleep(0.05)
        yield tmp_path
    finally:
        os.killpg(program.pid, signal.SIGINT)
        assert program.wait(30) == 0


def test_the_tour_works_as_written(dev: Path) -> None:
    """Each step of the tour shows what the text beside it says."""
    steps = BLOCK.findall((ROOT / "README.md").read_text())
    script = "\n".join(["set -euo pipefail", *(f"echo '#### {number}'\n{step}" for number, step in enumerate(steps))])
    done = subprocess.run(["bash", "-c", script], cwd=dev, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    shown = dict(part.split("\n", 1) for part in done.stdout.split("#### ")[1:])
    assert '"last4":"4242"' in shown["1"]
    assert '"status":"succeeded"' in shown["2"]
    assert "already_paid" in shown["2"]
    assert '"decline_code": "generic_decline"' in shown["3"]
    assert shown["3"].rstrip().endswith("402")
    assert "ada@example.com" in shown["4"]
    assert '"status":"completed_with_retention"' in shown["5"]
    assert '"result":"erased"' in shown["5"]
    assert "410" in shown["5"].splitlines()
    assert '"deleted":true' in shown["5"].replace(" ", "")
    assert '"customer":null' in shown["5"].replace(" ", "")


@pytest.mark.parametrize(
    "page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("**/*.md") if ".venv" not in path.parts)
)
def test_links_lead_somewhere(page: str) -> None:
    """Every relative link on our pages names a file that is there."""
    file = ROOT / page
    missing = [target for target in LINK.findall(file.read_text()) if not (file.parent / target).exists()]
    assert missing == []


def test_the_commands_are_make_targets() -> None:
    """The two commands of the README are targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in ("run", "test", "check", "bench", "setup"))
