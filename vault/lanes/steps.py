"""One step of a lane: what fails is reported, and no other is stopped by it."""

from collections.abc import Callable

Report = Callable[[str, Exception], None]
"""Told what failed, and how; its turn comes again, and no other is stopped by it."""


def guarded(report: Report, what: str, step: Callable[[], bool]) -> bool:
    """Whether a step got on; one that failed is reported."""
    return tried(report, what, step) is True


def tried(report: Report, what: str, step: Callable[[], bool | None]) -> bool | None:
    """What the step says; None for one that failed, which is reported."""
    try:
        return step()
    except Exception as error:  # noqa: BLE001  # one broken row must not stop the worker
        report(what, error)
        return None
