"""The erasure ledger's store is away, under load: charges go on, in a server that starts meanwhile too."""

from datetime import timedelta
from typing import Any

import pytest
from commands import panless
from failure_scene import WELL, ask, assert_paid_as_told, charge, outcomes, read, row, until
from house import House, Tenant, serve
from ledger_scene import AWAY, InBucket
from noticing import logged, probe
from ports import free_port
from running_worker import worker

from vault.ledger.guard import Guard

HOUR = timedelta(hours=1)


def orders(url: str, key: str, people: dict[str, dict[str, Any]]) -> dict[str, tuple[int, str | None]]:
    """What must be on the ledger before it is done, each about another customer; what was told."""
    of = {name: f"{url}/v1/customers/{token['customer']}" for name, token in people.items()}
    return {
        "erasure": ask(of["erasure"], key, "DELETE").outcome,
        "deletion": ask(f"{url}/v1/tokens/{people['deletion']['id']}", key, "DELETE").outcome,
        "hold": ask(f"{of['hold']}/holds", key, "POST", {"reason": "audit"}).outcome,
        "restriction": ask(f"{of['restriction']}/restriction", key, "PUT", {"ground": "objection"}).outcome,
    }


def carried_out(url: str, key: str, people: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What has become of them."""
    of = {name: f"{url}/v1/customers/{token['customer']}" for name, token in people.items()}
    return {
        "erasure": read(url, key, people["erasure"]["customer"]).status,
        "deletion": ask(f"{url}/v1/tokens/{people['deletion']['id']}", key).body["status"],
        "hold": [each["in_force"] for each in ask(f"{of['hold']}/holds", key).body["data"]],
        "restriction": charge(url, key, people["restriction"]["id"]).status,
    }


def revoked(house: House, tenant: Tenant, name: str) -> tuple[int, str]:
    """`panless clients revoke` of a client by its name."""
    listed = panless("clients", "list", "--tenant", tenant.id, env=house.environment).stdout
    [client] = [line.split()[0] for line in listed.splitlines() if name in line.split()]
    done = panless("clients", "revoke", "--tenant", tenant.id, "--client", client, env=house.environment)
    return done.returncode, done.stderr


@row("the erasure ledger")
def test_charges_go_on(in_bucket: InBucket) -> None:
    """Also after an hour, and in a server that starts meanwhile; what needs the ledger is 503, and done later.

    Log and `panless check` say so.
    """
    house, key = in_bucket.house, in_bucket.key
    people = {name: in_bucket.tenant.token() for name in ("erasure", "deletion", "hold", "restriction")}
    moment = [house.components.clock()]
    guard = Guard(records=house.components.records, ledger=house.components.ledger, clock=lambda: moment[0], grace=None)
    assert guard.check().is_good
    with serve(house, free_port()) as (_, url), in_bucket.loaded(url) as load:
        assert outcomes(load.next()) == WELL
        with in_bucket.front.gone():
            assert set(orders(url, key, people).values()) == {AWAY}
            assert revoked(house, in_bucket.tenant, "auditor")[0] == 1
            assert outcomes(load.next()) == WELL
            moment[0] += HOUR
            assert (guard.check().is_good, guard.verdict.cause != "") == (True, True)
            found = panless("check", env=house.environment).stdout
            assert "The erasure ledger does not answer: erasures wait for it." in found
            with serve(house, free_port()) as (_, second), in_bucket.loaded(second) as there:
                assert outcomes(there.next()) == WELL
                assert ask(f"{second}/v1/tokens/{in_bucket.tenant.token()['id']}", key, "DELETE").outcome == AWAY
            until(lambda: any(each["cause"] for each in logged(house.home / "server.log", "verdict")))
            assert outcomes(load.next()) == WELL
        with worker(house):
            done = {"erasure": 410, "deletion": "detached", "hold": [True], "restriction": 423}
            until(lambda: carried_out(url, key, people) == done)
        assert ask(f"{url}/v1/audit/checkpoint", in_bucket.tenant.keys["auditor"]).status == 401
        assert outcomes(load.next()) == WELL
    assert outcomes(load.told) == outcomes(there.told) == WELL
    assert_paid_as_told(in_bucket.tenant, load.told + there.told)


@row("the erasure ledger")
def test_a_ledger_that_hangs(in_bucket: InBucket) -> None:
    """Nobody who charges or looks waits for it, however long it takes to say nothing."""
    with serve(in_bucket.house, free_port()) as (_, url), in_bucket.loaded(url) as load:
        with in_bucket.front.slow(8):  # longer than a call to a bucket may take
            told = load.next()
            until(lambda: any(each["cause"] for each in logged(in_bucket.house.home / "server.log", "verdict")))
            told += load.next()
        assert outcomes(load.told) == WELL
        assert max(each.at - each.begun for each in told) < 10
    assert_paid_as_told(in_bucket.tenant, load.told)


@row("the erasure ledger")
@pytest.mark.parametrize("own_house", ["sqlite"], indirect=True)
def test_on_sqlite(own_house: House) -> None:
    """A process that runs serves for 15 min, and one that starts serves nothing."""
    tenant = own_house.tenant()
    token, other, key = tenant.token(), tenant.token(), tenant.keys["all"]
    moment = [own_house.components.clock()]
    guard = Guard(records=own_house.components.records, ledger=own_house.components.ledger, clock=lambda: moment[0])
    assert guard.check().is_good
    with serve(own_house, free_port()) as (_, url):
        (own_house.home / "ledger").rename(own_house.home / "away")
        assert charge(url, key, token["id"]).status == 201
        assert ask(f"{url}/v1/customers/{other['customer']}", key, "DELETE").outcome == AWAY
        with serve(own_house, free_port()) as (_, new):
            assert probe(new, "/readyz") == AWAY
            assert charge(new, key, token["id"]).outcome == AWAY
        moment[0] += timedelta(minutes=15)
        assert guard.check().is_good
        moment[0] += timedelta(seconds=1)
        assert guard.check().code == "ledger_unavailable"
        assert charge(url, key, token["id"]).status == 201
