"""Paired blocks: each path beside REF, in shuffled order, on CPU time, so that what disturbs one disturbs the other."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median, quantiles

from bench.door import hand_over
from bench.paths import Path


@dataclass(frozen=True)
class Block:
    """What one call of a block took, in microseconds: CPU of this process, and time on the wall."""

    cpu: float
    wall: float


@dataclass
class Series:
    """The blocks of one path, and of the REF beside each."""

    blocks: list[Block] = field(default_factory=list)
    beside: list[Block] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        return [mine.cpu / ref.cpu for mine, ref in zip(self.blocks, self.beside, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The middle half of the ratios."""
        low, _, high = quantiles(self.ratios, n=4)
        return low, high

    @property
    def cpu(self) -> float:
        return median(block.cpu for block in self.blocks)

    @property
    def wall(self) -> float:
        return median(block.wall for block in self.blocks)


def measure(paths: list[Path], ref: Path, rounds: int, progress: Callable[[str], None]) -> dict[str, Series]:
    """So many rounds, each with every path once, each path beside a block of REF."""
    series = {path.name: Series() for path in paths}
    for path in (*paths, ref):
        run(path, path.block)  # caches, pools and compiled statements are warm in production too
    for number in range(rounds):
        for path in random.sample(paths, len(paths)):
            pair = {each.name: run(each, each.block) for each in random.sample([path, ref], 2)}
            series[path.name].blocks.append(pair[path.name])
            series[path.name].beside.append(pair[ref.name])
        progress(f"paired blocks {number + 1}/{rounds}")
    return series


def run(path: Path, count: int) -> Block:
    """One block; its calls are made ready before the clock starts."""
    calls = path.make(count)
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    statuses = [hand_over(path.application, call)[0] for call in calls]
    cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
    assert set(statuses) == {path.status}, (path.name, set(statuses))
    return Block(cpu=cpu / 1000 / count, wall=wall / 1000 / count)
