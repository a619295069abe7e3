"""A database that started anew, and one that is an older copy, under load."""

from pathlib import Path

import pytest
from backups import backup, restore
from commands import panless
from failure_scene import WELL, Told, ask, assert_paid_as_told, charge, outcomes, patient, read, row, under_load, until
from house import House, Tenant, serve, word
from noticing import GOOD, figure, logged, probe
from ports import free_port
from running_worker import worker
from sqlalchemy import update
from two_servers import TwoServers

from rows.clock import database_clock
from rows.engine import transaction
from vault.processing import beats
from vault.tables import beats as beat_table

DAY = 24 * 3600
DOUBTFUL, WELL_PAID = (503, "in_doubt"), (201, None)


def with_two_accounts(house: House) -> Tenant:
    tenant = house.tenant()
    order = {"kind": "sandbox", "label": "second", "credentials": {"api_key": f"sk_test_{word()}"}}
    assert tenant.call("POST", "/v1/processor-accounts", order).status_code == 201
    return tenant


def without_obligation(url: str, key: str, token: str) -> Told:
    order = {"token": token, "amount": 500, "currency": "eur", "initiator": "customer"}
    return ask(f"{url}/v1/charges", key, "POST", order, Idempotency_Key=word())


def doubtful(house: House) -> str:
    """What `panless doubt list` prints."""
    return panless("doubt", "list", env=house.environment).stdout


def accounts_of(url: str, key: str) -> list[str]:
    return [each["id"] for each in ask(f"{url}/v1/processor-accounts", key).body["data"]]


def let_a_day_pass(house: House) -> None:
    """As if this instance had begun yesterday: what the one before it sent is in the processors' lists by now."""
    beats.beat(house.components.records)
    with transaction(house.components.records) as tx:
        tx.execute(update(beat_table).values(since=database_clock(-DAY)))


@row("the records are another server, or started anew")
@pytest.mark.parametrize("ends", ["walked", "waived"])
def test_the_records_started_anew(ends: str, apart: TwoServers) -> None:
    """Who has several accounts waits until they are walked through, or waived; nobody else does, and it is listed."""
    house, bind = apart.house, f"127.0.0.1:{free_port()}"
    beats.beat(house.components.records)  # as the worker does
    several, single = with_two_accounts(house), house.tenant()
    key, token, due = several.keys["all"], several.token(), word()
    with (
        serve(house, free_port(), PANLESS_METRICS_BIND=bind) as (_, url),
        under_load(url, single.keys["all"], single.token()) as load,
    ):
        before = figure(bind, "panless_doubts")
        apart.restart("records")
        until(lambda: probe(url, "/readyz") == GOOD)
        refused = patient(lambda: charge(url, key, token["id"], due))
        assert (refused.outcome, int(refused.retry_after or 0) > 0) == (DOUBTFUL, True)
        assert patient(lambda: without_obligation(url, key, token["id"])).status == 201
        assert patient(lambda: read(url, key, token["customer"])).status == 200
        until(lambda: outcomes(load.next()) == WELL)
        accounts = accounts_of(url, key)
        assert len(accounts) == sum(each in doubtful(house) for each in accounts) == 2
        until(lambda: figure(bind, "panless_doubts") > before)
        if ends == "waived":
            for account in accounts:
                assert panless("doubt", "waive", account, env=house.environment).returncode == 0
            assert charge(url, key, token["id"], due).outcome == WELL_PAID
        else:
            let_a_day_pass(house)
            with worker(house):
                until(lambda: charge(url, key, token["id"], due).outcome == WELL_PAID)
                until(lambda: figure(bind, "panless_doubts") == 0)
        assert not any(each in doubtful(house) for each in accounts)
    assert outcomes(load.told) <= WELL | {(503, "database_unavailable")}
    assert_paid_as_told(single, load.told)


@row("the keystore is another server, or started anew")
def test_the_keystore_started_anew(apart: TwoServers) -> None:
    """The guard looks at once, and nobody is in doubt: what was paid is in the records alone."""
    house, several = apart.house, with_two_accounts(apart.house)
    key, token = several.keys["all"], several.token()
    with serve(house, free_port()) as (_, url), under_load(url, key, token) as load:
        before = doubtful(house)
        assert outcomes(load.next()) == WELL
        apart.restart("keystore")
        until(lambda: outcomes(load.next()) == WELL)
        assert outcomes(load.told) <= WELL | {(503, "database_unavailable")}
        assert doubtful(house) == before
    assert_paid_as_told(several, load.told)


@row("records or keystore are an older copy")
@pytest.mark.parametrize(("which", "code"), [("records", "records_restored"), ("keystore", "keystore_restored")])
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_an_older_copy(own_house: House, which: str, code: str, tmp_path: Path) -> None:
    """Each call is 503 with what was found, readiness and the guard too, until `panless erasure replay` has run."""
    tenant, bind = own_house.tenant(), f"127.0.0.1:{free_port()}"
    key, gone, stays, engine = tenant.keys["all"], tenant.token(), tenant.token(), getattr(own_house.components, which)
    copy = backup(engine, tmp_path / "copy")
    with serve(own_house, free_port(), PANLESS_METRICS_BIND=bind, PANLESS_WORKERS="1") as (_, url):
        assert ask(f"{url}/v1/customers/{gone['customer']}", key, "DELETE").status == 202
        restore(engine, copy)
        with under_load(url, key, stays) as load:
            until(lambda: outcomes(load.next()) == {(503, code)})
            assert outcomes(load.told) <= {(503, code), (503, "database_unavailable")}
            assert (probe(url, "/readyz"), probe(url, "/livez")) == ((503, code), GOOD)
            until(lambda: figure(bind, f'panless_guard_verdict{{verdict="{code}"}}') == 1)
            assert "These databases may serve" in panless("erasure", "replay", env=own_house.environment).stdout
            until(lambda: outcomes(load.next()) == WELL)
        assert probe(url, "/readyz") == GOOD
        assert charge(url, key, gone["id"]).outcome == (410, "erased")
    assert code in {each["code"] for each in logged(own_house.home / "server.log", "verdict")}
