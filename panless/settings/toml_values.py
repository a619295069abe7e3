"""What stands in a TOML file, looked up by its dotted path and checked: a ValueError says the path and the rule."""

import re
from collections.abc import Collection
from typing import Any

CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
MOST = 3650
"""Of days, months or years: more is a slip of the hand, and dates would run past their end."""

Table = dict[str, Any]


def find(file: Table, path: str) -> Any:  # noqa: ANN401  # any of TOML's types
    """What stands there, unchecked; None for nothing, which TOML itself can't say."""
    value: Any = file
    for name in filter(None, path.split(".")):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def only(file: Table, path: str, names: Collection[str]) -> None:
    """Refuse other names in a table: one that is misspelt must not go unnoticed."""
    if unknown := sorted(_at(file, path, dict, "a table").keys() - set(names)):
        raise ValueError(f"{'.'.join(filter(None, (path, unknown[0])))} is not known")


def codes(file: Table, path: str) -> list[str]:
    """The names in a table that the file may add to."""
    names = list(_at(file, path, dict, "a table"))
    if not all(CODE.fullmatch(name) for name in names):
        raise ValueError(f"the names in {path} must be codes of a-z, 0-9 and -")
    return names


def listed(file: Table, path: str) -> list[Any]:
    """A list, its items unchecked."""
    values: list[Any] = _at(file, path, list, "a list")
    return values


def text(file: Table, path: str) -> str:
    """A text that says something."""
    value: str = _at(file, path, str, "a text in quotes")
    if not value.strip():
        raise ValueError(f"{path} must not be empty")
    return value


def whole(file: Table, path: str, *, least: int = 1, most: int = MOST) -> int:
    """A whole number within bounds, both allowed."""
    rule = f"a whole number from {least} to {most}"
    value: int = _at(file, path, int, rule)
    if not least <= value <= most:
        raise ValueError(f"{path} must be {rule}")
    return value


def flag(file: Table, path: str) -> bool:
    """True or false."""
    value: bool = _at(file, path, bool, "true or false")
    return value


def choice(file: Table, path: str, *choices: str) -> Any:  # noqa: ANN401  # one of the choices, which mypy can't tell
    """One of a few words."""
    rule = " or ".join(f'"{one}"' for one in choices)
    value = _at(file, path, str, rule)
    if value not in choices:
        raise ValueError(f"{path} must be {rule}")
    return value


def _at(file: Table, path: str, kind: type, rule: str) -> Any:  # noqa: ANN401  # of that kind
    value = find(file, path)
    if value is None:
        raise ValueError(f"{path} is missing")
    if type(value) is not kind:  # isinstance would let true pass for 1
        raise ValueError(f"{path} must be {rule}")
    return value
