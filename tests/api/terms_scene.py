"""Clients whose keys are bound to an address or a certificate."""

from typing import Any

from house import Tenant

from vault.tenancy import clients
from vault.tenancy.client_keys import Terms

SCOPES = {"accounts:write"}


def bound_client(tenant: Tenant, **terms: Any) -> tuple[str, str]:
    """A client whose key is bound to these terms: its id, and the key."""
    parts = tenant.house.components
    made, key = clients.create_client(
        parts.records,
        parts.keyring,
        tenant=tenant.id,
        name="bound",
        live=False,
        scopes=SCOPES,
        at=parts.clock(),
        terms=Terms(**terms),
    )
    return made, key.value
