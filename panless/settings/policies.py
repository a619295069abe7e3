"""Reads the policy file (TOML) and checks it: what is wrong with it is said at start, not at the first request."""

import tomllib
from dataclasses import fields
from datetime import date
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

from panless.settings.toml_values import CODE, Table, choice, codes, find, flag, listed, only, text, whole
from vault.policy import Clock, Policy, Retention

DAYS = {"month": 28, "day": 1}
"""In the shortest of each unit."""


class PolicyError(Exception):
    """The policy file is missing or wrong; the message says where."""


def read_policy(file: Path) -> Policy:
    """The policy in `file`. Raises PolicyError."""
    try:
        return _policy(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PolicyError(f"The policy file {file} can't be read: {error}") from None
    except ValueError as error:
        raise PolicyError(f"The policy file {file} is wrong: {error}. Compare it with panless/policy.toml.") from None


def example_policy() -> str:
    """The policy file that `panless dev` starts with."""
    return files("panless").joinpath("policy.toml").read_text(encoding="utf-8")


def _policy(file: Table) -> Policy:
    only(file, "", [field.name for field in fields(Policy)])
    only(file, "retention", ["transactions"])
    return Policy(
        version=text(file, "version"),
        purposes=_purposes(file),
        retention={"transactions": _retention(file, "retention.transactions")},
        keystore_backup_days=whole(file, "keystore_backup_days"),
        records_backup_days=whole(file, "records_backup_days"),
        controller=_controller(file),
        data_protection_officer=text(file, "data_protection_officer"),
        authority=text(file, "authority"),
        recipients={name: text(file, f"recipients.{name}") for name in codes(file, "recipients")},
        transfers=_transfers(file),
        regulations=_regulations(file),
        holidays=_holidays(file),
        time_zone=_time_zone(file),
        erasures_per_day=whole(file, "erasures_per_day", most=10**9),
        redaction=_redaction(file),
        failures_per_day=_cap(file, "failures_per_day", 10),
        failures_per_30_days=_cap(file, "failures_per_30_days", 15),
    )


def _cap(file: Table, name: str, of_the_schemes: int) -> int:
    return whole(file, name) if name in file else of_the_schemes


def _purposes(file: Table) -> frozenset[str]:
    purposes = listed(file, "purposes")
    if not purposes or not all(isinstance(one, str) and CODE.fullmatch(one) for one in purposes):
        raise ValueError("purposes must be one or more codes of a-z, 0-9 and -")
    return frozenset(purposes)


def _retention(file: Table, path: str) -> Retention:
    only(file, path, [field.name for field in fields(Retention)])
    return Retention(
        basis=text(file, f"{path}.basis"),
        years=whole(file, f"{path}.years"),
        jurisdiction=text(file, f"{path}.jurisdiction"),
    )


def _controller(file: Table) -> dict[str, str]:
    names = ["name", "address", "email"]
    only(file, "controller", names)
    return {name: text(file, f"controller.{name}") for name in names}


def _transfers(file: Table) -> dict[str, str]:
    if "transfers" not in file:
        return {}
    only(file, "transfers", codes(file, "recipients"))
    return {name: text(file, f"transfers.{name}") for name in codes(file, "transfers")}


def _redaction(file: Table) -> dict[str, int]:
    if "redaction" not in file:
        return {}
    only(file, "redaction", codes(file, "recipients"))
    return {name: whole(file, f"redaction.{name}") for name in codes(file, "redaction")}


def _regulations(file: Table) -> dict[str, Clock]:
    clocks = {name: _clock(file, f"regulations.{name}") for name in codes(file, "regulations")}
    if "gdpr" not in clocks:  # requests that name no regulation run under it
        raise ValueError("regulations.gdpr is missing")
    return clocks


def _clock(file: Table, path: str) -> Clock:
    only(file, path, [field.name for field in fields(Clock)])
    unit = choice(file, f"{path}.unit", "month", "day")
    amount = whole(file, f"{path}.amount")
    acknowledge = f"{path}.acknowledge_working_days"
    return Clock(
        unit=unit,
        amount=amount,
        extension=whole(file, f"{path}.extension", least=0),
        starts=choice(file, f"{path}.starts", "submitted", "received"),
        to_working_day=flag(file, f"{path}.to_working_day"),
        warn_after_days=whole(file, f"{path}.warn_after_days", most=amount * DAYS[unit]),
        acknowledge_working_days=whole(file, acknowledge) if find(file, acknowledge) is not None else None,
    )


def _holidays(file: Table) -> frozenset[date]:
    days = listed(file, "holidays")
    if wrong := [day for day in days if type(day) is not date]:  # a moment is a date too, says Python
        raise ValueError(f"holidays must be dates like 2026-12-25, and {wrong[0]!r} is none")
    return frozenset(days)


def _time_zone(file: Table) -> str:
    name = text(file, "time_zone")
    try:
        return ZoneInfo(name).key
    except (KeyError, ValueError, OSError):
        raise ValueError(f"time_zone must be an IANA name like Europe/Paris, and {name!r} is not known here") from None
