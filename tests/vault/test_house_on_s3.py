"""A whole Panless whose ledger lies in a bucket."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import PURPOSE, ROOT, House, Tenant, open_house, serve
from object_store import CREDENTIALS, ObjectStore
from records_scene import CONTACT, row, rows, work
from running_worker import worker

from keys.keystore import BEGINNING
from keys.keystore import watermark as keystore_watermark
from panless.checks.examination import examine
from panless.errors import SettingsError
from panless.settings.environment import read_settings
from panless.settings.stores import Bucket
from rows.engine import reading
from vault.ledger.book import chain
from vault.ledger.guard import Guard
from vault.ledger.watermarks import watermark
from vault.tables import customers, ledger_outbox


@dataclass(frozen=True)
class OnS3:
    """A house, and the bucket that keeps its ledger, versions and locks."""

    house: House
    bucket: str
    client: Any

    def keys(self) -> list[str]:
        """The key of each version of each entry, one that was written twice stands twice."""
        pages = self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket)
        return [version["Key"] for page in pages for version in page.get("Versions", ())]

    def newest(self, seq: int) -> dict[str, str]:
        """What names the newest version of an entry, be it a delete marker."""
        key = f"shop/{seq:020}.json"
        listed = self.client.list_object_versions(Bucket=self.bucket, Prefix=key)
        every = [*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())]
        [version] = [each["VersionId"] for each in every if each["IsLatest"]]
        return {"Bucket": self.bucket, "Key": key, "VersionId": version}


@pytest.fixture
def on_s3(own_house: House, objects: ObjectStore) -> Iterator[OnS3]:
    bucket = objects.bucket(lock=True)
    where = {
        "PANLESS_LEDGER": f"s3://{bucket}/shop/",
        "PANLESS_LEDGER_ENDPOINT": objects.url,
        "PANLESS_LEDGER_LOCK_DAYS": "36",
    }
    house = open_house(own_house.home, own_house.environment | where | CREDENTIALS, own_house.sandbox)
    yield OnS3(house, bucket, objects.client())
    house.components.close()


def run(environment: Mapping[str, str], *command: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *command], env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def panless(house: House, *command: str) -> "subprocess.CompletedProcess[str]":
    return run(house.environment, "-m", "panless", *command)


def people(tenant: Tenant, count: int) -> list[str]:
    return [tenant.token(customer={"billing_contact": CONTACT})["customer"] for _ in range(count)]


def erase(tenant: Tenant, customer: str) -> int:
    return tenant.erase(customer).status_code


def statuses(tenant: Tenant, ids: list[str]) -> list[int]:
    named = {name.replace("-", "_"): value for name, value in PURPOSE.items()}
    return [tenant.call("GET", f"/v1/customers/{each}/billing-contact", **named).status_code for each in ids]


def ready(house: House) -> tuple[int, str | None]:
    house.components.guard.check()
    answer = house.app.test_client().get("/readyz")
    return answer.status_code, answer.get_json().get("code")


def test_the_restore_drill(on_s3: OnS3, tmp_path: Path) -> None:
    """Both databases restored to before three erasures: refused, replayed from the bucket, and who went stays gone.

    While the entry that the databases stand at is hidden, the replay is refused too.
    """
    house, parts = on_s3.house, on_s3.house.components
    tenant = house.tenant()
    before, *ids = people(tenant, 6)
    assert erase(tenant, before) == 200
    engines = {"r": parts.records, "k": parts.keystore}
    copies = {name: backup(engine, tmp_path / name) for name, engine in engines.items()}
    assert {erase(tenant, each) for each in ids[:3]} == {200}
    for name, engine in engines.items():
        restore(engine, copies[name])
    parts.keyring.forget_cached()
    assert ready(house) == (503, "records_restored")
    assert set(statuses(tenant, ids)) == {503}

    hide(on_s3)
    refused = panless(house, "erasure", "replay")
    assert (refused.returncode, "entry 2 is missing" in refused.stderr) == (1, True)
    on_s3.client.delete_object(**on_s3.newest(2))
    replayed = panless(house, "erasure", "replay")
    assert replayed.stdout == "6 entries replayed. These databases may serve.\n", replayed.stderr
    assert ready(house) == (200, None)
    assert statuses(tenant, [before, *ids]) == [410] * 4 + [200] * 2


def test_two_servers_never_share_a_number(on_s3: OnS3, free_port: int) -> None:
    """Erasures through both at once: each entry is in the ledger once, in one chain, and no object was put twice."""
    house = on_s3.house
    tenant = house.tenant()
    ids = people(tenant, 16)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        second = probe.getsockname()[1]
    with serve(house, free_port) as (_, one), serve(house, second) as (_, other):
        for url in (one, other):
            assert _delete(f"{url}/v1/customers/cus_00{'a' * 26}", tenant) == 404
        calls = [f"{(one, other)[n % 2]}/v1/customers/{each}" for n, each in enumerate(ids)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda url: _delete(url, tenant), calls))
    assert set(answers) == {202}
    assert work(house) == []
    decided = {each.entry_id: each.seq for each in rows(house, ledger_outbox)}
    entries = chain(house.components.ledger, BEGINNING)
    assert {each.body["entry_id"]: each.mark.seq for each in entries} == decided
    assert [each.mark.seq for each in entries] == list(range(1, len(decided) + 1))
    assert len(decided) == 2 * len(ids)
    assert on_s3.keys() == [f"shop/{each.mark.seq:020}.json" for each in entries]
    with reading(house.components.records) as records, reading(house.components.keystore) as keystore:
        assert watermark(records) == keystore_watermark(keystore) == entries[-1].mark
    assert {row(house, customers, customer_id=each).state for each in ids} == {"erased"}


def _delete(url: str, tenant: Tenant) -> int:
    request = urllib.request.Request(url, method="DELETE", headers={"Authorization": f"Bearer {tenant.keys['all']}"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def hide(on_s3: OnS3) -> None:
    newest = on_s3.newest(2)
    on_s3.client.delete_object(Bucket=newest["Bucket"], Key=newest["Key"])


def overwrite(on_s3: OnS3) -> None:
    newest = on_s3.newest(2)
    on_s3.client.put_object(Bucket=newest["Bucket"], Key=newest["Key"], Body=b"{}")


@pytest.mark.parametrize("damage", [hide, overwrite])
def test_what_a_lock_lets_happen_is_seen_and_can_be_undone(on_s3: OnS3, damage: Callable[[OnS3], None]) -> None:
    """A delete marker and a newer version are a cut ledger, until they are taken away again."""
    tenant = on_s3.house.tenant()
    [customer] = people(tenant, 1)
    assert erase(tenant, customer) == 200
    assert ready(on_s3.house) == (200, None)
    damage(on_s3)
    assert ready(on_s3.house) == (503, "ledger_cut")
    on_s3.client.delete_object(**on_s3.newest(2))
    assert ready(on_s3.house) == (200, None)


def test_a_store_that_is_away(on_s3: OnS3, objects: ObjectStore) -> None:
    """Served on for the grace while an erasure waits; who starts meanwhile serves on PostgreSQL; then all goes on."""
    house, parts = on_s3.house, on_s3.house.components
    tenant = house.tenant()
    ids = people(tenant, 2)
    moment = [parts.clock()]
    guard = Guard(records=parts.records, ledger=parts.ledger, clock=lambda: moment[0])
    assert guard.check().is_good
    objects.forbidden = frozenset({"GET", "PUT"})
    moment[0] += timedelta(minutes=15)
    assert (guard.check().is_good, "AccessDenied" in guard.check().cause) == (True, True)
    assert ready(house) == (200, None)
    assert statuses(tenant, ids) == [200, 200]
    assert erase(tenant, ids[0]) == 503
    moment[0] += timedelta(seconds=1)
    assert guard.check().code == "ledger_unavailable"
    cold = open_house(house.home, house.environment, house.sandbox)
    serves = cold.components.records.dialect.name == "postgresql"
    assert cold.components.guard.verdict.code == ("good" if serves else "ledger_unavailable")
    cold.components.close()
    objects.mend()
    assert work(house) == []
    assert statuses(tenant, ids) == [410, 200]


LIST, GET = 0.005 / 1000, 0.0004 / 1000
"""US dollars for a request of S3 Standard (aws.amazon.com/s3/pricing, eu-central-1 takes a little more)."""

WATCHED, MONTH = 20.0, 30 * 24 * 3600


def test_an_idle_worker_costs_little(on_s3: OnS3, objects: ObjectStore) -> None:
    """It looks at the ledger at most once in two seconds, for less than five dollars a month."""
    on_s3.house.tenant()
    with worker(on_s3.house, PYTHONPATH=str(ROOT)) as log:
        while b"worker_started" not in log.read_bytes():
            time.sleep(0.1)
        time.sleep(3)
        objects.seen.clear()
        time.sleep(WATCHED)
        asked = [each for each in objects.seen if on_s3.bucket in each["PATH_INFO"]]
    listed = [each for each in asked if "list-type" in each["QUERY_STRING"]]
    assert len(listed) <= WATCHED / 2
    assert (len(listed) * LIST + (len(asked) - len(listed)) * GET) * MONTH / WATCHED < 5


def test_no_credentials_in_the_log(on_s3: OnS3, objects: ObjectStore, free_port: int) -> None:
    """At DEBUG, of a server that used its ledger and then lost it."""
    tenant = on_s3.house.tenant()
    [one, other] = people(tenant, 2)
    with serve(on_s3.house, free_port, PANLESS_LOG_LEVEL="DEBUG") as (_, url):
        assert _delete(f"{url}/v1/customers/{one}", tenant) == 202
        objects.forbidden = frozenset({"GET"})
        assert _delete(f"{url}/v1/customers/{other}", tenant) == 503
    log = (on_s3.house.home / "server.log").read_text()
    assert '"level": "info"' in log
    for secret in ("AKIDCANARY", "canary-of-a-secret", "AWS4-HMAC", "x-amz-"):
        assert secret not in log


@pytest.fixture
def found(on_s3: OnS3, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What `panless check` says of the house, its settings changed."""

    def check(**changed: str) -> str:
        for name, value in (on_s3.house.environment | {f"PANLESS_{n}": v for n, v in changed.items()}).items():
            monkeypatch.setenv(name, value)
        return "\n".join(f"{each.is_unsafe} {each.what} {each.mend}" for each in examine())

    return check


