"""The audit log: that it is anchored, where, and that the worker keeps up."""

from collections.abc import Iterator
from pathlib import Path

from panless.checks.finding import Finding, note
from panless.checks.places import databases, file_of, same_disk
from panless.settings.environment import Settings
from panless.settings.stores import Bucket
from panless.wiring import Components
from vault.tlog.lateness import STALE, lateness

LONGEST_WAIT = 60.0
"""Seconds in which the worker has long given an entry its place."""


def anchored(settings: Settings) -> Iterator[Finding]:
    """Somewhere that who writes the databases can't write to."""
    if settings.audit_anchor is None:
        yield Finding(
            what="The audit log is not anchored: who writes to the records can cut it back unseen.",
            mend="Set PANLESS_AUDIT_ANCHOR to a folder on another machine's disk, or to s3://bucket/prefix.",
        )


def anchors_apart(settings: Settings) -> Iterator[Finding]:
    """From the records, whose disk may be put back."""
    records = file_of(databases(settings)[0][1])
    anchor = settings.audit_anchor
    if isinstance(anchor, Path) and records is not None and same_disk(records, anchor):
        yield Finding(
            what="The audit log's anchors lie on the same disk as the records: who puts that back puts both back.",
            mend="Put them on another machine's disk, or in s3://bucket/prefix (PANLESS_AUDIT_ANCHOR).",
        )


def anchors_locked(settings: Settings) -> Iterator[Finding]:
    """In a bucket who may write may delete."""
    if isinstance(settings.audit_anchor, Bucket) and settings.audit_anchor_lock_days is None:
        yield note(
            "Who may delete from the anchors' bucket can make the audit log unprovable.",
            "Set PANLESS_AUDIT_ANCHOR_LOCK_DAYS.",
        )


def in_time(house: Components) -> Iterator[Finding]:
    """Entries have their places, and checkpoints their anchors."""
    late = lateness(house.logs, house.records, house.clock())
    if late.unplaced > LONGEST_WAIT:
        yield Finding(
            what=f"Audit entries have waited for their places for {late.unplaced:.0f} s.",
            mend="See that `panless worker` runs, and what `panless audit verify` says.",
        )
    if late.unanchored > STALE.total_seconds():
        yield Finding(
            what=f"The audit log was not anchored for {late.unanchored:.0f} s: exports and key operations wait for it.",
            mend="See that `panless worker` runs and reaches PANLESS_AUDIT_ANCHOR.",
        )
