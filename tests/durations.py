"""The tests that take long begin first, so that none is left alone at the end; `RECORD=1 make test` notes them anew."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("durations.json")
"""Seconds by the test's id."""

LONG = 5.0


def longest_first(items: list[pytest.Item]) -> None:
    """Sort in place; whoever is not long stays where they are."""
    known = json.loads(FILE.read_text())
    items.sort(key=lambda item: -known.get(item.nodeid.partition("@")[0], 0.0))


def record(reports: Iterable[pytest.TestReport]) -> None:
    """Write down what took long, where that was asked for."""
    if not os.environ.get("RECORD"):
        return
    took = Counter[str]()
    for report in reports:
        took[report.nodeid.partition("@")[0]] += report.duration
    known = {name: round(seconds) for name, seconds in sorted(took.items()) if seconds >= LONG}
    FILE.write_text(json.dumps(known, indent=1) + "\n")
