"""The settings of what lies outside of the databases: the erasure ledger and the anchors of the audit log."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environs import FileAwareEnv

from panless.errors import SettingsError
from panless.settings.door import check_url

LONGEST_LOCK = 36500
"""Days: a hundred years, the most that S3 takes."""
SQLITE_GRACE = 900.0
"""Seconds that the last good verdict serves while the ledger is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A place in an object store: `s3://name/prefix`, the prefix without slashes at its ends, or empty."""

    name: str
    prefix: str


def read(env: FileAwareEnv) -> dict[str, Any]:
    """The values by the names of their fields. Raises SettingsError, EnvError."""
    return {
        "ledger": _place("LEDGER", env.str("LEDGER")),
        "ledger_endpoint": _endpoint(env, "LEDGER"),
        "ledger_lock_days": _lock_days(env, "LEDGER"),
        "ledger_grace": _ledger_grace(env),
        "audit_anchor": _anchor(env),
        "audit_anchor_endpoint": _endpoint(env, "AUDIT_ANCHOR"),
        "audit_anchor_lock_days": _lock_days(env, "AUDIT_ANCHOR"),
    }


def _place(name: str, where: str) -> Path | Bucket:
    if not where.startswith("s3://"):
        return Path(where)
    named = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/.*)?", where)
    if named is None:
        raise SettingsError(f"PANLESS_{name} must be a folder or s3://BUCKET/PREFIX.")
    return Bucket(name=named[1], prefix=(named[2] or "").strip("/"))


def _anchor(env: FileAwareEnv) -> Path | Bucket | None:
    where: str = env.str("AUDIT_ANCHOR", "")
    return _place("AUDIT_ANCHOR", where) if where else None


def _endpoint(env: FileAwareEnv, of: str) -> str | None:
    url: str = env.str(f"{of}_ENDPOINT", "")
    if url:
        _refuse_without_bucket(env, of, "ENDPOINT")
    return check_url(url, f"{of}_ENDPOINT") if url else None


def _lock_days(env: FileAwareEnv, of: str) -> int | None:
    days: int | None = env.int(f"{of}_LOCK_DAYS", None)
    if days is not None and not 1 <= days <= LONGEST_LOCK:
        raise SettingsError(f"PANLESS_{of}_LOCK_DAYS must be from 1 to {LONGEST_LOCK}.")
    if days is not None:
        _refuse_without_bucket(env, of, "LOCK_DAYS")
    return days


def _refuse_without_bucket(env: FileAwareEnv, of: str, name: str) -> None:
    if not isinstance(_place(of, env.str(of, "")), Bucket):
        raise SettingsError(f"PANLESS_{of}_{name} means nothing for a folder. Unset it, or have PANLESS_{of} in s3://.")


def _ledger_grace(env: FileAwareEnv) -> float | None:
    """None, without end, on PostgreSQL, which says itself whether it is the server of the last verdict."""
    on_sqlite = any(env.str(name).startswith("sqlite") for name in ("RECORDS_URL", "KEYSTORE_URL"))
    seconds: float | None = env.float("LEDGER_GRACE", SQLITE_GRACE if on_sqlite else None)
    return seconds
