"""Whether this program may run as root. On a server of its own nothing here needs it, and whoever breaks in has it."""

from pathlib import Path

from panless.shown.trouble import Refused

RUN_AS_ROOT = ("never", "in-container", "always")
MARKS = (".dockerenv", "run/.containerenv")
"""Files that Docker and Podman leave in a container's root."""
FIRST_PIDS = "pid:[4026531836]"
"""The machine's own namespace of process ids, a constant of the kernel. Containers have another, marked or not."""


def refuse_root(run_as_root: str, uid: int, *, contained: bool) -> None:
    """Raise Refused for root, unless it was told that this is meant, or is root of a container only."""
    if uid != 0 or run_as_root == "always" or (run_as_root == "in-container" and contained):
        return
    raise Refused(
        "Panless won't run as root. Give it a user of its own, who owns its files alone; "
        "if root is meant, set PANLESS_RUN_AS_ROOT=always."
    )


def in_container(filesystem: Path = Path("/")) -> bool:
    """Whether this process is in a container."""
    return any((filesystem / mark).exists() for mark in MARKS) or _pids(filesystem) not in {"", FIRST_PIDS}


def _pids(filesystem: Path) -> str:
    try:
        return str((filesystem / "proc/self/ns/pid").readlink())
    except OSError:  # no /proc says nothing
        return ""
