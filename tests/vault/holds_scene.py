"""What the tests of legal holds share: setting, lifting and listing them, and what they block."""

from datetime import UTC, datetime, timedelta
from typing import Any

from house import House, Tenant
from werkzeug.test import TestResponse

from vault.recovering.replay import replay

ALL = ["contact", "card", "metadata", "transactions"]


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ahead(**by: float) -> str:
    return written(datetime.now(UTC) + timedelta(**by))


def ask(tenant: Tenant, customer: str, *, key: str | None = None, **order: object) -> TestResponse:
    """Set a hold for litigation, unless the order says otherwise."""
    headers = {"Idempotency_Key": key} if key else {}
    path = f"/v1/customers/{customer}/holds"
    return tenant.call("POST", path, {"reason": "litigation", **order}, role="privacy", **headers)


def hold(tenant: Tenant, customer: str, **order: object) -> dict[str, Any]:
    answer = ask(tenant, customer, **order)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.get_json()


def lift(tenant: Tenant, hold_id: str) -> TestResponse:
    return tenant.call("DELETE", f"/v1/holds/{hold_id}", role="privacy")


def listed(tenant: Tenant, customer: str) -> list[dict[str, Any]]:
    return tenant.call("GET", f"/v1/customers/{customer}/holds", role="privacy").get_json()["data"]


def erase(tenant: Tenant, customer: str) -> TestResponse:
    return tenant.erase(customer)


def new(tenant: Tenant) -> str:
    return tenant.call("POST", "/v1/customers", {}).get_json()["id"]


def entries(house: House) -> list[str]:
    """The ledger, as it lies there."""
    return [file.read_text() for file in sorted((house.home / "ledger").iterdir())]


def bring_back(house: House) -> None:
    replay(house.components.ledger, house.components.records, lambda _done, _total: None)
    assert house.components.guard.check().is_good


def assert_blocked(answer: TestResponse, *reasons: str, until: str | None = None) -> None:
    found = answer.get_json()
    assert (answer.status_code, found["code"], found["reasons"]) == (409, "blocked", list(reasons))
    assert found["until"] == ({"hold": until} if until else {})
