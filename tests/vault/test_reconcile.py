"""Reconciling against the sandbox's book: every kind of difference is found, nothing else is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from house import House, Tenant
from records_scene import interpose, rows
from sqlalchemy import delete, update

from rows.engine import transaction
from vault.lanes.money import reconcile_once
from vault.money import comparing
from vault.money.reconciling import Differs
from vault.processing.answers import PaymentPage, Refused
from vault.tables import charges, events, processor_accounts


def compared(tenant: Tenant, *, ahead: float = 10) -> comparing.Report:
    """A comparison of the last two days, as if it were so many minutes later."""
    parts = tenant.house.components
    at = datetime.now(UTC) + timedelta(minutes=ahead)
    caller = replace(tenant.caller, at=at)
    since = at - timedelta(days=2)
    return comparing.compare(parts.desk(caller), parts.processors, tenant.account, since)


def kinds(report: comparing.Report) -> list[tuple[str, str | None]]:
    return sorted((each.kind, each.charge) for each in report.differences)


def set_to(tenant: Tenant, charge: str, **values: object) -> None:
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(charges).where(charges.c.charge_id == charge).values(values))


def test_all_is_alike(tenant: Tenant) -> None:
    """Paid, authorized, captured in part, voided, refunded, declined: no difference; what is young is left out."""
    token = tenant.token()["id"]
    held = [tenant.charge(token, capture_method="manual").get_json()["id"] for _ in range(3)]
    tenant.call("POST", f"/v1/charges/{held[0]}/capture", {"amount": 1000}, Idempotency_Key="c")
    tenant.call("POST", f"/v1/charges/{held[1]}/void", Idempotency_Key="v")
    paid = tenant.charge(token).get_json()["id"]
    tenant.call("POST", f"/v1/charges/{paid}/refunds", {"amount": 34}, Idempotency_Key="r")
    tenant.charge(tenant.token("4000000000000341")["id"])
    report = compared(tenant)
    assert (kinds(report), report.compared) == ([], 5)
    young = compared(tenant, ahead=0)
    assert (kinds(young), young.compared) == ([], 0)


def test_each_difference(tenant: Tenant) -> None:
    """A payment that we do not know, one that only we know, another amount, another state."""
    token = tenant.token()["id"]
    lost, wrong, untold, fine = (tenant.charge(token).get_json()["id"] for _ in range(4))
    with transaction(tenant.house.components.records) as tx:
        tx.execute(delete(charges).where(charges.c.charge_id == lost))
    set_to(tenant, wrong, amount_refunded=5)
    set_to(tenant, untold, state="failed")
    report = compared(tenant)
    [orphan] = [each for each in report.differences if each.kind == "theirs_only"]
    assert orphan.theirs == {"status": "succeeded", "captured": 1234, "refunded": 0}
    assert kinds(report)[:1] == [("amount_differs", wrong)]
    assert ("state_differs", untold) in kinds(report)
    assert fine not in {each.charge for each in report.differences}


def test_what_only_we_have(tenant: Tenant) -> None:
    """A paid charge that the processor neither lists nor knows by its name."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    gone = Refused(code="resource_missing")
    empty = interpose(
        tenant, list_payments=lambda _call: PaymentPage(payments=[], after=None), read_charge=lambda _call: gone
    )
    assert kinds(compared(empty)) == [("ours_only", charge)]


def test_open_ones_are_left_to_their_intents(tenant: Tenant) -> None:
    """An unknown charge is no difference, whether it was made there or not."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer")
    assert tenant.charge(token).status_code == 202
    assert kinds(compared(tenant)) == []


def test_more_than_a_page(tenant: Tenant) -> None:
    """The processor's list is read to its end."""
    token = tenant.token()["id"]
    made = [tenant.charge(token, amount=100).get_json()["id"] for _ in range(105)]
    assert compared(tenant).compared == len(made)


def test_a_processor_that_is_away(tenant: Tenant) -> None:
    """Not compared is no agreement."""
    tenant.charge(tenant.token()["id"])
    tenant.house.sandbox.fault(path="/v1/payment_intents", method="GET", do="status", status=500, times=9)
    with pytest.raises(comparing.NotCompared):
        compared(tenant)


def test_every_day_by_the_worker(own_house: House) -> None:
    """Once a day each account; what differs is in the account's row, in an event, and reported."""
    tenant = own_house.tenant()
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    set_to(tenant, charge, amount_refunded=5)
    reported: list[tuple[str, Exception]] = []
    shop = own_house.components.workshop
    ahead = replace(shop, clock=lambda: datetime.now(UTC) + timedelta(minutes=10))
    for _ in range(2):
        reconcile_once(ahead, lambda what, error: reported.append((what, error)))
    [(what, error)] = reported
    assert (what, type(error)) == ("reconcile", Differs)
    [row] = rows(own_house, processor_accounts, account_id=tenant.account)
    assert (row.differences, row.reconciled_at is not None) == (1, True)
    assert [each.type for each in rows(own_house, events, resource_id=tenant.account)] == ["reconcile.differences"]