def test_check_says_what_is_wrong_with_the_bucket(on_s3: OnS3, objects: ObjectStore, found: Callable[..., str]) -> None:
    """A missing bucket, lock or right, a store that can't keep a ledger; a good one is not mentioned."""
    tenant = on_s3.house.tenant()
    assert "ledger" not in found().lower()
    assert "has no Object Lock. Enable it there" in found(LEDGER=f"s3://{objects.bucket()}")
    assert erase(tenant, people(tenant, 1)[0]) == 200
    assert "ledger" not in found().lower()
    assert "refuses GetObject: NoSuchBucket" in found(LEDGER="s3://nowhere")
    objects.forbidden = frozenset({"PUT"})
    assert "refuses PutObject: AccessDenied" in found()
    objects.mend()
    objects.ignores_conditions = True
    assert "ignores If-None-Match" in found()


def test_check_notes_a_bucket_without_a_lock(on_s3: OnS3, found: Callable[..., str]) -> None:
    """It is allowed, and has a price."""
    del on_s3.house.environment["PANLESS_LEDGER_LOCK_DAYS"]
    assert "False Who may delete from the ledger's bucket can cut the ledger." in found()


def settings_of(home: Path, **changed: str) -> dict[str, str]:
    return {
        "PANLESS_RECORDS_URL": f"sqlite:///{home}/records.db",
        "PANLESS_KEYSTORE_URL": f"sqlite:///{home}/keystore.db",
        "PANLESS_KEYFILE": f"{home}/root.key",
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        **{f"PANLESS_{name}": value for name, value in changed.items()},
    }


