"""The pages that say what is defended, and by which test: the names on them stay true."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from house import ROOT

PAGES = ("threat-model.md", "asvs.md", "pci.md")
TEST = re.compile(r"`(tests/[^`]+)`")
CODE = re.compile(r"`((?:rows|keys|vault|api|panless|migrations|requirements|\.ci)/[\w./-]+|Dockerfile)`")
STATUS = {"held", "partly", "operator", "not here", "missing"}
NUMBERS = (ROOT / "tests/docs/asvs-5.0-numbers.txt").read_text().split("\n", 1)[1].split()


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text()


def rows_of(page: str) -> list[list[str]]:
    """The cells of every row of every table but the heads."""
    lines = [line for line in text_of(page).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in {"number", "threat"}]


@cache
def names_in(file: Path) -> frozenset[str]:
    """The tests that pytest finds in a file."""
    if not (file.is_file() and file.name.startswith("test_")):
        return frozenset()
    functions = (each for each in ast.parse(file.read_text()).body if isinstance(each, ast.FunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


@pytest.mark.parametrize("page", PAGES)
def test_the_tests_are_there(page: str) -> None:
    """Every test that a page names is one."""
    named = [name.partition("::") for name in TEST.findall(text_of(page))]
    assert named
    assert [f"{file}::{name}" for file, _, name in named if name not in names_in(ROOT / file)] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_files_are_there(page: str) -> None:
    """Every file or folder of ours that a page names."""
    assert [name for name in CODE.findall(text_of(page)) if not (ROOT / name).exists()] == []


def test_a_threat_has_a_control_and_a_test_or_says_that_it_has_none() -> None:
    """A row without a test says why there is none."""
    rows = rows_of("threat-model.md")
    assert len(rows) > 40
    for threat, control, where, test in rows:
        is_open = control.startswith("Not tested yet")
        assert control, threat
        assert is_open or (CODE.search(where) and TEST.search(test)), threat


@pytest.mark.parametrize("page", ["asvs.md", "pci.md"])
def test_what_is_held_is_measured(page: str) -> None:
    """A status is one of those that the page explains; whatever is held names a test."""
    for *what, status, test in rows_of(page):
        assert status.partition(":")[0] in STATUS, what
        assert TEST.search(test) or status != "held", what


@pytest.mark.parametrize("page", ["asvs.md", "pci.md"])
def test_no_number_is_answered_for_twice(page: str) -> None:
    """One requirement, one row."""
    numbers = [number for row in rows_of(page) for number in row[0].split(", ")]
    assert len(numbers) == len(set(numbers))
    assert [number for number in numbers if not re.fullmatch(r"\d+(\.\d+)*", number)] == []


def test_every_requirement_of_asvs_is_answered_for() -> None:
    """Each number once: by its own row, or by one for its section; and none that the standard does not have."""
    named = {number for row in rows_of("asvs.md") for number in row[0].split(", ")}
    for number in NUMBERS:
        if not number.startswith("17."):
            assert len(named & _sections(number)) == 1, number
    assert named <= set().union(*map(_sections, NUMBERS))


def _sections(number: str) -> set[str]:
    """A requirement's own number, and those of the sections that it is in: 1.2.3, 1.2, 1."""
    parts = number.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
