"""What tests of the audit log's tree share: logs with entries in them, exported, and verified."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from house import House, Tenant
from sqlalchemy import Row

from rows.engine import reading
from vault import audit
from vault.tlog import kept, sequencing
from vault.tlog.files import Folder, Kept, write
from vault.tlog.signing import verifiers
from vault.tlog.verifying import Files, Finding, verify


def look(tenant: Tenant, count: int = 1) -> None:
    """Write so many entries of the tenant."""
    parts = tenant.house.components
    for number in range(count):
        caller = replace(tenant.caller, at=parts.clock(), request_id=f"req_{number}")
        with audit.transaction(parts.records) as tx:
            audit.record(parts.desk(caller), tx, "contact.read", customer="cus_x", details={"n": number})


def log(house: House, tenant: str) -> Row[Any]:
    """The row of a log that there is."""
    with reading(house.components.records) as connection:
        row = kept.log_of(connection, tenant)
    assert row is not None
    return row


def place(tenant: Tenant, most: int = 500) -> int:
    """Have entries placed by one turn of this log, at `most` so many; how many."""
    parts = tenant.house.components
    sequencing.found(parts.records, tenant.id)
    before = log(tenant.house, tenant.id).size
    now = sequencing.sequence(parts.records, parts.keyring, tenant.id, parts.clock(), most)
    return 0 if now is None else now.size - before


def settle(tenant: Tenant) -> int:
    """Have all that is there placed: how the tenant came to be. The log's size."""
    while place(tenant):
        pass
    return int(log(tenant.house, tenant.id).size)


def exported(tenant: Tenant, folder: Path) -> Path:
    """The log's files in a folder."""
    row = log(tenant.house, tenant.id)
    write(Kept(tenant.house.components.records, tenant.id, row.checkpoint), row.size, folder, lambda _count: None)
    return folder


def in_records(tenant: Tenant) -> Kept:
    """The log's files out of the records."""
    return Kept(tenant.house.components.records, tenant.id, log(tenant.house, tenant.id).checkpoint)


def findings(tenant: Tenant, files: Files | Path, *against: bytes) -> list[Finding]:
    """What verifying finds, with the log's own keys."""
    keys = verifiers(tenant.house.components.keyring, tenant.id)
    return verify(Folder(files) if isinstance(files, Path) else files, keys, against, lambda _count: None)
