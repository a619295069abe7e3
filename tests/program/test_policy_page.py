import re
import tomllib
from collections.abc import Iterator
from typing import Any

from commands import ROOT

PAGE = (ROOT / "docs" / "policy.md").read_text()
FILE = (ROOT / "panless" / "policy.toml").read_text()
EXAMPLE = tomllib.loads(FILE)
LEFT_OUT = set(re.findall(r"^# \[(\w+)\]$", FILE, re.MULTILINE))
"""Tables that the example has commented out."""

OPEN = ("recipients", "transfers")
"""Tables whose names are the operator's."""


def keys(table: dict[str, Any], above: str = "") -> Iterator[str]:
    for name, value in table.items():
        path = above + name
        yield from keys(value, f"{path}.") if isinstance(value, dict) and path not in OPEN else (path,)


def test_every_key_is_explained() -> None:
    """The page's tables have each key of the example, what it has commented out included, and no other."""
    explained = set()
    for cell in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        first, *others = re.findall(r"`(.+?)`", cell)
        explained |= {first, *(first.rpartition(".")[0] + other for other in others)}
    assert explained == {re.sub(r"^regulations\.\w+", "regulations.X", key) for key in keys(EXAMPLE)} | LEFT_OUT


def test_the_clocks_of_the_page_are_the_examples() -> None:
    """What the page's table gives for GDPR and CCPA is what the example says."""
    rows = re.findall(
        r"^\| `regulations\.X\.(\w+)` \| .* \| ([^|]*) \| ([^|]*) \|$", PAGE.replace("|  |", "| |"), re.MULTILINE
    )
    assert len(rows) > 5
    for name, gdpr, ccpa in rows:
        for code, said in (("gdpr", gdpr), ("ccpa", ccpa)):
            value = EXAMPLE["regulations"][code].get(name, "")
            assert said.split(",")[0].strip() == (str(value).lower() if isinstance(value, bool) else str(value))
