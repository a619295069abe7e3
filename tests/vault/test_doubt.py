"""Records that may have lost commits: who must wait, who need not, and that nobody pays twice meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from accounts_scene import changed, key_of
from backups import backup, restore
from doubt_scene import known, last_alive, let_go, payments, waits
from house import House, Sandbox, build_house, word
from postgres import create_database, own_server
from records_scene import catch_up, rows, second_account, work
from sqlalchemy import update

from rows.clock import database_clock
from rows.engine import transaction
from vault.processing import beats
from vault.recovering import walking
from vault.recovering.walk_turns import Turns
from vault.tables import beats as beat_table
from vault.tables import charges, intents, refunds

DAY = 24 * 3600


@dataclass
class Started:
    """A house, and how Panless or the database under it starts again where it lay."""

    house: House
    again: Callable[[], None]


@pytest.fixture(params=["sqlite", "postgresql"])
def started(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[Started]:
    """A deployment whose records become another instance at will; nobody works but who is told to."""
    home = tmp_path / "house"
    if request.param == "sqlite":
        house = build_house(home, f"sqlite:///{tmp_path}/records.db", f"sqlite:///{tmp_path}/keystore.db", sandbox)
        yield Started(house, lambda: beats.begin(house.components.records))
        house.components.close()
        return
    with own_server() as server:
        records, keystore = (create_database(server.get_uri(), name) for name in ("records", "keystore"))
        house = build_house(home, records, keystore, sandbox)
        beats.beat(house.components.records)

        def again() -> None:
            server.stop()
            server.start()
            let_go(house)

        yield Started(house, again)
        house.components.close()


def test_a_tenant_with_one_account_is_never_refused(started: Started) -> None:
    """The processor's own keys guard its account: orders go on at once, while nobody has walked it."""
    tenant = started.house.tenant()
    token = tenant.token()["id"]
    assert tenant.charge(token, obligation="I-1").status_code == 201
    assert known(tenant) == [True]
    started.again()
    assert known(tenant) == [False]
    assert tenant.charge(token, obligation="I-2").status_code == 201
    assert tenant.charge(token, obligation="I-1").get_json()["code"] == "already_paid"
    assert known(tenant) == [False]
    catch_up(started.house)
    assert known(tenant) == [True]


def test_a_tenant_with_two_accounts_waits_for_its_own_walk(started: Started) -> None:
    """A key of one account can't know what the other was paid: 503 until that one is walked; others notice nothing."""
    tenant, other = started.house.tenant(), started.house.tenant()
    second = second_account(tenant)
    token, others = tenant.token()["id"], other.token()["id"]
    assert known(tenant) == [True, True]
    started.again()
    key = word()
    assert waits(tenant.charge(token, key=key, obligation="I-1"))
    assert not waits(other.charge(others))
    body = {"token": token, "amount": 500, "currency": "eur", "initiator": "customer"}
    assert not waits(tenant.call("POST", "/v1/charges", body, Idempotency_Key=word()))
    assert tenant.call("GET", "/v1/charges").status_code == 200
    assert rows(started.house, charges, tenant_id=tenant.id, obligation_digest=None)
    beats.beat(started.house.components.records)
    with transaction(started.house.components.records) as tx:
        tx.execute(beat_table.update().values(since=database_clock(-DAY)))
    shop = started.house.components.workshop
    turns = Turns(shop)
    due = [row for _ in range(3) if (row := turns.next_one([])) is not None]
    assert [row.tenant_id for row in due] == [tenant.id, tenant.id, other.id]
    walked = set()
    for row in due[:2]:
        assert walking.walk(shop, row)
        walked.add(row.account_id)
        assert waits(tenant.charge(token, key=key, obligation="I-1")) == (second not in walked)
    assert known(other) == [False]
    assert len(payments(tenant, "I-1")) == 1


def test_a_refund_in_doubt_of_a_charge_that_is_open_here(started: Started) -> None:
    """It is refused, and nothing is booked: without the payment's name the processor would list everybody's refunds."""
    tenant = started.house.tenant()
    token = tenant.token()["id"]
    paid = tenant.charge(token).get_json()["id"]
    assert tenant.call("POST", f"/v1/charges/{paid}/refunds", {"amount": 80}, Idempotency_Key="r-1").status_code == 201
    started.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    unknown = tenant.charge(token).get_json()["id"]
    with transaction(started.house.components.records) as tx:  # the refund's commit is lost
        tx.execute(refunds.delete().where(refunds.c.tenant_id == tenant.id))
    started.again()
    answer = tenant.call("POST", f"/v1/charges/{unknown}/refunds", {"amount": 5}, Idempotency_Key="r-2")
    assert (answer.status_code, answer.get_json()["code"]) == (409, "charge_not_refundable")
    assert rows(started.house, refunds, tenant_id=tenant.id) == []


