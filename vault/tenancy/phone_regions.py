"""In which region a tenant's people dial: what a phone number without its country means there."""

import phonenumbers
from sqlalchemy import update

from vault import audit
from vault.desk import Desk
from vault.errors import NotFoundHere
from vault.tables import tenants


def put(desk: Desk, region: str | None) -> None:
    """Say the region (ISO 3166), or that there is none; the worker reads anew what was typed without its country.

    Raises ValueError for what is no region, NotFoundHere for a tenant that there is not.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("No region where phones are: two capitals of ISO 3166, as in FR or US.")
    changed = update(tenants).where(tenants.c.tenant_id == desk.caller.tenant).values(phone_region=region or "")
    with audit.transaction(desk.records) as tx:
        if tx.execute(changed).rowcount != 1:
            raise NotFoundHere("No such tenant.")
        audit.record(desk, tx, "tenant.phone_region", resource=desk.caller.tenant, details={"region": region or ""})
