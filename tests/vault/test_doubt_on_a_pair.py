"""Doubt on a PostgreSQL with a standby: restarts, failovers, base backups, and an old primary that goes on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from doubt_scene import known, let_go, on_pair, payments, waits
from house import House, Sandbox, Tenant, open_house, word
from records_scene import catch_up, interpose, rows, second_account, work
from roles import house_apart
from sqlalchemy import make_url
from standby import Pair

from vault.processing import beats
from vault.tables import charges


def promote(both: Pair, house: House) -> None:
    both.fail_over()
    let_go(house)


def test_a_promoted_standby_without_the_last_payment(both: Pair, tmp_path: Path, sandbox: Sandbox) -> None:
    """The commit is lost: whoever pays the invoice again, with the same key or a fresh one, pays once."""
    house, tenant, token = on_pair(tmp_path / "house", both, sandbox)
    both.catch_up()
    both.fall_behind()
    for number in (1, 2):
        assert tenant.charge(token, key=f"k-{number}", obligation=f"I-{number}").status_code == 201
    promote(both, house)
    assert known(tenant) == [False]
    same = tenant.charge(token, key="k-1", obligation="I-1")
    assert (same.status_code, same.get_json()["status"]) in {(201, "succeeded"), (202, "unknown")}
    fresh = tenant.charge(token, key="k-3", obligation="I-2")
    assert (fresh.status_code, fresh.get_json()["status"]) == (202, "unknown")
    assert work(house) == []
    assert tenant.charge(token, key="k-1", obligation="I-1").get_json()["status"] == "succeeded"
    assert tenant.charge(token, key="k-3", obligation="I-2").get_json()["code"] == "already_paid"
    assert [len(payments(tenant, f"I-{number}")) for number in (1, 2)] == [1, 1]
    assert {row.state for row in rows(house, charges, tenant_id=tenant.id, recovered=True)} == {"succeeded"}
    house.components.close()


def test_a_standby_that_is_not_promoted_yet(both: Pair, tmp_path: Path, sandbox: Sandbox) -> None:
    """It takes no writes, which is an outage like any other: 503 `database_unavailable`, until it is promoted."""
    house, tenant, token = on_pair(tmp_path / "house", both, sandbox)
    both.catch_up()
    both.stand_in()
    let_go(house)
    body = {"token": token, "amount": 500, "currency": "eur", "initiator": "customer"}
    orders = [
        lambda: tenant.charge(token),
        lambda: tenant.call("POST", "/v1/charges", body, Idempotency_Key="1"),
        tenant.tokenize,
    ]
    for order in orders:
        answer = order()
        assert (answer.status_code, answer.get_json()["code"]) == (503, "database_unavailable")
        assert answer.headers["Retry-After"]
    assert tenant.call("GET", "/v1/charges").status_code == 200
    both.promote()
    assert [order().status_code for order in orders] == [201, 201, 201]
    house.components.close()


@pytest.mark.parametrize("how", ["restart", "put_back"])
def test_a_server_that_is_started_where_a_copy_lies(both: Pair, tmp_path: Path, sandbox: Sandbox, how: str) -> None:
    """No timeline tells a restart or a base backup from what was before; the server's start does."""
    house, tenant, token = on_pair(tmp_path / "house", both, sandbox)
    second_account(tenant)
    both.back_up()
    getattr(both, how)()
    let_go(house)
    assert known(tenant) == [False, False]
    assert waits(tenant.charge(token))
    catch_up(house)
    assert known(tenant) == [True, True]
    assert not waits(tenant.charge(token))
    house.components.close()


