"""How the house is written, as far as no linter looks: sizes, names, what nobody uses, docstrings that stand alone."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("rows", "keys", "vault", "api", "panless", "sandbox")
LONGEST_FILE = 300
LONGER_FILES = {
    "migrations/records/versions/0001_records.py": "one list of tables; databases stand at it, so it stays one step",
}
LONGEST_FUNCTION = 50
"""Lines of a function's body, its docstring apart."""

LONGER = {
    "api/routes/reference.py:_problems": "a page's text, which is one list",
    "panless/serving/metrics.py:__init__": "every figure with its help, one after the other",
}
BANNED = frozenset({"utils", "util", "manager", "helper", "helpers", "service", "core", "misc"})
"""Words that say nothing of what is in a room."""

TAKEN_BY_NAME = "panless/serving/with_gunicorn.py"
"""What stands there gunicorn asks for by its names."""


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """(path from the root, text) of each module below these folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def functions(text: str) -> Iterator[ast.FunctionDef]:
    return (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef))


def length(function: ast.FunctionDef) -> int:
    told = ast.get_docstring(function, clean=False)
    whole = (function.end_lineno or 0) - function.body[0].lineno + 1
    return whole - (told.count("\n") + 1 if told else 0)


def defined(text: str) -> Iterator[str]:
    """Names that a module gives out; what a decorator takes (a route, a command) is used by it."""
    for each in ast.parse(text).body:
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            if isinstance(each, ast.ClassDef) or not each.decorator_list:
                yield each.name
        elif isinstance(each, ast.Assign):
            yield from (name.id for name in each.targets if isinstance(name, ast.Name))
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            yield each.target.id


def test_no_file_is_too_long() -> None:
    """At 300 lines one asks why; LONGER_FILES has the answers, as long as they are needed."""
    long = {path for path, text in modules(*PACKAGES, "migrations", "bench") if text.count("\n") > LONGEST_FILE}
    assert long == LONGER_FILES.keys()


def test_no_function_is_too_long() -> None:
    """Longer ones stand in LONGER with the reason, and only while they are."""
    long = {
        f"{path}:{function.name}"
        for path, text in modules(*PACKAGES)
        for function in functions(text)
        if length(function) > LONGEST_FUNCTION
    }
    assert long == LONGER.keys()


def test_no_name_says_nothing() -> None:
    """Neither a file nor a folder is a `utils`, a `manager` or a `core`, nor a class or function in one."""
    named = [
        f"{path}:{name}"
        for path, text in modules(*PACKAGES)
        for name in (*Path(path).with_suffix("").parts, *defined(text))
        if BANNED.intersection(re.findall(r"[a-z]+", re.sub(r"([A-Z])", r"_\1", name).lower()))
    ]
    assert named == []


def test_nothing_is_left_over() -> None:
    """Whatever a module defines is named somewhere else, be it by a test."""
    texts = [text for _, text in modules(*PACKAGES, "migrations", "tests", "bench")]
    told = Counter(
        word for text in (*texts, (ROOT / "pyproject.toml").read_text()) for word in re.findall(r"\w+", text)
    )
    defining = [(path, name) for path, text in modules(*PACKAGES) for name in defined(text) if path != TAKEN_BY_NAME]
    assert [f"{path}:{name}" for path, name in defining if told[name] == 1 and not name.startswith("__")] == []


def test_docstrings_stand_alone() -> None:
    """None begins with what another one says."""
    leaning = [
        f"{path}:{function.name}"
        for path, text in modules(*PACKAGES, "migrations", "tests", "bench")
        for function in functions(text)
        if (ast.get_docstring(function) or "").startswith("The same")
    ]
    assert leaning == []


def test_no_test_imports_a_test() -> None:
    """What two of them need stands in a scene."""
    imports = re.compile(r"^\s*(from|import) test_", re.MULTILINE)
    assert [path for path, text in modules("tests", "bench") if imports.search(text)] == []


def test_what_is_looked_for_would_be_found() -> None:
    """A long function, a leftover and a name that says nothing are seen where there are some."""
    text = "def a():\n" + "    b()\n" * 51 + "class HelperOfMine:\n    pass\n"
    assert [length(each) for each in functions(text)] == [51]
    assert [*defined(text)] == ["a", "HelperOfMine"]
