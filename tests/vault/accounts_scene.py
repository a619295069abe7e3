"""Processor accounts whose credentials change."""

from typing import Any

from house import Tenant
from records_scene import row

from vault.processing.accounts import credentials_of
from vault.tables import processor_accounts


def key_of(tenant: Tenant) -> str:
    account = row(tenant.house, processor_accounts, account_id=tenant.account)
    return credentials_of(tenant.house.components.keyring, tenant.id, account).api_key.value


def changed(tenant: Tenant, api_key: str, code: int = 200) -> Any:
    """The answer to another key for the tenant's account; a refused one has changed nothing."""
    before = row(tenant.house, processor_accounts, account_id=tenant.account)
    answer = tenant.call("PATCH", f"/v1/processor-accounts/{tenant.account}", {"api_key": api_key})
    assert answer.status_code == code, answer.get_data(as_text=True)
    if code != 200:
        assert row(tenant.house, processor_accounts, account_id=tenant.account) == before
    return answer.get_json()
