"""An audit log that somebody writes to behind our back."""

from typing import Any

from house import Tenant
from sqlalchemy import select, update

from rows.engine import reading, transaction
from vault.tables import audit_entries, audit_logs, audit_tiles


def taken(tenant: Tenant) -> dict[str, list[dict[str, object]]]:
    """All rows of the log as they are."""
    with reading(tenant.house.components.records) as connection:
        found = {}
        for table in (audit_entries, audit_logs, audit_tiles):
            mine = connection.execute(select(table).where(table.c.tenant_id == tenant.id))
            found[table.name] = [dict(row) for row in mine.mappings()]
        return found


def write(tenant: Tenant, *statements: Any) -> None:
    with transaction(tenant.house.components.records) as tx:
        for statement in statements:
            tx.execute(statement)


def change(tenant: Tenant, **values: object) -> None:
    write(tenant, update(audit_logs).where(audit_logs.c.tenant_id == tenant.id).values(**values))
