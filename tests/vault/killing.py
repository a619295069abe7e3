"""Killing Panless at a step of its own: the program whose children die, from a test's side."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from house import Tenant

DYING = Path(__file__).parent / "dying_panless.py"


class Dying:
    """The program whose children die."""

    def __init__(self, tenant: Tenant, program: subprocess.Popen[str]) -> None:
        self._tenant = tenant
        self._program = program

    def die(self, job: str, step: int, **order: object) -> tuple[str, Any]:
        """Have a child do the job and die at that step: the step's name, or `finished` and what the job came to."""
        house = self._tenant.house
        order |= {
            "home": str(house.home),
            "environment": house.environment,
            "sandbox": house.sandbox.url,
            "tenant": self._tenant.id,
            "job": job,
            "dies_at": step,
        }
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        answer = self._program.stdout.readline().strip()
        assert answer not in {"failed", ""}
        name, _, result = answer.partition(" {")
        return name.removesuffix(" null"), json.loads("{" + result) if result else None


def dying(tenant: Tenant) -> Dying:
    """That program, for this tenant."""
    return Dying(tenant, _program())


@cache
def _program() -> subprocess.Popen[str]:
    """It serves all tests of this process, and ends with it: starting it costs as much as ten deaths."""
    command = [sys.executable, str(DYING)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
