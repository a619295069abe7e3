"""What waits at a processor and nobody touches is looked at until it ends: storings, authorizations, detached cards."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_scene import methods_at_processor, problem, processor
from house import Tenant, word
from sqlalchemy import Table, update

from rows.engine import reading, transaction
from vault.cards import updates
from vault.cards.tokens import read
from vault.processing import accounts
from vault.processing.answers import Refused
from vault.processing.connecting import Connected, connect
from vault.tables import charges, tokens

ASKS = "4000002760003184"


def shown(tenant: Tenant, path: str) -> dict[str, Any]:
    found: dict[str, Any] = tenant.call("GET", path).get_json()
    return found


def aged(tenant: Tenant, table: Table, column: str, **ago: float) -> None:
    """Let what a tenant has of a table be as old as that."""
    then = {column: datetime.now(UTC) - timedelta(**ago)}
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(table).where(table.c.tenant_id == tenant.id).values(then))


def waiting(tenant: Tenant) -> tuple[str, str]:
    """A token that waits for its person, and the processor's name of its storing."""
    token = tenant.token(ASKS, customer={"reference": "W-1"})
    assert token["status"] == "requires_action"
    return token["id"], token["next_action"]["client_secret"].partition("_secret")[0]


def work(tenant: Tenant) -> None:
    _, reported = tenant.house.work()
    assert reported == []


def test_a_person_who_does_not_come(tenant: Tenant) -> None:
    """After a day the storing is called off at the processor, then the token fails and is told."""
    token, setup = waiting(tenant)
    aged(tenant, tokens, "created_at", hours=23)
    work(tenant)
    assert shown(tenant, f"/v1/tokens/{token}")["status"] == "requires_action"
    aged(tenant, tokens, "created_at", hours=25)
    work(tenant)
    failed = read(tenant.desk, token)
    assert (failed.status, (failed.declined or {})["code"]) == ("failed", "authentication_abandoned")
    assert processor(tenant, "GET", f"/v1/setup_intents/{setup}")["status"] == "canceled"
    told = [event["type"] for event in shown(tenant, f"/v1/events?resource={token}")["data"]]
    assert told[0] == "token.failed"


@pytest.mark.parametrize(("result", "status"), [("succeed", "active"), ("fail", "failed")])
def test_a_person_who_came_unheard(tenant: Tenant, result: str, status: str) -> None:
    """Stored in the last moment is stored; what failed there can't be completed by the person's page any more."""
    token, setup = waiting(tenant)
    tenant.house.sandbox.hook("POST", f"/_authenticate/{setup}", {"result": result})
    aged(tenant, tokens, "created_at", hours=25)
    work(tenant)
    assert shown(tenant, f"/v1/tokens/{token}")["status"] == status
    there = {"active": "succeeded", "failed": "canceled"}
    assert processor(tenant, "GET", f"/v1/setup_intents/{setup}")["status"] == there[status]


def test_a_storing_that_nobody_can_look_at(tenant: Tenant) -> None:
    """While the processor does not say, or refuses the credentials, the token waits."""
    token, setup = waiting(tenant)
    aged(tenant, tokens, "created_at", hours=25)
    for status in (500, 401):
        for method in ("GET", "POST"):
            tenant.house.sandbox.fault(path=f"/v1/setup_intents/{setup}*", method=method, do="status", status=status)
        work(tenant)
        assert shown(tenant, f"/v1/tokens/{token}")["status"] == "requires_action"
        tenant.house.sandbox.clear()
        aged(tenant, tokens, "next_look_at", hours=1)
    work(tenant)
    assert shown(tenant, f"/v1/tokens/{token}")["status"] == "failed"


def authorized(tenant: Tenant) -> tuple[str, str, str]:
    """An authorized charge, its customer, and the processor's name of its payment."""
    token = tenant.token()
    charge = tenant.charge(token["id"], capture_method="manual").get_json()
    assert charge["status"] == "authorized"
    [customer] = processor(tenant, "GET", "/v1/customers", limit="100")["data"]
    [payment] = processor(tenant, "GET", "/v1/payment_intents", customer=customer["id"])["data"]
    return charge["id"], token["customer"], payment["id"]


def test_an_authorization_that_ended_unheard(tenant: Tenant) -> None:
    """Cancelled there, its webhook lost: it is looked at after a day, is voided here, and blocks no erasure."""
    charge, customer, payment = authorized(tenant)
    processor(tenant, "POST", f"/v1/payment_intents/{payment}/cancel")
    work(tenant)
    assert shown(tenant, f"/v1/charges/{charge}")["status"] == "authorized"
    problem(tenant.call("DELETE", f"/v1/customers/{customer}"), 409, "blocked")
    aged(tenant, charges, "updated_at", hours=25)
    work(tenant)
    assert shown(tenant, f"/v1/charges/{charge}")["status"] == "voided"
    assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code in {200, 202}


def test_an_authorization_that_holds(tenant: Tenant) -> None:
    """Asked for once a day and not more; where the processor is away, again within the hour."""
    charge, _, payment = authorized(tenant)
    path = f"/v1/payment_intents/{payment}"
    aged(tenant, charges, "updated_at", hours=25)
    tenant.house.sandbox.fault(path=path, method="GET", do="status", status=500)
    work(tenant)
    assert left(tenant) < timedelta(hours=23, minutes=1)
    aged(tenant, charges, "updated_at", hours=25)
    work(tenant)
    assert left(tenant) < timedelta(minutes=5)
    tenant.house.sandbox.fault(path=path, method="GET", do="status", status=500)
    work(tenant)
    assert len(tenant.house.sandbox.hook("GET", "/_faults")["faults"]) == 1  # nobody asked again
    assert shown(tenant, f"/v1/charges/{charge}")["status"] == "authorized"


def left(tenant: Tenant) -> timedelta:
    """How long ago the tenant's only charge was looked at, as its row says."""
    with reading(tenant.house.components.records) as connection:
        row = connection.execute(charges.select().where(charges.c.tenant_id == tenant.id)).one()
    ago: timedelta = datetime.now(UTC) - row.updated_at
    return ago


def connected(tenant: Tenant) -> Connected:
    parts = tenant.house.components
    with reading(parts.records) as connection:
        account = accounts.by_id(connection, tenant.id, tenant.account)
    return connect(parts.processors, parts.keyring, tenant.id, account)


@pytest.mark.parametrize("is_detached", [True, False])
def test_a_refusal_of_a_card_that_is_detached_there(tenant: Tenant, *, is_detached: bool) -> None:
    """A charge is refused, the card is looked at: where it is detached, its token is, and later charges are told so."""
    token = tenant.token(customer={"reference": "W-1"})
    [method] = methods_at_processor(tenant)
    if is_detached:
        processor(tenant, "POST", f"/v1/payment_methods/{method['id']}/detach")
        problem(tenant.charge(token["id"]), 422, "processor_refused")
    refused = Refused(code="invalid_request_error")
    asked = (tenant.desk, connected(tenant), token["id"])
    assert not updates.detached_there(*asked, method["id"], Refused(code="x", credentials=True))
    assert not updates.detached_there(*asked, f"pm_{word()}", refused)  # another card by now
    assert updates.detached_there(*asked, method["id"], refused) is is_detached
    answer = tenant.charge(token["id"])
    if is_detached:
        problem(answer, 409, "token_not_active")
    else:
        assert answer.status_code == 201
