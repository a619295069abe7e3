"""The store of rate limits is away."""

import urllib.request
from collections.abc import Iterator

import pytest
from failure_scene import WELL, assert_paid_as_told, outcomes, row, under_load, until
from house import House, serve
from noticing import GOOD, figure, probe
from ports import free_port
from redis_standin import Store

UNCOUNTED = "panless_rate_limits_uncounted_total"


@pytest.fixture
def store(free_port: int) -> Iterator[Store]:
    made = Store(free_port)
    yield made
    made.stop()


@row("the store of rate limits")
@pytest.mark.parametrize("own_house", ["postgresql"], indirect=True)
def test_the_store_is_away(own_house: House, store: Store) -> None:
    """Nobody is refused or waits; how many calls were let through uncounted is counted, until it is back."""
    tenant, bind = own_house.tenant(), f"127.0.0.1:{free_port()}"
    limits = {
        "RATE_LIMIT": "9000/hour",
        "RATE_LIMIT_STORE": f"redis://127.0.0.1:{store.port}/0",
        "METRICS_BIND": bind,
        "WORKERS": "1",
    }
    settings = {f"PANLESS_{name}": value for name, value in limits.items()}
    with (
        serve(own_house, free_port(), **settings) as (_, url),
        under_load(url, tenant.keys["all"], tenant.token()) as load,
    ):
        assert outcomes(load.next()) == WELL
        assert figure(bind, UNCOUNTED) == 0
        assert is_counted(url, tenant.keys["all"])
        store.stop()
        told = load.next(12)
        assert not is_counted(url, tenant.keys["all"])
        until(lambda: figure(bind, UNCOUNTED) > 12)
        assert probe(url, "/readyz") == GOOD
        assert max(each.at - each.begun for each in told) < 5
        store.start()
        until(lambda: is_counted(url, tenant.keys["all"]))
    assert outcomes(load.told) == WELL
    assert_paid_as_told(tenant, load.told)


def is_counted(url: str, key: str) -> bool:
    """Whether an answer says how its client stands with the limit."""
    request = urllib.request.Request(f"{url}/v1/charges", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return "RateLimit" in answer.headers
