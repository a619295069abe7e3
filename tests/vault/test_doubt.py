"""Records that may have lost commits: who must wait, who need not, and that nobody pays twice meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import House, Sandbox, Tenant, build_house, open_house, word
from postgres import create_database, own_server
from records_scene import catch_up, interpose, rows, second_account, work
from roles import house_apart
from sqlalchemy import make_url, select, update
from standby import Pair, pair

from api.parts import NAME
from keys.database import reading, transaction
from vault.columns import database_clock, instance
from vault.money.charges import obligation_digest
from vault.processing import beats
from vault.recovering import walking
from vault.recovering.walk_turns import Turns
from vault.tables import beats as beat_table
from vault.tables import charges, processor_accounts, refunds

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


@pytest.fixture
def both(postgresql: str) -> Iterator[Pair]:
    """A primary and its standby; the session's own server made the user that they run as."""
    assert postgresql
    with pair() as running:
        yield running


def let_go(house: House) -> None:
    """Drop the connections to a server that is gone, the door's own too, and have its guard look again."""
    door = house.app.extensions[NAME]
    for engine in (house.components.records, house.components.keystore, door.records, door.ledger.keystore):
        engine.dispose()
    door.guard.check()


def known(tenant: Tenant) -> list[bool]:
    """Of each account of the tenant, whether these records are certain to have all of it."""
    with reading(tenant.house.components.records) as connection:
        here = connection.scalar(select(instance()))
    return [each.known_on == here for each in rows(tenant.house, processor_accounts, tenant_id=tenant.id)]


def waits(answer: Any) -> bool:
    """Whether the order is told to come again later, and when."""
    if answer.status_code != 503:
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return False
    assert answer.get_json()["code"] == "in_doubt"
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def payments(tenant: Tenant, obligation: str) -> list[dict[str, Any]]:
    """What the processor has been paid for an obligation, whatever our records say."""
    digest = obligation_digest(tenant.house.components.keyring, tenant.caller, obligation)
    assert digest is not None
    return [
        each for each in tenant.house.sandbox.book()["charges"] if each["metadata"].get("panless_for") == digest.hex()
    ]


def last_alive(house: House, seconds: int) -> None:
    """Let the last beats of all instances but this one be so many seconds ago."""
    with transaction(house.components.records) as tx:
        others = beat_table.c.instance != instance()
        assert tx.execute(update(beat_table).where(others).values(at=database_clock(-seconds))).rowcount == 1


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


def on_pair(home: Path, both: Pair, sandbox: Sandbox) -> tuple[House, Tenant, str]:
    """A house over both servers, and a tenant with a token."""
    house = build_house(home, both.url, f"sqlite:///{home}.keystore.db", sandbox)
    beats.beat(house.components.records)
    tenant = house.tenant()
    return house, tenant, tenant.token()["id"]


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
    """The same call at both: what the new one is refused while the old one's is on its way was not refused for good."""
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
    """The same call at both: the new one's refusal does not stand where the old one's call then gives back."""
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
