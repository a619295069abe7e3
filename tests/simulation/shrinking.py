"""The shortest course that still fails as a failing seed did: events are left out, first by halves, then one by one."""

from collections.abc import Callable

from chance import Course

Fails = Callable[[Course], bool]


def shrunk(course: Course, fails: Fails, most: int = 200) -> Course:
    """A course that fails and gets no shorter by leaving out any part that was tried; `most` runs at most."""
    kept, parts, runs = dict(course), 2, 0
    while kept and runs < most:
        size = max(len(kept) // parts, 1)
        names = [*kept]
        for start in range(0, len(names), size):
            gone = set(names[start : start + size])
            shorter = {name: value for name, value in kept.items() if name not in gone}
            runs += 1
            if fails(shorter):
                kept, parts = shorter, max(parts - 1, 2)
                break
            if runs >= most:
                break
        else:
            if size == 1:
                break
            parts = min(parts * 2, len(kept))
    return kept
