"""Figures: what was measured, what it must hold, the table on the terminal, the JSON in bench/results/."""

import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure. `measured` is None where there is nothing to measure, and `note` says why.

    `must` and `reach` are upper bounds, lower ones with `at_least`. One that is not `gated` breaks nothing.
    """

    name: str
    on: str
    measured: float | None
    must: float | None = None
    reach: float | None = None
    unit: str = ""
    spread: tuple[float, float] | None = None
    at_least: bool = False
    gated: bool = True
    note: str = ""
    details: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        if self.must is None:
            return "for information"
        if not self._holds(self.must):
            return "BROKEN" if self.gated else "missed (advisory)"
        return "reached" if self.reach is not None and self._holds(self.reach) else "holds"

    @property
    def is_broken(self) -> bool:
        return self.verdict == "BROKEN"

    def _holds(self, bound: float) -> bool:
        measured = self.measured or 0.0
        return measured >= bound if self.at_least else measured <= bound

    def cells(self) -> tuple[str, ...]:
        sign = ">= " if self.at_least else "<= "
        must, reach = ("" if each is None else sign + _number(each) for each in (self.must, self.reach))
        measured = "-" if self.measured is None else f"{_number(self.measured)} {self.unit}".strip()
        if self.spread:
            measured += f" ({_number(self.spread[0])} to {_number(self.spread[1])})"
        return self.name, self.on, must, reach, measured, self.verdict, self.note


def print_table(figures: Sequence[Figure]) -> None:
    """Every figure as a line; the note stands last, as it has no width."""
    rows = [("figure", "on", "must", "reach for", "measured", "verdict", ""), *(each.cells() for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    for number, row in enumerate(rows):
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def write_json(figures: Sequence[Figure], arguments: Sequence[str]) -> Path:
    """Write the figures for machines, with where and on what it was measured."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    where = {"python": platform.python_version(), "machine": platform.machine(), "commit": _commit()}
    value = {
        "at": now.isoformat(timespec="seconds"),
        "arguments": list(arguments),
        **where,
        "figures": [{**asdict(figure), "verdict": figure.verdict} for figure in figures],
    }
    file = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(value, indent=2) + "\n")
    return file


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]  # found on the PATH like any tool
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004  # three digits will do
