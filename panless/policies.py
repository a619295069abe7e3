"""Reads the policy file (TOML) and checks it: what is wrong with it is said at start, not at the first request."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from vault.policy import Policy, Retention

PURPOSE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class PolicyError(Exception):
    """The policy file is missing or wrong; the message says where."""


def read_policy(file: Path) -> Policy:
    """The policy in `file`. Raises PolicyError."""
    try:
        return _policy(tomllib.loads(file.read_text()))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"The policy file {file} can't be read: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PolicyError(
            f"The policy file {file} is not complete: {error}. Compare it with panless/policy.toml."
        ) from None


def example_policy() -> str:
    """The policy file that `panless dev` starts with."""
    return files("panless").joinpath("policy.toml").read_text()


def _policy(value: dict[str, Any]) -> Policy:
    purposes = frozenset(value["purposes"])
    if not purposes or not all(PURPOSE.fullmatch(purpose) for purpose in purposes):
        raise ValueError("purposes must be codes of a-z, 0-9 and -")
    return Policy(
        version=str(value["version"]),
        purposes=purposes,
        retention={"transactions": _retention(value["retention"]["transactions"])},
        response_days=_positive(value, "response_days"),
        keystore_backup_days=_positive(value, "keystore_backup_days"),
    )


def _retention(value: dict[str, Any]) -> Retention:
    return Retention(basis=str(value["basis"]), years=_positive(value, "years"))


def _positive(value: dict[str, Any], name: str) -> int:
    if type(value[name]) is not int or value[name] <= 0:
        raise ValueError(f"{name} must be a whole number above 0")
    return int(value[name])