def test_credentials_that_are_refused_in_doubt(started: Started) -> None:
    """A refused call may have paid before: the refused one leaves no charge, and the one that paid is written again."""
    tenant = started.house.tenant()
    token, key = tenant.token()["id"], key_of(tenant)
    paid = tenant.charge(token, key="c-1", obligation="I-1").get_json()["id"]
    with transaction(started.house.components.records) as tx:  # its commits are lost
        tx.execute(intents.delete().where(intents.c.resource_id == paid))
        tx.execute(charges.delete().where(charges.c.charge_id == paid))
    started.again()
    started.house.sandbox.hook("POST", "/_keys", {"key": key, "refused": 401})
    refused = tenant.charge(token, key="c-1", obligation="I-1")
    assert (refused.status_code, refused.get_json()["code"]) == (503, "processor_not_reached")
    assert rows(started.house, charges, tenant_id=tenant.id) == []
    changed(tenant, f"{key}_new")
    catch_up(started.house)
    again = tenant.call("GET", f"/v1/charges/{paid}").get_json()
    assert (again["status"], again["recovered"]) == ("succeeded", True)


def test_a_walk_waits_for_calls_of_the_instance_before(started: Started) -> None:
    """On PostgreSQL the old primary's calls may be under way: the walk begins one budget and one timeout later."""
    tenant = started.house.tenant()
    started.again()
    assert started.house.work()[1] == []
    assert known(tenant) == [started.house.components.records.dialect.name == "sqlite"]


def test_an_account_that_is_added_in_doubt_is_in_doubt(started: Started) -> None:
    """Its payments may be those that are lost: both accounts wait until they are walked."""
    tenant = started.house.tenant()
    token = tenant.token()["id"]
    started.again()
    second_account(tenant)
    assert known(tenant) == [False, False]
    assert waits(tenant.charge(token))
    catch_up(started.house)
    assert not waits(tenant.charge(token))


def test_a_key_guards_no_longer_than_it_is_kept(started: Started) -> None:
    """What was lost longer ago than the processor keeps keys could be paid again: it waits for the walk."""
    tenant = started.house.tenant()
    token = tenant.token()["id"]
    started.again()
    last_alive(started.house, DAY - 3600)
    assert not waits(tenant.charge(token))
    last_alive(started.house, DAY)
    assert waits(tenant.charge(token))
    catch_up(started.house)
    assert not waits(tenant.charge(token))


@pytest.mark.parametrize("hours", [1, 30])
def test_records_from_before_a_payment(own_house: House, tmp_path: Path, hours: int) -> None:
    """A backup is put back, and the client comes with a fresh key for the invoice that it paid since: paid once."""
    tenant = own_house.tenant()
    token = tenant.token()["id"]
    beats.beat(own_house.components.records)
    copy = backup(own_house.components.records, tmp_path / "copy")
    assert tenant.charge(token, obligation="I-1").status_code == 201
    restore(own_house.components.records, copy)
    beats.begin(own_house.components.records)  # by a program that starts
    last_alive(own_house, hours * 3600)
    key = word()
    answer = tenant.charge(token, key=key, obligation="I-1")
    assert answer.status_code == (202 if hours == 1 else 503), answer.get_data(as_text=True)
    assert work(own_house) == []
    catch_up(own_house)
    again = tenant.charge(token, key=key, obligation="I-1")
    assert again.status_code == 201 or again.get_json()["code"] == "already_paid"
    assert tenant.charge(token, obligation="I-1", amount=1).get_json()["code"] == "already_paid"
    [payment] = payments(tenant, "I-1")
    assert payment["amount"] == 1234
    [row] = rows(own_house, charges, tenant_id=tenant.id, state="succeeded")
    assert row.amount_captured == 1234


def test_a_file_that_is_copied_over_a_running_one(tmp_path: Path, sandbox: Sandbox) -> None:
    """Its last beat is earlier than what this process has seen: in doubt, until the worker began anew and walked."""
    home = tmp_path / "house"
    house = build_house(home, f"sqlite:///{tmp_path}/records.db", f"sqlite:///{tmp_path}/keystore.db", sandbox)
    tenant = house.tenant()
    second_account(tenant)
    token = tenant.token()["id"]
    copy = backup(house.components.records, tmp_path / "copy")
    with transaction(house.components.records) as tx:  # the worker's next beat
        tx.execute(update(beat_table).values(at=database_clock()))
    assert not waits(tenant.charge(token, obligation="I-1"))
    restore(house.components.records, copy)
    assert known(tenant) == [False, False]
    assert waits(tenant.charge(token, obligation="I-1"))
    beats.beat(house.components.records)
    assert house.work()[1] == []
    assert known(tenant) == [True, True]
    again = tenant.charge(token, obligation="I-1")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert len(payments(tenant, "I-1")) == 1
    house.components.close()
