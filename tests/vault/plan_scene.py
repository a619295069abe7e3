"""Dry runs, and subscriptions at the processor that stand in their way."""

import json
import urllib.parse
import urllib.request
from typing import Any

from house import Tenant
from records_scene import at_processor, row

from vault.processing.accounts import credentials_of
from vault.tables import processor_accounts


def subscribe(tenant: Tenant) -> str:
    """Give the tenant's only customer at the processor a subscription there; its id."""
    [customer] = at_processor(tenant)
    form = {"customer": customer, "items[0][price]": "price_monthly"}
    return at_sandbox(tenant, "POST", "/v1/subscriptions", form)["id"]


def at_sandbox(tenant: Tenant, method: str, path: str, form: dict[str, str] | None = None) -> dict[str, Any]:
    account = row(tenant.house, processor_accounts, account_id=tenant.account)
    key = credentials_of(tenant.house.components.keyring, tenant.id, account).api_key.value
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(
        tenant.house.sandbox.url + path, data, {"Authorization": f"Bearer {key}"}, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def plan(tenant: Tenant, customer: str) -> dict[str, Any]:
    answer = tenant.call("GET", f"/v1/customers/{customer}/erasure-plan", role="privacy")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()
