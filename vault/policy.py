"""What the policy file says: the purposes for which personal data may be read, what is retained and why, who is told.

The file is TOML, read and checked at start by `panless/policies.py`; this is its shape.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Why a class of records outlives an erasure, and for how many years after it was made."""

    basis: str
    years: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of one deployment."""

    version: str
    purposes: frozenset[str]
    retention: Mapping[str, Retention]
    response_days: int
    keystore_backup_days: int
