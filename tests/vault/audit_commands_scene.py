"""`panless audit` as an operator runs it."""

import subprocess
from collections.abc import Mapping

from commands import panless


def run(environment: Mapping[str, str], *words: object) -> subprocess.CompletedProcess[str]:
    return panless("audit", *map(str, words), env=environment)
