"""The ledger is away, and the databases are not those that it vouched for: nothing is served."""

from pathlib import Path

import pytest
from backups import backup, restore
from failure_scene import Told, charge, outcomes, patient, read, row, until
from house import serve
from ledger_scene import AWAY, InBucket
from noticing import GOOD, probe
from ports import free_port

ONE = {"PANLESS_WORKERS": "1"}


@row("the erasure ledger")
@pytest.mark.parametrize("which", ["records", "keystore"])
def test_restored_meanwhile(which: str, in_bucket: InBucket, tmp_path: Path) -> None:
    """A server that runs, and one that starts, refuse a database that was put back, until the ledger is back."""
    house = in_bucket.house
    with serve(house, free_port(), **ONE) as (_, url):
        engine = getattr(house.components, which)
        copy = backup(engine, tmp_path / "copy")
        with in_bucket.front.gone():
            restore(engine, copy)
            assert_refused_here_and_in_a_new_one(in_bucket, url)
        until(lambda: probe(url, "/readyz") == GOOD)
        assert patient(lambda: charge(url, in_bucket.key, in_bucket.token["id"])).status == 201


@row("the erasure ledger")
def test_started_anew_meanwhile(in_bucket: InBucket) -> None:
    """A server that runs, and one that starts, refuse databases that started anew, until the ledger is back."""
    with serve(in_bucket.house, free_port(), **ONE) as (_, url):
        assert charge(url, in_bucket.key, in_bucket.token["id"]).status == 201
        with in_bucket.front.gone():
            in_bucket.server.stop()
            in_bucket.server.start()
            assert_refused_here_and_in_a_new_one(in_bucket, url)
        until(lambda: probe(url, "/readyz") == GOOD)
        assert patient(lambda: charge(url, in_bucket.key, in_bucket.token["id"])).status == 201


def assert_refused_here_and_in_a_new_one(in_bucket: InBucket, url: str) -> None:
    with serve(in_bucket.house, free_port(), **ONE) as (_, new):
        for each in (url, new):
            told = asked_until_refused(in_bucket, each)
            assert {one.status for one in told} == {503}
            assert probe(each, "/readyz") == AWAY
            assert probe(each, "/livez") == GOOD


def asked_until_refused(in_bucket: InBucket, url: str) -> list[Told]:
    """What is charged and looked at until ten in a row are refused: a process may still hold connections that ended."""
    told: list[Told] = []
    until(
        lambda: (
            told.append(charge(url, in_bucket.key, in_bucket.token["id"]))
            or told.append(read(url, in_bucket.key, in_bucket.token["customer"]))
            or outcomes(told[-10:]) == {AWAY}
        )
    )
    return told
