"""A database that does not answer, under load."""

import time

import psutil
import pytest
from failure_scene import CLIENTS, WELL, Told, assert_paid_as_told, outcomes, paid, row, under_load, until
from house import Sandbox, end_waits, serve
from noticing import GOOD, figure, logged, probe
from ports import free_port
from postgres import frozen
from two_servers import TwoServers

SECONDS = 3.0
"""PANLESS_DATABASE_TIMEOUT here."""

SLACK = 4.0
"""For what else the machine does meanwhile, and for a second statement on another connection."""

ON_THE_WAY = SECONDS + SLACK
"""How long the processor keeps an answer back: longer than this machine may stand still meanwhile."""

AWAY = (503, "database_unavailable")


@row("records or keystore do not answer")
@pytest.mark.parametrize("which", ["records", "keystore"])
def test_a_database_does_not_answer(which: str, apart: TwoServers) -> None:
    """Calls end with 503 in time, what was sent is 202; readiness and the guard notice; then all is well by itself."""
    house, tenant, bind = apart.house, apart.house.tenant(), f"127.0.0.1:{free_port()}"
    token, verdict = tenant.token(), 'panless_guard_verdict{verdict="database_unavailable"}'
    settings = {"PANLESS_DATABASE_TIMEOUT": str(SECONDS), "PANLESS_METRICS_BIND": bind}
    with serve(house, free_port(), **settings) as (_, url), under_load(url, tenant.keys["all"], token) as load:
        assert outcomes(load.next()) == WELL
        wait_until_some_are_sent(house.sandbox)
        with frozen(apart.servers[which]):
            gone_at = time.monotonic()
            assert probe(url, "/readyz") == AWAY
            assert time.monotonic() - gone_at < 2 + SLACK
            assert until(lambda: figure(bind, verdict) == 1) < 10 + SECONDS + SLACK
            load.next()
            assert probe(url, "/livez") == GOOD
            back_at = time.monotonic()
        until(lambda: probe(url, "/readyz") == GOOD)
        assert outcomes(load.next()) == WELL
    look_at_refused([each for each in load.told if gone_at < each.begun < back_at - SECONDS - SLACK])
    sent = [each for each in load.told if each.begun < gone_at < each.at - 1 and each.status != 503]
    assert {each.status for each in sent} <= ({202} if which == "records" else {201, 202})
    assert sent, [(each.what, each.outcome, each.begun - gone_at, each.at - gone_at) for each in load.told]
    assert "database_unavailable" in {each["code"] for each in logged(house.home / "server.log", "verdict")}
    end_waits(house)
    assert house.work()[1] == []
    assert_paid_as_told(tenant, load.told)
    assert set(paid(tenant, sent).values()) == {1}
    shown = [tenant.call("GET", f"/v1/charges/{each.body['id']}").get_json()["status"] for each in sent]
    assert set(shown) == {"succeeded"}


@row("records or keystore do not answer")
def test_a_process_that_dies_meanwhile(apart: TwoServers) -> None:
    """Another one comes in its place once the database is back: nobody has to start the server again."""
    with serve(apart.house, free_port(), PANLESS_DATABASE_TIMEOUT="1") as (program, url):
        until(lambda: len(logged(apart.house.home / "server.log", "verdict")) > 1 and probe(url, "/readyz") == GOOD)
        first, last = psutil.Process(program.pid).children()
        with frozen(apart.servers["records"]):
            first.kill()
            until(lambda: logged(apart.house.home / "server.log", "not_started"))
        last.kill()  # whoever answers now came later
        until(lambda: probe(url, "/readyz") == GOOD)
        assert program.poll() is None


def wait_until_some_are_sent(sandbox: Sandbox) -> None:
    """Until the processor has taken money and not answered yet; each client may have sent one that is answered."""
    sandbox.fault(path="/v1/payment_intents", do="delay", seconds=ON_THE_WAY, when="after", times=100)
    before = len(sandbox.book()["charges"])
    until(lambda: len(sandbox.book()["charges"]) > before + CLIENTS)
    sandbox.clear()


def look_at_refused(refused: list[Told]) -> None:
    """All with the code, within the deadline, and with when to come back."""
    assert outcomes(refused) == {AWAY}
    assert max(each.at - each.begun for each in refused) < SECONDS + SLACK
    assert {each.retry_after for each in refused} <= {"1", "10"}