def test_without_boto3(tmp_path: Path) -> None:
    """A ledger in s3:// is refused in one sentence that says what to install; others never load boto3."""
    (tmp_path / "ledger").mkdir()
    env = settings_of(tmp_path, LEDGER=str(tmp_path / "ledger"))
    for command in (("keys", "new-keyfile", env["PANLESS_KEYFILE"]), ("migrate",)):
        assert run(env, "-m", "panless", *command).returncode == 0
    bare = "import sys; sys.modules['boto3'] = sys.modules['botocore'] = None; from panless.cli import main; main()"
    assert run(env, "-c", bare, "erasure", "replay").returncode == 0
    refused = run(env | {"PANLESS_LEDGER": "s3://ledger/x"}, "-c", bare, "erasure", "replay")
    said = "PANLESS_LEDGER in s3:// needs boto3. Run: pip install -r requirements/s3.txt.\n"
    assert (refused.returncode, refused.stderr) == (1, said)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"LEDGER": "s3://"}, r"must be a folder or s3://BUCKET/PREFIX"),
        ({"LEDGER": "s3://Upper_Case/x"}, r"must be a folder or s3://BUCKET/PREFIX"),
        ({"LEDGER": "s3://ledger", "LEDGER_LOCK_DAYS": "0"}, r"LOCK_DAYS must be from 1"),
        ({"LEDGER": "/ledger", "LEDGER_LOCK_DAYS": "7"}, r"LEDGER_LOCK_DAYS means nothing for a folder"),
        ({"LEDGER": "/ledger", "LEDGER_ENDPOINT": "https://x.invalid"}, r"LEDGER_ENDPOINT means nothing for a folder"),
        ({"LEDGER": "s3://ledger", "LEDGER_ENDPOINT": "http://store.invalid"}, r"LEDGER_ENDPOINT must be https"),
    ],
)
def test_settings_that_are_refused(
    changed: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is named with what it should be."""
    for name, value in settings_of(tmp_path, **changed).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        read_settings()


@pytest.mark.parametrize(
    ("where", "meant"),
    [
        ("s3://ledger", Bucket(name="ledger", prefix="")),
        ("s3://ledger/a/b/", Bucket(name="ledger", prefix="a/b")),
        ("/srv/ledger", Path("/srv/ledger")),
    ],
)
def test_where_the_ledger_lies(
    where: str, meant: Path | Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket with or without a prefix, or a folder."""
    for name, value in settings_of(tmp_path, LEDGER=where).items():
        monkeypatch.setenv(name, value)
    assert read_settings().ledger == meant
