"""Runs `panless` commands, each in a process forked from this one: the program is imported once, not once a command.

A line of standard input is an order (JSON: arguments, env, folder); the exit code is the line that answers it. Input,
output and errors of the command are files in the folder.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from panless.cli import main


def become(order: dict[str, Any]) -> int:
    """Be the command; its exit code."""
    for number, name, flags in ((0, "in", os.O_RDONLY), (1, "out", os.O_WRONLY), (2, "err", os.O_WRONLY)):
        os.dup2(os.open(Path(order["folder"]) / name, flags), number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv = ["panless", *order["arguments"]]
    os.environ.clear()
    os.environ.update(order["env"])
    try:
        main()
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    return 0


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 70
        try:
            code = become(json.loads(line))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
    sys.stdout.flush()
