"""Everything that is left to chance, by name: the same seed and name always fall alike, whatever else happened before.

What is out of the ordinary is an *event*, and is written down. A course is the events of a run by their names; given
one, exactly those happen and no others, so that a course can be shortened.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from math import exp, log
from typing import Any

Course = Mapping[str, Any]
"""Events by name; their values are JSON."""

SPANS = (
    (0.05, 1.0, 4),
    (1.0, 25.0, 5),
    (25.0, 110.0, 4),
    (110.0, 900.0, 3),
    (900.0, 7200.0, 1),
    (7200.0, 100_000.0, 1),
)
"""For how long things hang, seconds from and to, and how often: mostly for seconds, now and then for a day."""


class Chance:
    """The dice of one run."""

    def __init__(self, seed: int, course: Course | None = None) -> None:
        self.seed = seed
        self.given = course
        self.course: dict[str, Any] = {}
        self._prefix = f"{seed}/".encode()

    def share(self, name: str) -> float:
        """A number from 0 to 1, 1 left out."""
        return int.from_bytes(blake2b(self._prefix + name.encode(), digest_size=7).digest()) / (1 << 56)

    def is_so(self, name: str, probability: float) -> bool:
        return self.share(name) < probability

    def number(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return low + int(self.share(name) * (high - low + 1))

    def between(self, name: str, low: float, high: float) -> float:
        """A number whose logarithm is spread evenly."""
        return exp(log(low) + self.share(name) * (log(high) - log(low)))

    def one_of(self, name: str, things: Sequence[Any]) -> Any:
        return things[int(self.share(name) * len(things))]

    def weighted(self, name: str, things: Sequence[tuple[Any, float]]) -> Any:
        """One of (thing, weight)."""
        left = self.share(name) * sum(weight for _, weight in things)
        for thing, weight in things:
            left -= weight
            if left < 0:
                return thing
        return things[-1][0]

    def favouring(self, name: str, things: Sequence[tuple[Any, float]]) -> list[tuple[Any, float]]:
        """These (thing, weight), of which in half of the seeds one is ten times as likely."""
        favoured = int(self.share(f"{name} favoured") * 2 * len(things))
        return [(thing, weight * (10 if number == favoured else 1)) for number, (thing, weight) in enumerate(things)]

    def span(self, name: str, longest: float = 100_000.0) -> float:
        """For how long something hangs, seconds."""
        low, high = self.weighted(
            f"{name}/span", [((low, high), weight) for low, high, weight in SPANS if low < longest]
        )
        return round(min(self.between(name, low, high), longest), 2)

    def event(self, name: str, probability: float, make: Callable[[], Any]) -> Any:
        """What happens here out of the ordinary; None for nothing."""
        if self.given is not None:
            found = self.given.get(name)
        else:
            found = make() if probability > 0 and self.share(name) < probability else None
        if found is not None:
            self.course[name] = found
        return found


def written(course: Course) -> str:
    """A course, an event a line."""
    return "\n".join(f"  {name}: {json.dumps(value)}" for name, value in course.items())
