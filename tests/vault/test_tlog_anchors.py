"""Anchors in a bucket, anchors that hang, and what waits for them."""

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from commands import panless
from house import PURPOSE, House, make_app
from object_store import ObjectStore
from records_scene import later, rows
from sqlalchemy import select, update
from tlog_scene import log, look

from rows.engine import transaction
from vault.errors import AnchorStale
from vault.lanes.keeping import anchor_once, rotate_once, sequence_once
from vault.stores.directory import DirectoryStore
from vault.stores.kinds import ANCHORS
from vault.stores.s3 import S3Store
from vault.tables import audit_entries, audit_logs
from vault.tlog import lateness
from vault.tlog.watched import LogWatch


def with_anchors(house: House, store: object) -> House:
    return replace(house, components=replace(house.components, logs=LogWatch(anchors=store)))  # type: ignore[arg-type]


def rounds(house: House) -> list[Exception]:
    """Half a minute of the log's two lanes; what they reported."""
    reported: list[Exception] = []
    for ahead in (0, 30):
        shop = later(house, seconds=ahead).components.workshop
        for lane in (anchor_once, sequence_once):
            lane(shop, lambda _what, error: reported.append(error))
    return reported


def test_anchors_in_a_bucket(own_house: House, objects: ObjectStore) -> None:
    """Each once, under its log and generation, locked where that is wanted, whatever the store answers meanwhile."""
    bucket = objects.bucket(lock=True)
    store = S3Store(bucket, "a/b", endpoint=objects.url, lock_days=9, kind=ANCHORS)
    house = with_anchors(own_house, store)
    tenant = replace(own_house.tenant(), house=house)
    objects.conflicts, objects.lost_answers = 1, 1
    assert rounds(house) == []
    look(tenant)
    assert rounds(later(house, seconds=60)) == []
    found = objects.client().list_objects_v2(Bucket=bucket, Prefix=f"a/b/{tenant.id}/1/")["Contents"]
    row = log(house, tenant.id)
    assert len(found) == 2
    assert found[-1]["Key"] == f"a/b/{tenant.id}/1/{row.size:020}.checkpoint"
    kept = objects.client().get_object(Bucket=bucket, Key=found[-1]["Key"])
    assert (kept["Body"].read(), kept["ObjectLockMode"]) == (row.checkpoint, "COMPLIANCE")


def test_a_bucket_knows_what_the_records_lost(own_house: House, objects: ObjectStore) -> None:
    """A worker that starts over older records asks the bucket, and begins a generation."""
    store = S3Store(objects.bucket(), "a/b", endpoint=objects.url, kind=ANCHORS)
    tenant = replace(own_house.tenant(), house=with_anchors(own_house, store))
    rounds(tenant.house)
    with transaction(own_house.components.records) as tx:
        gone = {"size": 0, "checkpoint": b"", "anchored_size": 0}
        tx.execute(update(audit_logs).where(audit_logs.c.tenant_id == tenant.id).values(gone))
        tx.execute(update(audit_entries).where(audit_entries.c.tenant_id == tenant.id).values(position=None))
    again = with_anchors(own_house, store)
    rounds(later(again, seconds=60))
    assert log(again, tenant.id).generation == 2
    assert len(rows(again, audit_entries, tenant_id=tenant.id, action="log.restored")) == 1


class Listing:
    """Anchors that note how many numbers they were asked for."""

    def __init__(self, store: DirectoryStore, listed: list[int]) -> None:
        self.store, self.listed = store, listed

    def within(self, folder: str) -> "Listing":
        return Listing(self.store.within(folder), self.listed)

    def folders(self) -> list[str]:
        return self.store.folders()

    def numbers(self, after: int = -1) -> list[int]:
        found = self.store.numbers(after)
        self.listed.append(len(found))
        return found

    def read(self, seq: int) -> bytes | None:
        return self.store.read(seq)

    def write(self, seq: int, entry: bytes) -> bool:
        return self.store.write(seq, entry)


def test_a_worker_that_starts_lists_the_newest_anchors(own_house: House, tmp_path: Path) -> None:
    """Those since the one that the log's row names, not all of years; all of them where the row names another."""
    listed: list[int] = []
    store = Listing(DirectoryStore(tmp_path, ANCHORS), listed)
    tenant = replace(own_house.tenant(), house=with_anchors(own_house, store))
    for ahead in range(0, 240, 60):
        look(tenant)
        assert rounds(later(tenant.house, seconds=ahead)) == []
    assert len(store.within(f"{tenant.id}/1").numbers()) > 1
    look(tenant)
    listed.clear()
    rounds(later(with_anchors(own_house, store), seconds=300))
    assert set(listed) == {1}
    mine = audit_logs.c.tenant_id == tenant.id
    with transaction(own_house.components.records) as tx:
        tx.execute(update(audit_logs).where(mine).values(anchored_size=10**6))
    look(tenant)
    rounds(later(with_anchors(own_house, store), seconds=400))
    assert log(own_house, tenant.id).generation == 1


