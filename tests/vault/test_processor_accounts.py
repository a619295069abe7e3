"""A processor account is one account: whose a key is, is asked when an account is added and when its key changes."""

from dataclasses import replace
from typing import Any

import pytest
from accounts_scene import changed, key_of
from house import House, Sandbox, Tenant, make_app, word
from records_scene import end_leases, interpose, row, rows
from sqlalchemy import update

from rows.engine import transaction
from vault.lanes.money import reconcile_once
from vault.processing.accounts import credentials_of
from vault.processing.answers import Unknown
from vault.processors.stripe.adapter import StripeProcessor
from vault.tables import charges, intents, processor_accounts

BAD_ANSWERS = ({"do": "reset"}, {"do": "status", "status": 500}, {"do": "status", "status": 429})


def shown(tenant: Tenant) -> Any:
    return tenant.call("GET", f"/v1/processor-accounts/{tenant.account}").get_json()


def added(tenant: Tenant, api_key: str, code: int = 201, kind: str = "sandbox") -> Any:
    order = {"kind": kind, "label": "another", "credentials": {"api_key": api_key}}
    answer = tenant.call("POST", "/v1/processor-accounts", order, Idempotency_Key=word())
    assert answer.status_code == code, answer.get_data(as_text=True)
    return answer.get_json()


def restricted(key: str) -> str:
    return f"rk_test_{key.removeprefix('sk_test_')}_r"


def unknown_charge(tenant: Tenant) -> str:
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    answer = tenant.charge(tenant.token()["id"])
    assert answer.status_code == 202
    return str(answer.get_json()["id"])


@pytest.fixture
def another(tenant: Tenant) -> str:
    """The key of another account."""
    return key_of(tenant.house.tenant())


def test_a_charge_stays_with_its_account(tenant: Tenant, another: str) -> None:
    """Its answer was lost, and the key of another account comes: refused, and nothing is looked up there. Paid once."""
    charge = unknown_charge(tenant)
    assert changed(tenant, another, 409)["code"] == "other_account"
    end_leases(tenant.house)
    tenant.house.work()
    assert row(tenant.house, charges, charge_id=charge).state == "succeeded"
    assert len(tenant.charges_at_processor()) == 1


def test_a_refund_stays_with_its_account(tenant: Tenant, another: str) -> None:
    """Its answer was lost, and the key of another account comes: refused, and the money is given back once."""
    charge = tenant.charge(tenant.token()["id"]).get_json()["id"]
    tenant.house.sandbox.fault(path="/v1/refunds", do="lose_answer")
    order = {"amount": 300}
    assert tenant.call("POST", f"/v1/charges/{charge}/refunds", order, Idempotency_Key=word()).status_code == 202
    assert changed(tenant, restricted(another), 409)["code"] == "other_account"
    end_leases(tenant.house)
    tenant.house.work()
    assert [each["refunded"] for each in tenant.charges_at_processor()] == [300]
    assert row(tenant.house, charges, charge_id=charge).amount_refunded == 300


def test_another_key_of_the_account_is_taken_and_tried_at_once(tenant: Tenant) -> None:
    """What waited because the key was refused ends in the next round, not after its pause; an erasure too."""
    charge, person = unknown_charge(tenant), tenant.token()["customer"]
    assert tenant.call("DELETE", f"/v1/customers/{person}").status_code == 202
    key = key_of(tenant)
    tenant.house.sandbox.hook("POST", "/_keys", {"key": key, "refused": 401})
    end_leases(tenant.house)
    tenant.house.work()
    with transaction(tenant.house.components.records) as tx:  # as after many tries
        waiting = intents.c.resource_id == charge
        tx.execute(
            update(intents).where(waiting).values(lease_until=tenant.house.components.clock().replace(year=2100))
        )
    assert changed(tenant, key, 422)["errors"][0]["field"] == "credentials"
    assert changed(tenant, f"{key}_new")["proven"]
    tenant.house.work()
    assert row(tenant.house, charges, charge_id=charge).state == "succeeded"
    assert tenant.call("DELETE", f"/v1/customers/{person}").get_json()["status"] == "completed"


def test_a_restricted_key_proves_itself_by_a_customer(tenant: Tenant, another: str) -> None:
    """It may not say whose account it opens: one of ours there with our tag does; another account has none."""
    tenant.token()
    assert changed(tenant, restricted(key_of(tenant)))["proven"]
    assert changed(tenant, restricted(another), 409)["code"] == "other_account"
    assert changed(tenant, another, 409)["code"] == "other_account"
    assert shown(tenant)["proven"]


def test_what_nobody_proves_is_unproven(own_house: House) -> None:
    """A restricted key of an account without customers: taken, and unproven until a customer shows whose."""
    tenant = own_house.tenant()
    key = restricted(f"sk_test_{word()}")
    account = added(tenant, key)
    assert (account["proven"], account["default"]) == (False, False)
    mine = replace(tenant, account=account["id"])
    mine.token(processor_account=account["id"])
    assert not shown(mine)["proven"]
    reconcile_once(tenant.house.components.workshop, lambda *_: None)
    assert shown(mine)["proven"]
    assert changed(mine, f"{key}2")["proven"]


