"""docs/failures.md is a table whose every row is shown by a test."""

import ast
import re
from collections import defaultdict
from functools import cache

import pytest
from house import ROOT

CODE = re.compile(r"`([^`]+)`")


def table() -> dict[str, list[str]]:
    """The rows of docs/failures.md: the other cells by the first."""
    lines = [line for line in (ROOT / "docs" / "failures.md").read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]
    return {first: others for first, *others in cells}


@cache
def shown() -> dict[str, str]:
    """The rows that tests name, each with the text of the files of those tests."""
    found: dict[str, str] = defaultdict(str)
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text()
        for each in ast.walk(ast.parse(text)):
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                for name in filter(None, map(_named, each.decorator_list)):
                    found[name] += text
    return dict(found)


def _named(decorator: ast.expr) -> str | None:
    match decorator:
        case ast.Call(func=ast.Name(id="row"), args=[ast.Constant(value=str(name))]):
            return name
    return None


def test_rows_and_tests_correspond() -> None:
    """No row is without a test that names it, and no test names a row that is not there."""
    assert len(table()) > 10
    assert set(table()) == set(shown())


@pytest.mark.parametrize("name", table())
def test_what_a_row_names_is_in_its_tests(name: str) -> None:
    """Each code, path, figure, setting and command of what stops, goes on, and notices is in a test of the row."""
    stops, goes_on, notices, _ = table()[name]
    words = [word for cell in (name, stops, goes_on, notices) for word in CODE.findall(cell)]
    assert [word for word in words if word not in shown()[name]] == []
