"""Drills on a cluster as it is run: Patroni, HAProxy, PgBouncer, both databases on it. Nobody pays twice."""

from collections.abc import Callable
from pathlib import Path

import pytest
from drill_scene import Shop
from patroni import cluster
from patroni_scene import Scene, scene_on

DIED = {"0", "503 database_unavailable", "503 overloaded"}
WAITS = {*DIED, "503 in_doubt"}
STOOD_STILL = 150.0


def assert_told_no_worse(scene: Scene) -> None:
    """An outage, and where a tenant has several accounts, to wait for its walk."""
    for shop in scene.shops:
        assert bad(shop) <= (WAITS if shop is scene.two else DIED), shop.told


def bad(shop: Shop) -> set[str]:
    """Answers that are 5xx or none."""
    return {each for each in shop.told if each[0] in "05"}


@pytest.fixture(autouse=True)
def _user_of_servers(postgresql: str) -> None:
    """The session's own server makes the user that these run as."""
    assert postgresql


def test_a_planned_switchover(tmp_path: Path) -> None:
    """Nothing is lost, and what Panless adds to PostgreSQL's own time is at most 2 s."""
    with cluster(synchronous=True) as servers, scene_on(servers, tmp_path, "pooler", "hosts") as scene:
        scene.pay_while((4, lambda: scene.until_served(servers.switch_over())), (5, lambda: None))
        scene.end()
        assert_told_no_worse(scene)
        assert (scene.recovered, scene.gone()) == (0, 0)
        for lane in scene.lanes:
            assert lane.beyond <= 2


@pytest.mark.parametrize("synchronous", [True, False], ids=["synchronous", "asynchronous"])
def test_a_primary_that_is_killed(tmp_path: Path, synchronous: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Its last seconds reach no standby: acknowledged ones are lost where they may be, and paid once all the same."""
    with cluster(synchronous=synchronous) as servers, scene_on(servers, tmp_path, "proxy", "hosts") as scene:
        scene.pay_while((4, servers.send_nothing), (2, lambda: scene.until_served(servers.kill())), (5, lambda: None))
        scene.end()
        assert_told_no_worse(scene)
        assert (scene.recovered > 0, scene.gone() > 0) == (not synchronous, not synchronous)
        for lane in scene.lanes:
            assert lane.beyond <= 5


def test_a_primary_that_stands_still(tmp_path: Path) -> None:
    """For so long that another is promoted; then it goes on, and Patroni makes it a standby. Nobody pays twice."""
    with cluster(synchronous=False) as servers, scene_on(servers, tmp_path, "pooler", "hosts") as scene:
        frozen: list[Callable[[], None]] = []

        def stand_still() -> None:
            old, go_on = servers.freeze()
            scene.until_served(old)
            frozen.append(go_on)

        def go_on() -> None:
            frozen[0]()

        scene.pay_while((4, stand_still), (STOOD_STILL, go_on), (0, servers.until_all_follow))
        scene.end()
        scene.gone()
        assert_told_no_worse(scene)
        for lane in scene.lanes:
            assert lane.beyond <= 15