def test_no_unproven_key_where_calls_are_open(tenant: Tenant) -> None:
    """The very first call's answer was lost: no customer shows whose a restricted key is; a full one says it."""
    key = key_of(tenant)
    assert interpose(tenant, open_customer=lambda _call: Unknown(reason="timeout")).tokenize().status_code == 202
    assert changed(tenant, restricted(key), 409)["code"] == "account_unproven"
    assert changed(tenant, f"{key}_new")["proven"]


def test_a_key_of_before_is_proved_by_a_customer(tenant: Tenant, another: str) -> None:
    """An account from before keys were asked: another account's key is told by the customers that are not there."""
    tenant.token()
    key, parts = key_of(tenant), tenant.house.components
    forget_whose(tenant)
    assert changed(tenant, another, 409)["code"] == "other_account"
    assert not shown(tenant)["proven"]
    assert changed(tenant, f"{key}_new")["proven"]
    assert parts.processors["sandbox"].identify(credentials_of(parts.keyring, tenant.id, _row(tenant)).api_key)


def _row(tenant: Tenant) -> Any:
    return row(tenant.house, processor_accounts, account_id=tenant.account)


def forget_whose(tenant: Tenant) -> None:
    """The row as an older version would have left it: its credentials alone."""
    from vault.processing import accounts  # noqa: PLC0415  # only here is its inside needed

    keyring, held = tenant.house.components.keyring, _row(tenant)
    sealed = accounts._seal(keyring, tenant.id, held.account_id, {"api_key": key_of(tenant)}, held.credentials_version)  # noqa: SLF001  # as above
    with transaction(tenant.house.components.records) as tx:
        this = processor_accounts.c.account_id == held.account_id
        tx.execute(update(processor_accounts).where(this).values(credentials=sealed, proven_at=None))


@pytest.mark.parametrize("bad", BAD_ANSWERS)
def test_a_processor_that_is_away(tenant: Tenant, bad: dict[str, Any]) -> None:
    """Added, the account is unproven and the worker asks again; a change is 503 and changes nothing."""
    tenant.house.sandbox.fault(method="GET", path="/v1/account", times=2, **bad)
    account = replace(tenant, account=added(tenant, f"sk_test_{word()}")["id"])
    assert not shown(account)["proven"]
    assert changed(account, f"{key_of(account)}_new", 503)["code"] == "processor_not_reached"
    tenant.house.work()
    assert shown(account)["proven"]
    assert changed(account, f"sk_test_{word()}", 409)["code"] == "other_account"
    assert changed(account, f"{key_of(account)}_new")["proven"]


@pytest.mark.parametrize("refused", [401, 403])
def test_a_refused_key(tenant: Tenant, refused: int) -> None:
    """422, whether it would be a new account's or another key."""
    key = f"sk_test_{word()}"
    if refused == 403:
        tenant.token()
        key = restricted(key_of(tenant))
    tenant.house.sandbox.hook("POST", "/_keys", {"key": key, "refused": refused})
    assert changed(tenant, key, 422)["errors"][0]["field"] == "credentials"


def of_stripe(tenant: Tenant) -> Tenant:
    """Before a door that has the kind `stripe`, whose keys name a mode, and which the sandbox answers."""
    parts = tenant.house.components
    processors = {**parts.processors, "stripe": StripeProcessor(base_url=tenant.house.sandbox.url)}
    components = replace(parts, processors=processors)
    return replace(tenant, house=replace(tenant.house, components=components, app=make_app(components)))


@pytest.mark.parametrize(("live", "wrong"), [(False, "sk_live_"), (False, "rk_live_"), (True, "sk_test_")])
def test_a_key_of_the_other_mode(house: House, live: bool, wrong: str) -> None:  # noqa: FBT001  # a case
    """422 that says which mode it is, and nothing is asked of the processor."""
    tenant = of_stripe(house.tenant(live=live))
    refused = added(tenant, f"{wrong}{word()}", 422, kind="stripe")
    meant, given = ("live", "test") if live else ("test", "live")
    assert refused["errors"][0]["field"] == "credentials"
    assert f"a {given} key" in refused["detail"]
    assert f"for {meant} payments" in refused["detail"]
    assert len(rows(tenant.house, processor_accounts, tenant_id=tenant.id)) == 1


def test_another_key_of_the_other_mode(tenant: Tenant) -> None:
    """A key of the other mode is refused where it is to take the place of another, too."""
    tenant = of_stripe(tenant)
    mine = replace(tenant, account=added(tenant, f"sk_test_{word()}", kind="stripe")["id"])
    assert shown(mine)["proven"]
    assert changed(mine, f"sk_live_{word()}", 422)["errors"][0]["field"] == "credentials"


def test_a_kind_that_this_deployment_lacks(tenant: Tenant) -> None:
    """409 that names it: nobody here could ask whose key it is."""
    components = replace(tenant.house.components, processors={})
    without = replace(tenant, house=replace(tenant.house, components=components, app=make_app(components)))
    refused = changed(without, f"{key_of(tenant)}_new", 409)
    assert (refused["code"], "sandbox" in refused["detail"]) == ("processor_account_unusable", True)


def test_a_list_says_what_is_proven(tenant: Tenant, sandbox: Sandbox) -> None:
    """Each account with `proven`."""
    assert sandbox.url
    other = added(tenant, restricted(f"sk_test_{word()}"))["id"]
    listed = tenant.call("GET", "/v1/processor-accounts").get_json()["data"]
    assert {each["id"]: each["proven"] for each in listed} == {tenant.account: True, other: False}
