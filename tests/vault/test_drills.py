"""Drills: server, worker and processor under load while what the records lie in is replaced. Nobody pays twice."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from drill_scene import Shop, here, judge, let_go, shop_with, under_load, until_known
from house import House, Tenant, build_house, open_house, run_sandbox, serve
from ports import free_port
from records_scene import row, rows
from roles import house_apart, working
from running_worker import worker
from sqlalchemy import make_url
from standby import Pair

from vault.processing.accounts import credentials_of
from vault.tables import audit_entries, processor_accounts

SETTINGS = {"PANLESS_RUN_AS_ROOT": "always"}


@dataclass
class Scene:
    """A deployment that serves and works: one tenant with one account, one with two."""

    house: House
    one: Shop
    two: Shop
    stop: Callable[[], object]
    """Ends its server and its worker."""

    @property
    def shops(self) -> tuple[Shop, Shop]:
        return self.one, self.two

    def end(self) -> None:
        """Nobody asks anything new: what was asked is known, and judged."""
        let_go(self.house)
        until_known(self.house, self.shops)
        judge(self.house, self.shops)

    @property
    def recovered(self) -> int:
        """How many charges were lost, and written again from what the processor has."""
        return len(rows(self.house, audit_entries, action="charge.recover"))


@contextmanager
def scene_of(house: House, worked: House) -> Iterator[Scene]:
    """Serve and work; where users have roles, `worked` is what the worker is given."""
    with ExitStack() as running:
        _, url = running.enter_context(serve(house, free_port()))
        log = running.enter_context(worker(worked))
        while b"worker_started" not in log.read_bytes():
            time.sleep(0.1)
        one, two = (shop_with(house, url, accounts=number) for number in (1, 2))
        yield Scene(house=house, one=one, two=two, stop=running.close)


@pytest.fixture
def scene(both: Pair, postgresql: str, tmp_path: Path) -> Iterator[Scene]:
    """On PostgreSQL with its roles, the keystore on a server of its own."""
    with (
        run_sandbox(tmp_path) as sandbox,
        house_apart(tmp_path / "house", both.admin_url, sandbox, keystore=postgresql, **SETTINGS) as house,
        scene_of(house, working(house)) as started,
    ):
        both.catch_up()
        yield started


def answers_with(shop: Shop, *said: str) -> int:
    """How many answers were 5xx or none, all of which were among these."""
    bad = [each for each in shop.told.elements() if each[0] in "05"]
    assert set(bad) <= set(said), shop.told
    return len(bad)


DIED = ("0", "503 database_unavailable", "503 overloaded")
WAITS = (*DIED, "503 in_doubt")
SERVED = ("200", "201", "202", "409 already_paid", "409 in_doubt", "409 in_progress", "409 refund_in_doubt")
"""Answers that refuse nothing new: of what is paid, or being paid, and of a refund like one that was just made."""


def test_a_restart_in_place(scene: Scene, both: Pair) -> None:
    """A tenant with one account is refused nothing; one with two waits for its own walk, whoever else waits longer."""
    stuck = shop_with(scene.house, "", accounts=1).tenant
    refuse_key(scene.house, stuck)
    under_load(scene.house, scene.shops, (4, both.restart))
    answers_with(scene.one, *DIED)
    answers_with(scene.two, *WAITS)
    scene.end()
    answers_with(scene.one, *DIED)
    answers_with(scene.two, *WAITS)
    assert scene.two.told["503 in_doubt"] > 0
    assert set(scene.one.told) <= {*DIED, *SERVED}, scene.one.told
    assert row(scene.house, processor_accounts, account_id=stuck.account).known_on != here(scene.house)


def test_a_promoted_standby_that_lost_commits(scene: Scene, both: Pair) -> None:
    """What it never got is paid once all the same, and what clients were told then is still so."""
    under_load(scene.house, scene.shops, (2, both.fall_behind), (3, both.fail_over))
    answers_with(scene.one, *DIED)
    answers_with(scene.two, *WAITS)
    scene.end()
    assert scene.recovered > 0


def test_a_base_backup_in_the_primarys_place(scene: Scene, both: Pair) -> None:
    """Started without any recovery, it is on the same timeline and lacks seconds: paid once, as clients were told."""
    under_load(scene.house, scene.shops, (1, both.back_up), (2, both.put_back))
    answers_with(scene.one, *DIED)
    answers_with(scene.two, *WAITS)
    scene.end()
    assert scene.recovered > 0


def test_a_file_that_is_copied_over_a_running_one(tmp_path: Path) -> None:
    """SQLite: the file of some seconds ago is put in its place while server and worker have it open."""
    records, keystore = (f"sqlite:///{tmp_path}/{name}.db" for name in ("records", "keystore"))
    with run_sandbox(tmp_path) as sandbox:
        house = build_house(tmp_path / "house", records, keystore, sandbox)
        with scene_of(house, house) as scene:
            file, copy = tmp_path / "records.db", tmp_path / "copy.db"
            under_load(house, scene.shops, (2, lambda: copied(file, file, copy)), (3, lambda: copied(file, copy, file)))
            answers_with(scene.one, *DIED)
            answers_with(scene.two, *WAITS)
            scene.end()
            assert scene.recovered > 0
        house.components.close()


def copied(file: Path, source: Path, to: Path) -> None:
    """Copy the file, or a copy over it, in a moment in which nobody reads or writes half of it."""
    connection = sqlite3.connect(file, timeout=30, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    shutil.copy(source, to)
    connection.close()


def test_an_old_primary_that_goes_on(scene: Scene, both: Pair, tmp_path: Path) -> None:
    """Two servers take orders for the same obligations, each on its own primary, with the same key and with others."""
    with ExitStack() as after:
        new: list[Scene] = []

        def split() -> None:
            _, port = both.split()
            new.append(after.enter_context(promoted(scene, port, tmp_path / "promoted")))

        under_load(scene.house, scene.shops, (1, both.fall_behind), (2, split), (3, lambda: None))
        answers_with(scene.one, *DIED)
        answers_with(scene.two, *WAITS)
        scene.stop()  # the old primary's server and worker, at last
        new[0].end()
        assert new[0].recovered > 0


@contextmanager
def promoted(scene: Scene, port: int, home: Path) -> Iterator[Scene]:
    """The deployment on the promoted standby, with a server and a worker of its own: clients ask there, too."""
    home.mkdir()
    served, worked = (moved(house, port, home) for house in (scene.house, working(scene.house)))
    with ExitStack() as running:
        running.enter_context(worker(worked))
        _, url = running.enter_context(serve(served, free_port()))
        house = open_house(home, worked.environment, scene.house.sandbox)
        running.callback(house.components.close)
        for shop in scene.shops:
            shop.urls.append(url)
        one, two = (replace(each, urls=[url], tenant=replace(each.tenant, house=house)) for each in scene.shops)
        yield Scene(house=house, one=one, two=two, stop=running.close)


def moved(house: House, port: int, home: Path) -> House:
    """The deployment over the records at this port."""
    records = make_url(house.environment["PANLESS_RECORDS_URL"]).set(port=port).render_as_string(hide_password=False)
    return replace(house, home=home, environment=house.environment | {"PANLESS_RECORDS_URL": records})


def refuse_key(house: House, tenant: Tenant) -> None:
    """The processor knows this account's key no more: nobody can walk through it."""
    account = row(house, processor_accounts, account_id=tenant.account)
    key = credentials_of(house.components.keyring, tenant.id, account).api_key.value
    house.sandbox.hook("POST", "/_keys", {"key": key, "refused": 401})
