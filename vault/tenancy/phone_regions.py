"""In which region a tenant's people dial: what a phone number without its country means there."""

import phonenumbers
from sqlalchemy import Engine, update

from keys.keyring import Keyring
from vault import audit
from vault.caller import Caller
from vault.errors import NotFoundHere
from vault.tables import tenants


def put(records: Engine, keyring: Keyring, caller: Caller, region: str | None) -> None:
    """Say the region (ISO 3166), or that there is none; the worker reads anew what was typed without its country.

    Raises ValueError for what is no region, NotFoundHere for a tenant that there is not.
    """
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("No region where phones are: two capitals of ISO 3166, as in FR or US.")
    changed = update(tenants).where(tenants.c.tenant_id == caller.tenant).values(phone_region=region or "")
    with audit.transaction(records) as tx:
        if tx.execute(changed).rowcount != 1:
            raise NotFoundHere("No such tenant.")
        audit.record(
            tx, keyring, caller, "tenant.phone_region", resource=caller.tenant, details={"region": region or ""}
        )
