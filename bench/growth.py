"""Whether programs grow: their memory, sampled all the while, late against early."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median

import psutil

MEBIBYTE = 2**20
MUST = 4.0
"""Mebibytes from the second fifth of the time to the last.

What is allocated and freed comes and goes by arenas of a mebibyte, and a pool of connections opens one more when many
come at once. Of twenty minutes at thirty calls a second, that is a leak of 400 bytes a call in one of two processes.
"""

FIFTHS = 5


@dataclass
class Sizes:
    """A program's samples: resident memory, its share of what is shared, open files, threads."""

    resident: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def sample(self, program: psutil.Process) -> None:
        memory = program.memory_full_info()
        self.resident.append(memory.rss / MEBIBYTE)
        self.shared.append(memory.pss / MEBIBYTE)
        self.files.append(program.num_fds())
        self.threads.append(program.num_threads())


@dataclass
class Watch:
    """The programs of a deployment and their samples."""

    programs: Mapping[str, psutil.Process]
    sizes: dict[str, Sizes] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def sample(self) -> None:
        for name, program in self.programs.items():
            if program.is_running():  # one that is gone is told of by `gone`
                self.sizes.setdefault(name, Sizes()).sample(program)

    def begin(self) -> None:
        """Sample anew from now on."""
        self.sizes, self._began = {}, time.monotonic()

    @property
    def seconds(self) -> float:
        """For how long it was watched."""
        return time.monotonic() - self._began

    def gone(self) -> list[str]:
        """Those that are not the same programs any more."""
        return [name for name, program in self.programs.items() if not program.is_running()]


def fifths(samples: list[float]) -> list[float]:
    """The median of each fifth of the time."""
    size = len(samples) // FIFTHS
    return [median(samples[number * size : (number + 1) * size]) for number in range(FIFTHS)]


def growth(samples: list[float]) -> float:
    """Mebibytes from the second fifth to the last; less where it has come to an end.

    What fills and then is full, as a cache does, grows early. So of the last fifth alone no more counts than that it
    would go on as fast from the second on: the smaller of the two is what did not end.
    """
    _, second, _, fourth, last = fifths(samples)
    return min(last - second, 3 * (last - fourth))
