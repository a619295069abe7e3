"""What a soak must hold: answers, programs, events, and what the programs themselves said."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Figure
from bench.growth import MUST, Sizes, Watch, fifths, growth
from bench.receivers import Arrivals
from bench.shoppers import Traffic

ARRIVED_SECONDS = 10.0
FEWEST_SAMPLES, LEAST_SECONDS = 25, 150.0
"""From here on growth is judged: sooner everything is still filling."""


def figures(traffic: Traffic, watch: Watch, told: Arrivals, happened: int, logs: Sequence[Path]) -> list[Figure]:
    """All of them; of a soak that was cut short, what there is."""
    errors = [line for log in logs for line in log.read_text().splitlines() if _is_error(line)]
    late = max(happened - fewest for fewest in told.events.values())
    return [
        _figure("answers that were wrong", traffic.wrong, 0, note=_answers(traffic)),
        _figure("lines of errors in the logs", len(errors), 0, note=" ".join(errors[:2])[:400]),
        _figure("programs that ended", len(watch.gone()), 0, note=", ".join(watch.gone())),
        *(_growth(name, sizes, watch.seconds) for name, sizes in watch.sizes.items()),
        _figure("events, p99 until they arrived", told.p99, ARRIVED_SECONDS, "s", _arrived(told)),
        _figure("events that did not arrive", late, 0, note=f"of {happened:,}"),
        _figure("calls, p99", traffic.p99 * 1000, None, "ms", f"{len(traffic.times):,} at {traffic.rate:.1f}/s"),
    ]


def _growth(name: str, sizes: Sizes, seconds: float) -> Figure:
    if len(sizes.resident) < FEWEST_SAMPLES:
        return Figure(name=f"growth of the {name}", on="postgresql", measured=None, note="too short a time")
    each = ", ".join(f"{size:.1f}" for size in fifths(sizes.resident))
    note = (
        f"fifths {each} MiB; at last PSS {sizes.shared[-1]:.1f}, {sizes.files[-1]} files, {sizes.threads[-1]} threads"
    )
    return _figure(
        f"growth of the {name}", growth(sizes.resident), MUST if seconds >= LEAST_SECONDS else None, "MiB", note
    )


def _arrived(told: Arrivals) -> str:
    calls = ", ".join(f"{path[1:]} {count:,}" for path, count in sorted(told.calls.items()))
    return f"p50 {told.p50:.2f}, the longest {told.longest:.2f}; calls: {calls}"


def _answers(traffic: Traffic) -> str:
    """Each kind of call with its statuses; before that some that were wrong, word for word."""
    counts = ", ".join(f"{kind} {status}: {count:,}" for (kind, status), count in sorted(traffic.statuses.items()))
    return "; ".join([*traffic.shown, counts])


def _is_error(line: str) -> bool:
    """Whether it is no line of ours, a traceback's say, or one of a level that wants somebody to look."""
    try:
        return json.loads(line)["level"] in {"error", "critical"}
    except (ValueError, KeyError, TypeError):
        return True


def _figure(name: str, measured: float, must: float | None, unit: str = "", note: str = "") -> Figure:
    return Figure(name=name, on="postgresql", measured=measured, must=must, unit=unit, note=note)
