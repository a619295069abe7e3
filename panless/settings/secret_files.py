"""Files that hold a secret for us: one that every user of the machine can read is refused.

Its group may read it: that is how orchestrators hand secrets to a program that is not root.
"""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from panless.errors import SettingsError


def refuse_open(file: Path, named_by: str) -> None:
    """Raise SettingsError for a file that others can read or write. What is missing is left to who reads it."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & stat.S_IRWXO:
        raise SettingsError(f"{file} ({named_by}) is open to every user of this machine. Run: chmod o= {file}.")


def refuse_open_settings(names: Iterable[str], environment: Mapping[str, str]) -> None:
    """Raise SettingsError for a file that holds one of these settings and that others can read or write."""
    for name in names:
        if file := environment.get(f"{name}_FILE"):
            refuse_open(Path(file.strip()), f"{name}_FILE")
