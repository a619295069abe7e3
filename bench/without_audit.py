"""Calls without their audit entries: what the audit log's share is measured against."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

from sqlalchemy import Connection

from rows import changes
from rows.changes import Change, inserted
from vault import audit
from vault.tables import audit_entries


@contextmanager
def without_audit() -> Iterator[None]:
    """Entries are neither made nor written: what a call writes together is written without one."""
    nothing, write_whole = inserted(audit_entries, {}), changes.write_whole

    def without(connection: Connection, changes: Sequence[Change]) -> bool:
        others = [change for change in changes if change is not nothing]
        return write_whole(connection, others) if others else True

    with (
        mock.patch.object(audit, "entry", return_value=nothing),
        mock.patch.object(changes, "write_whole", without),
    ):
        yield
