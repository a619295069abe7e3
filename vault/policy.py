"""What the policy file says: why personal data is read, what is retained, who is told, and by when people are answered.

The file is TOML, read and checked at start by `panless/settings/policies.py`; this is its shape. docs/policy.md
explains each key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How long a regulation gives for an answer; vault/requests/deadlines.py counts.

    `amount` and `extension` are in `unit`s, the extension on top of the amount. `starts` says which moment the period
    runs from: when the person asked, or when the request came in here.
    """

    unit: Literal["month", "day"]
    amount: int
    extension: int
    starts: Literal["submitted", "received"]
    to_working_day: bool
    warn_after_days: int
    acknowledge_working_days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Why a class of records outlives an erasure, by whose law, and for how many years after it was made."""

    basis: str
    years: int
    jurisdiction: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of one deployment.

    `controller` has name, address and email. `recipients` gives the legal name behind a kind of processor, `transfers`
    what is to be said where one takes data to a third country. `holidays` are days in `time_zone`, an IANA name. Above
    `erasures_per_day` of one tenant, a second actor must approve. `redaction` gives the days after which a kind of
    processor is to redact what it keeps of who was erased. Of one token `failures_per_day` and `failures_per_30_days`
    declined charges are let through, the card schemes' own caps where the file names none.
    """

    version: str
    purposes: frozenset[str]
    retention: Mapping[str, Retention]
    keystore_backup_days: int
    records_backup_days: int
    controller: Mapping[str, str]
    data_protection_officer: str
    authority: str
    recipients: Mapping[str, str]
    transfers: Mapping[str, str]
    regulations: Mapping[str, Clock]
    holidays: frozenset[date]
    time_zone: str
    erasures_per_day: int
    redaction: Mapping[str, int]
    failures_per_day: int = 10
    failures_per_30_days: int = 15
