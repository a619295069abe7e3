"""What is seen of an erasure from outside."""

from typing import Any

from house import Tenant
from records_scene import (
    row,
)
from sqlalchemy import text

from rows.engine import reading
from vault.tables import (
    erasures,
)


def request_of(tenant: Tenant, customer: str) -> dict[str, Any]:
    request = row(tenant.house, erasures, customer_id=customer).request_id
    return tenant.call("GET", f"/v1/rights-requests/{request}").get_json()


def certificate_of(tenant: Tenant, customer: str) -> dict[str, Any]:
    request = row(tenant.house, erasures, customer_id=customer).request_id
    answer = tenant.call("GET", f"/v1/rights-requests/{request}/certificate")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def dek_is_gone(tenant: Tenant, dek_id: bytes) -> bool:
    """Whether its tombstone stands."""
    with reading(tenant.house.components.keystore) as connection:
        statement = text("SELECT wrapped FROM deks WHERE tenant_id = :tenant AND dek_id = :dek")
        return connection.execute(statement, {"tenant": tenant.id, "dek": dek_id}).one().wrapped is None
