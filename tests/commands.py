"""`panless` commands as a user gives them: each a process of its own, with its output and exit code."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLAIN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT)}


@cache
def _forking() -> subprocess.Popen[str]:
    """What runs commands for this test process, and ends with it."""
    program = Path(__file__).with_name("forking_panless.py")
    return subprocess.Popen(
        [sys.executable, program], env=PLAIN, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def panless(*arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("in", stdin), ("out", ""), ("err", "")):
            (Path(folder) / name).write_text(content)
        program = _forking()
        assert program.stdin
        assert program.stdout
        order = {"arguments": arguments, "env": PLAIN | dict(env or {}), "folder": folder}
        program.stdin.write(json.dumps(order) + "\n")
        code = int(program.stdout.readline())
        out, err = ((Path(folder) / name).read_text() for name in ("out", "err"))
    return subprocess.CompletedProcess(arguments, code, out, err)