@pytest.mark.parametrize("how", ["restart", "fail_over"])
def test_roles_that_only_serve(both: Pair, tmp_path: Path, sandbox: Sandbox, how: str) -> None:
    """After a restart or a promotion, and while no worker runs, the door's own role gets no 500: it only reads."""
    server = f"postgresql://postgres@127.0.0.1:{both.port}/postgres"
    with house_apart(tmp_path, server, sandbox) as house:
        beats.beat(house.components.records)
        one, two = house.tenant(), house.tenant()
        second_account(two)
        tokens = {tenant.id: tenant.token()["id"] for tenant in (one, two)}
        paid = {tenant.id: tenant.charge(tokens[tenant.id]).get_json()["id"] for tenant in (one, two)}
        both.catch_up()
        getattr(both, how)()
        let_go(house)
        assert not waits(one.charge(tokens[one.id]))
        assert waits(two.charge(tokens[two.id]))
        for tenant in (one, two):
            refund = tenant.call(
                "POST", f"/v1/charges/{paid[tenant.id]}/refunds", {"amount": 5}, Idempotency_Key=word()
            )
            assert refund.status_code == 201, refund.get_data(as_text=True)
            assert tenant.tokenize().status_code == 201
            assert tenant.call("GET", "/v1/charges").status_code == 200
        catch_up(house)
        assert not waits(two.charge(tokens[two.id]))


@dataclass
class Split:
    """A promoted standby, and the primary that goes on: the same tenant at both."""

    old: Tenant
    new: Tenant
    token: str
    declined: str
    """A token of a card that is always declined."""
    paid: str
    """The charge of I-0."""


@pytest.fixture
def split(both: Pair, tmp_path: Path, sandbox: Sandbox) -> Iterator[Split]:
    house, tenant, token = on_pair(tmp_path / "house", both, sandbox)
    declined = tenant.token("4000000000000341")["id"]
    paid = tenant.charge(token, obligation="I-0").get_json()["id"]
    both.catch_up()
    _, port = both.split()
    records = make_url(both.url).set(port=port).render_as_string(hide_password=False)
    new = open_house(house.home, house.environment | {"PANLESS_RECORDS_URL": records}, sandbox)
    yield Split(old=tenant, new=replace(tenant, house=new), token=token, declined=declined, paid=paid)
    sandbox.clear()
    for each in (new, house):
        each.components.close()


def test_a_refusal_at_one_of_two_primaries(split: Split) -> None:
    """A call at both: what the new one is refused while the old one's is on its way was not refused for good."""
    said = []

    def late(call: Callable[[], Any]) -> Any:
        split.new.house.sandbox.fault(path="/v1/payment_intents", do="status", status=400)
        said.append(split.new.charge(split.token, key="k", obligation="I-1"))
        return call()

    first = interpose(split.old, charge=late).charge(split.token, key="k", obligation="I-1")
    assert (first.status_code, said[0].status_code) == (201, 202), said[0].get_data(as_text=True)
    catch_up(split.new.house)
    assert work(split.new.house) == []
    again = split.new.charge(split.token, key="k", obligation="I-1")
    assert (again.status_code, again.get_json()["status"]) == (201, "succeeded")
    assert len(payments(split.new, "I-1")) == 1


def test_a_decline_at_one_of_two_primaries(split: Split) -> None:
    """The processor keeps a decline under the key that both send: what arrives late is declined, too."""
    said = []

    def late(call: Callable[[], Any]) -> Any:
        said.append(split.new.charge(split.declined, key="k", obligation="I-1"))
        return call()

    interpose(split.old, charge=late).charge(split.declined, key="k", obligation="I-1")
    assert said[0].status_code == 402
    assert payments(split.new, "I-1") == []


def test_a_refund_refused_at_one_of_two_primaries(split: Split) -> None:
    """A call at both: the new one's refusal does not stand where the old one's call then gives back."""
    order = ("POST", f"/v1/charges/{split.paid}/refunds", {"amount": 80})
    said = []

    def late(call: Callable[[], Any]) -> Any:
        split.new.house.sandbox.fault(path="/v1/refunds", do="status", status=400)
        said.append(split.new.call(*order, Idempotency_Key="r"))
        return call()

    first = interpose(split.old, refund=late).call(*order, Idempotency_Key="r")
    assert (first.status_code, said[0].status_code) == (201, 202)
    catch_up(split.new.house)
    assert work(split.new.house) == []
    again = split.new.call(*order, Idempotency_Key="r")
    assert (again.status_code, again.get_json()["status"]) == (201, "succeeded")
    assert [each["refunded"] for each in payments(split.new, "I-0")] == [80]
