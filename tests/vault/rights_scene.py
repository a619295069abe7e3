"""What the tests of rights requests share: asking, deciding, and a house with another policy."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from house import House, Tenant, make_app
from werkzeug.test import TestResponse

VERIFIED = {"verification": {"method": "account"}}
ADA = {"name": "Ada Lovelace", "email": "Ada@Example.com", "phone": "+44 20 7946 0958"}


def ask(tenant: Tenant, kind: str, **order: object) -> TestResponse:
    """POST /v1/rights-requests, of a verified person unless the order says otherwise."""
    return tenant.call("POST", "/v1/rights-requests", {"type": kind, **VERIFIED, **order}, role="privacy")


def asked(tenant: Tenant, kind: str, **order: object) -> dict[str, Any]:
    answer = ask(tenant, kind, **order)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return answer.get_json()


def decide(
    tenant: Tenant, request: str, verb: str, *, actor: str | None = None, role: str = "privacy", **body: object
) -> TestResponse:
    headers = {"Panless_Actor": actor} if actor else {}
    path = f"/v1/rights-requests/{request}/{verb}"
    return tenant.call("POST", path, body, role=role, **headers)


def approved(tenant: Tenant, request: str, **body: object) -> dict[str, Any]:
    answer = decide(tenant, request, "approve", **body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def read(tenant: Tenant, request: str) -> dict[str, Any]:
    return tenant.call("GET", f"/v1/rights-requests/{request}", role="privacy").get_json()


def person(tenant: Tenant, **contact: object) -> str:
    """A customer with a contact and a card."""
    return tenant.token(customer={"billing_contact": {**ADA, **contact}})["customer"]


def with_policy(tenant: Tenant, **changes: object) -> Tenant:
    """The tenant in a house whose policy says otherwise."""
    house = tenant.house
    components = replace(house.components, policy=replace(house.components.policy, **changes))
    return replace(tenant, house=_over(house, components))


def _over(house: House, components: Any) -> House:
    return replace(house, components=components, app=make_app(components))


def seconds(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def ago(**by: float) -> str:
    return seconds(datetime.now(UTC) - timedelta(**by))
