"""What this disk takes for a new file: an erasure's ledger entry is one, and REF on PostgreSQL makes none.

Before ext4 takes an inode it steps over each one that was deleted in the last minutes (`recently_deleted` in its
ialloc.c). After the thousands of files of a test's databases, or of a bench's, a new file costs up to 1 ms of CPU
instead of 20 us: more than REF. So what erases waits until that is over; docs/decisions/0008 has the measurements.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

CHEAP_US = 40
PATIENCE_SECONDS = 330
"""Five and a half minutes: a little more than ext4 steps over an inode for."""

_PROBES, _PAUSE_SECONDS = 50, 10


def quiet(folder: Path, patience: int, say: Callable[[str], None]) -> None:
    """Wait until new files cost what they do on a disk in use, at most `patience` seconds: then they are dear here."""
    for waited in range(0, patience, _PAUSE_SECONDS):
        spent = new_file_us(folder)
        if spent <= CHEAP_US:
            return
        say(f"waiting: a new file costs {spent:.0f} us here, as after many were deleted ({waited} s)")
        time.sleep(_PAUSE_SECONDS)


def new_file_us(folder: Path) -> float:
    """CPU for an empty file in `folder`, microseconds. They stay: deleted, they would be what makes others dear."""
    probes = [folder / f".probe-{secrets.token_hex(8)}" for _ in range(_PROBES)]
    start = time.process_time_ns()
    for probe in probes:
        probe.touch()
    return (time.process_time_ns() - start) / 1000 / _PROBES