class Hanging:
    """Anchors that take every call and answer none until they are let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.asked = threading.Event()

    def within(self, _folder: str) -> "Hanging":
        self.asked.set()
        self.let_go.wait(60)
        raise OSError("let go")


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    store = Hanging()
    yield store
    store.let_go.set()


def test_anchors_that_hang_hold_up_no_signature(own_house: House, hanging: Hanging) -> None:
    """A log that the worker knows goes on; charging and looking never ask."""
    tenant = own_house.tenant()
    token = tenant.token()["id"]
    assert rounds(own_house) == []
    known = own_house.components.logs.logs
    house = replace(own_house, components=replace(own_house.components, logs=LogWatch(anchors=hanging, logs=known)))  # type: ignore[arg-type]
    shop = later(house, seconds=60).components.workshop
    much_later = later(house, seconds=120).components.workshop
    stuck = threading.Thread(target=anchor_once, args=(much_later, lambda _what, _error: None), daemon=True)
    look(tenant)
    sequence_once(shop, lambda _what, _error: None)
    stuck.start()
    assert hanging.asked.wait(10)
    before = log(own_house, tenant.id).size
    assert tenant.charge(token).status_code == 201
    look(tenant, 5)
    sequence_once(shop, lambda _what, _error: None)
    assert log(own_house, tenant.id).size >= before + 6
    assert stuck.is_alive()


def test_key_operations_wait_for_a_stale_anchor(own_house: House) -> None:
    """The worker's and the command line's; once it is anchored they go on."""
    tenant = own_house.tenant()
    rounds(own_house)
    since = own_house.components.clock() - lateness.STALE * 2
    with transaction(own_house.components.records) as tx:
        tx.execute(update(audit_logs).where(audit_logs.c.tenant_id == tenant.id).values(waiting_since=since))
    reported: list[Exception] = []
    shop = replace(own_house.components.workshop, kek_epoch=timedelta(0))
    rotate_once(shop, lambda _what, error: reported.append(error))
    assert {type(error) for error in reported} == {AnchorStale}
    for words in (("rotate", "--tenant", tenant.id), ("reseal", "--all")):
        answer = keys(own_house, *words)
        assert answer.returncode == 1
        assert "was not anchored for over five minutes" in answer.stderr
    [customer] = {tenant.token()["customer"]}
    assert keys(own_house, "reseal", "--customer", customer, "--wait", "0").returncode == 1
    assert keys(own_house, "reseal", "--customer", customer, "--wait", "0", "--unproven").returncode == 0
    deployment = own_house.components.keyring.deployment
    assert len(rows(own_house, audit_entries, tenant_id=deployment, action="keys.unproven")) == 1
    rounds(own_house)
    assert keys(own_house, "rotate", "--tenant", tenant.id).returncode == 0


def test_a_log_that_is_late_holds_up_no_other_tenant(own_house: House) -> None:
    """Nor does an entry that somebody wrote without our keys, however old it says that it is."""
    own_house = replace(own_house, app=make_app(own_house.components, anchored=True))
    late, tenant = own_house.tenant(), own_house.tenant()
    rounds(own_house)
    since = own_house.components.clock() - lateness.STALE * 2
    with transaction(own_house.components.records) as tx:
        tx.execute(update(audit_logs).where(audit_logs.c.tenant_id == late.id).values(waiting_since=since))
        mine = select(audit_entries).where(audit_entries.c.tenant_id == tenant.id).limit(1)
        forged = {**tx.execute(mine).mappings().one(), "lane": "0" * 32, "at": since, "position": None, "mac": b"x"}
        tx.execute(audit_entries.insert(), forged)
    assert keys(own_house, "rotate", "--tenant", tenant.id).returncode == 0
    customer = tenant.token()["customer"]
    assert tenant.call("GET", f"/v1/customers/{customer}/export", **PURPOSE).status_code == 200
    customer = late.token()["customer"]
    assert late.call("GET", f"/v1/customers/{customer}/export", **PURPOSE).status_code == 503


def keys(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    return panless("keys", *words, env=house.environment)
