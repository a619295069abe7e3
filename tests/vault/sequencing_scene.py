"""Rounds in which an audit log gets its places."""

from house import Tenant
from records_scene import later
from sqlalchemy import delete

from rows.engine import transaction
from vault.lanes.keeping import anchor_once, sequence_once
from vault.tables import audit_entries, audit_logs, audit_tiles

Older = dict[str, list[dict[str, object]]]


Reported = list[tuple[str, Exception]]


def rounds(tenant: Tenant, count: int = 1) -> Reported:
    """Rounds of the two lanes of one worker, half a minute later each; what they reported of this tenant's log."""
    reported: Reported = []
    house = tenant.house

    def report(what: str, error: Exception) -> None:
        reported.append((what, error))

    for number in range(count):
        shop = later(house, seconds=30 * (number + 1)).components.workshop
        anchor_once(shop, report)
        sequence_once(shop, report)
        anchor_once(later(house, seconds=30 * (number + 2)).components.workshop, report)
    return [each for each in reported if tenant.id in str(each[1])]


def put_back(tenant: Tenant, older: Older) -> None:
    with transaction(tenant.house.components.records) as tx:
        for table in (audit_entries, audit_logs, audit_tiles):
            tx.execute(delete(table).where(table.c.tenant_id == tenant.id))
            tx.execute(table.insert(), older[table.name])
    tenant.house.components.records.dispose()  # lanes end with their connections
