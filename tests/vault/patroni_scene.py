"""A deployment on a cluster: a server by each of two ways, a worker, clients that pay; and how long nobody could."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from apart import until
from drill_scene import Asked, Shop, judge, let_go, shop_with, under_load, until_known
from house import House, run_sandbox, serve
from moments import Moments, all_noted, longest_without
from newcomers import Newcomer, comes, judge_newcomers
from patroni import Cluster, Node
from ports import free_port
from records_scene import rows
from roles import URLS, as_user, house_apart, working
from running_worker import worker
from sqlalchemy import make_url
from ways import Way, ways, writes

from vault.tables import audit_entries

SETTINGS = {"PANLESS_RUN_AS_ROOT": "always"}
CLIENTS, PROBES, PAUSE = 3, 2, 0.1
SHOPPERS_PAUSE = 1.0
"""At most, between two things that a shopper does: an outage of half a minute leaves some hundreds to do again."""

KNOWN_WITHIN = 120.0
"""A dozen programs besides, on a machine that tests something else, too: only what is measured is held to its time."""

ACCEPTED, UNAVAILABLE = 201, 503
ONE_ROW = "UPDATE deployment SET deployment_id = deployment_id"


@dataclass
class Lane:
    """A server and its way to the databases: a tenant with one account pays there; PostgreSQL's own time beside it."""

    way: Way
    shop: Shop
    ours: Sequence[Moments]
    theirs: Sequence[Moments]

    @property
    def beyond(self) -> float:
        """Seconds without an accepted charge, less those without a row that is updated the same way."""
        ours, theirs = longest_without(self.ours), longest_without(self.theirs)
        print(f"{self.way.name}: PostgreSQL {theirs:.1f} s, ours {ours:.1f} s")  # noqa: T201  # what is told where it fails
        return ours - theirs


@dataclass
class Scene:
    """Who pays, and is judged: tenants with one and with two accounts at both servers at once, and one on each lane."""

    cluster: Cluster
    house: House
    one: Shop
    two: Shop
    lanes: Sequence[Lane]
    newcomers: list[Newcomer] = field(default_factory=list)
    """Who came amid the drill and was told that they have paid."""

    @property
    def shops(self) -> list[Shop]:
        return [self.one, self.two, *(lane.shop for lane in self.lanes)]

    def pay_while(self, *steps: tuple[float, Callable[[], object]]) -> None:
        """Everybody pays while the steps are taken."""
        tries = [each for lane in self.lanes for each in (*lane.ours, *lane.theirs)]
        tries += [Moments(comes(lane.shop, self.newcomers), 5 * PAUSE) for lane in self.lanes]
        with all_noted(*tries):
            under_load(self.house, [self.one, self.two], *steps, pause=SHOPPERS_PAUSE)

    def until_served(self, old: Node) -> None:
        """Until another node leads and on each lane both go well again."""
        self.cluster.until_led_by_another(old)
        since = max(moment for lane in self.lanes for each in lane.theirs for moment in each.good)
        for lane in self.lanes:
            for tries in (lane.theirs, lane.ours):
                tries[0].after(since)

    def end(self) -> None:
        """Nobody asks anything new: what was asked is known, and judged."""
        let_go(self.house)
        until_known(self.house, self.shops, KNOWN_WITHIN)
        judge(self.house, self.shops)

    def gone(self) -> int:
        """How many newcomers were lost. Nobody of them pays twice."""
        return judge_newcomers(self.newcomers)

    @property
    def recovered(self) -> int:
        """How many charges were lost, and written again from what the processor has."""
        return len(rows(self.house, audit_entries, action="charge.recover"))


@contextmanager
def scene_on(cluster: Cluster, home: Path, *names: str) -> Iterator[Scene]:
    """Both databases with their roles; a server for each of these ways. The worker comes by the first."""
    with ExitStack() as running:
        sandbox = running.enter_context(run_sandbox(home))
        house = running.enter_context(house_apart(home / "house", cluster.hosts_url, sandbox, **SETTINGS))
        open_ways = running.enter_context(ways(cluster, ("postgres", *_users(house))))
        chosen = [open_ways[name] for name in names]
        servers = [running.enter_context(serve(over(house, way), free_port(), **way.settings))[1] for way in chosen]
        log = running.enter_context(worker(over(working(house), chosen[0]), **chosen[0].settings))
        until(lambda: b"worker_started" in log.read_bytes(), "the worker does not start", 60)
        one, two = (replace(shop_with(house, "", accounts=number), urls=servers) for number in (1, 2))
        lanes = [_lane(house, way, url) for way, url in zip(chosen, servers, strict=True)]
        yield Scene(cluster=cluster, house=house, one=one, two=two, lanes=lanes)


def over(house: House, way: Way) -> House:
    """The deployment whose databases are reached this way."""
    return replace(house, environment=house.environment | {name: way.to(house.environment[name]) for name in URLS})


def _users(house: House) -> set[str]:
    urls = [working(house).environment["PANLESS_RECORDS_URL"], *(house.environment[name] for name in URLS)]
    return {make_url(url).username or "" for url in urls}


def _lane(house: House, way: Way, url: str) -> Lane:
    shop = shop_with(house, url, accounts=1)
    records = way.to(as_user(house.environment["PANLESS_RECORDS_URL"], "postgres"))
    ours = [Moments(_pays(shop), PAUSE) for _ in range(CLIENTS)]
    theirs = [Moments(lambda: writes(records, ONE_ROW), PAUSE) for _ in range(PROBES)]
    return Lane(way=way, shop=shop, ours=ours, theirs=theirs)


def _pays(shop: Shop) -> Callable[[], bool]:
    """A client that pays one thing after the other; where it is told that nothing was begun, the same once more."""
    waiting: list[Asked] = []

    def pay() -> bool:
        asked = shop.ask(waiting.pop().order) if waiting else shop.pay()
        waiting.extend([asked] if asked.status == UNAVAILABLE else [])
        return asked.status == ACCEPTED

    return pay
