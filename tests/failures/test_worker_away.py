"""No worker runs: what waits for it waits, calls go on, and all of it ends once one is started."""

import urllib.error
import urllib.request

import pytest
from failure_scene import WELL, ask, assert_paid_as_told, charge, outcomes, row, under_load, until
from house import House, Tenant, end_waits, serve
from noticing import figure
from ports import free_port
from running_worker import worker
from sqlalchemy import select, update

from rows.engine import reading, transaction
from vault.tables import event_deliveries, processor_accounts

OLDEST = 'panless_intents_oldest_seconds{state="pending"}'


def works(bind: str) -> bool:
    """Whether the worker's own socket says that it lives."""
    try:
        with urllib.request.urlopen(f"http://{bind}/livez", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def attempts(tenant: Tenant) -> int:
    """How many events were brought to the tenant's endpoint, or could not be."""
    with reading(tenant.house.components.records) as connection:
        mine = select(event_deliveries.c.attempts).where(event_deliveries.c.tenant_id == tenant.id)
        return sum(connection.scalars(mine))


def lose_commits(tenant: Tenant) -> None:
    """As after a failover: the account is known on another instance than this one."""
    with transaction(tenant.house.components.records) as tx:
        mine = processor_accounts.c.tenant_id == tenant.id
        tx.execute(update(processor_accounts).where(mine).values(known_on=None))


@row("the worker")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_no_worker(own_house: House) -> None:
    """Unknown outcomes, erasures, events and doubt wait; the age of what is unknown tells; then a worker ends them."""
    tenant, lost, binds = own_house.tenant(), own_house.tenant(), [f"127.0.0.1:{free_port()}" for _ in range(2)]
    key, token, gone = tenant.keys["all"], tenant.token(), tenant.token()["customer"]
    assert tenant.call("POST", "/v1/webhook-endpoints", {"url": "https://127.0.0.1/hooks"}).status_code == 201
    card, waits = lost.token()["id"], (503, "in_doubt")
    lose_commits(lost)
    with (
        serve(own_house, free_port(), PANLESS_METRICS_BIND=binds[0], PANLESS_WORKERS="1") as (_, url),
        under_load(url, key, token) as load,
    ):
        own_house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
        until(lambda: 202 in {each.status for each in load.told})
        [unknown] = [each for each in load.told if each.status == 202]
        shown = f"{url}/v1/charges/{unknown.body['id']}"
        erasing = f"{url}/v1/customers/{gone}"
        assert ask(erasing, key, "DELETE").status == 202
        until(lambda: figure(binds[0], OLDEST) > 5)
        assert outcomes(load.next(12)) == WELL
        assert (ask(shown, key).body["status"], ask(erasing, key, "DELETE").status) == ("unknown", 202)
        assert (attempts(tenant), charge(url, lost.keys["all"], card).outcome, works(binds[1])) == (0, waits, False)
        end_waits(own_house)
        with worker(own_house, PANLESS_WORKER_METRICS_BIND=binds[1]):
            until(lambda: works(binds[1]))
            until(lambda: ask(shown, key).body["status"] == "succeeded")
            until(lambda: ask(erasing, key, "DELETE").status == 200)
            until(lambda: attempts(tenant) > 0 and charge(url, lost.keys["all"], card).status == 201)
            until(lambda: figure(binds[0], OLDEST) < 5)
    assert outcomes(load.told) == WELL | {(202, None)}
    assert_paid_as_told(tenant, load.told)
