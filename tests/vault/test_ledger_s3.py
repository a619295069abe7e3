import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest
from house import ROOT
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from panless.settings import Bucket, SettingsError, read_settings
from vault.errors import LedgerAway
from vault.ledger import LedgerStore
from vault.ledgers.directory import DirectoryStore
from vault.ledgers.s3 import LONGEST_CALL, Lock, S3Store

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "eu-central-1"}
CONFLICT = b"<Error><Code>ConditionalRequestConflict</Code><Message>Another write is under way.</Message></Error>"
Answer = Iterable[bytes]


@dataclass
class ObjectStore:
    """moto's S3 over HTTP, one request at a time: moto itself looks and writes in two steps, S3 in one."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0
    lost_answers: int = 0

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()
        self._buckets = count(1)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
        with self._one_at_a_time:
            self.seen.append(environ)
            is_put = environ["REQUEST_METHOD"] == "PUT"
            if is_put and self.conflicts:
                self.conflicts -= 1
                start_response("409 Conflict", [("Content-Type", "application/xml")])
                return [CONFLICT]
            answer = self._moto(environ, start_response)
            if is_put and self.lost_answers:
                self.lost_answers -= 1
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return answer

    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url)

    def bucket(self, *, lock: bool = False) -> str:
        name = f"ledger-{next(self._buckets)}"
        where = {"LocationConstraint": "eu-central-1"}
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock, CreateBucketConfiguration=where)
        self.seen.clear()
        return name

    def store(self, bucket: str, prefix: str = "a/b", *, lock: Lock | None = None) -> S3Store:
        return S3Store(bucket, prefix, endpoint=self.url, lock=lock)


@pytest.fixture(scope="module")
def running() -> Iterator[ObjectStore]:
    objects = ObjectStore()
    server = make_server("127.0.0.1", 0, objects, threaded=True, request_handler=MotoRequestHandler)
    objects.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield objects
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where boto3 looks, and nothing else of this machine's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def objects(running: ObjectStore) -> Iterator[ObjectStore]:
    yield running
    running.conflicts = running.lost_answers = 0


@dataclass(frozen=True)
class Place:
    """An empty ledger, and how to lose it: `open` gives a store as another process would have it."""

    open: Callable[[], LedgerStore]
    remove: Callable[[], object]


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        folder = tmp_path / "ledger"
        folder.mkdir()
        return Place(lambda: DirectoryStore(folder), folder.rmdir)
    objects = request.getfixturevalue("objects")
    bucket = objects.bucket()
    return Place(lambda: objects.store(bucket), lambda: objects.client().delete_bucket(Bucket=bucket))


def test_an_empty_ledger(place: Place) -> None:
    """It has no head and no entries."""
    store = place.open()
    assert store.head(0) == 0
    assert store.read(1) is None


def test_what_was_written_is_read(place: Place) -> None:
    """Byte for byte, by another process too."""
    entry = '{"a":"\u00e9\\n"}'.encode()
    assert place.open().write(1, entry)
    assert place.open().read(1) == entry
    assert place.open().head(0) == 1


def test_an_entry_is_written_once(place: Place) -> None:
    """A second write of a number is refused and changes nothing, not even with the same bytes."""
    store = place.open()
    assert store.write(1, b"first")
    assert not store.write(1, b"second")
    assert not store.write(1, b"first")
    assert store.read(1) == b"first"


def test_one_of_many_writers_wins(place: Place) -> None:
    """Of 20 at once exactly one is told that it wrote, and its entry is the one that stands."""
    stores, start = [place.open() for _ in range(20)], threading.Barrier(20)

    def write(number: int) -> bool:
        start.wait()
        return stores[number].write(1, b"%d" % number)

    with ThreadPoolExecutor(20) as threads:
        written = list(threads.map(write, range(20)))
    assert written.count(True) == 1
    assert place.open().read(1) == b"%d" % written.index(True)


def test_the_head_from_anywhere(place: Place) -> None:
    """It is the same from each entry that existed; numbers are compared as numbers, over a digit more."""
    store = place.open()
    for seq in range(1, 12):
        store.write(seq, b"x")
    assert {store.head(known) for known in range(12)} == {11}


def test_the_head_is_before_a_gap(place: Place) -> None:
    """What lies behind a missing entry is not on the chain."""
    store = place.open()
    for seq in (1, 2, 4):
        store.write(seq, b"x")
    assert [store.head(0), store.head(2), store.head(4)] == [2, 2, 4]
    assert store.read(3) is None


def test_a_ledger_that_is_gone_is_away(place: Place) -> None:
    """It is not an empty one: every method says LedgerAway."""
    place.remove()
    assert_away(place.open())


def assert_away(store: LedgerStore) -> None:
    """Every method raises LedgerAway, all of them within the time that is stated for one."""
    calls: list[Callable[[], object]] = [
        lambda: store.read(1),
        lambda: store.write(1, b"x"),
        lambda: store.head(0),
    ]
    start = time.monotonic()
    with ThreadPoolExecutor(3) as threads:
        under_way = [threads.submit(call) for call in calls]
        outcomes = [one.exception() for one in under_way]
    assert [type(outcome) for outcome in outcomes] == [LedgerAway] * 3
    assert time.monotonic() - start < LONGEST_CALL


@contextmanager
def listening() -> Iterator[str]:
    """The URL of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_silent_store_is_away(free_port: int) -> None:
    """One that hangs, and one that nobody listens for: LedgerAway, within the bound."""
    with listening() as silent:
        stores = [S3Store("ledger", endpoint=url) for url in (silent, f"http://127.0.0.1:{free_port}")]
        for store in stores:
            assert_away(store)


def test_a_refused_key_is_away_and_says_no_secret(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store calls its refusal is said, and nothing else of its answer."""
    with pytest.raises(LedgerAway, match=r"NoSuchBucket\. Mend it") as caught:
        objects.store("nowhere").head(0)
    assert "nowhere" not in str(caught.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert_away(objects.store("nowhere"))


def test_credentials_that_come_later_are_found(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that found none looks again at the next call."""
    store = objects.store(objects.bucket())
    with monkeypatch.context() as before:
        before.delenv("AWS_ACCESS_KEY_ID")
        with pytest.raises(LedgerAway, match="no credentials"):
            store.head(0)
    assert store.head(0) == 0


def test_a_conflict_is_asked_again(objects: ObjectStore) -> None:
    """409 says that another write is under way, not that it won; one that never ends is LedgerAway."""
    store = objects.store(objects.bucket())
    objects.conflicts = 2
    assert store.write(1, b"x")
    objects.conflicts = 1
    assert not store.write(1, b"y")
    objects.conflicts = 100
    with pytest.raises(LedgerAway):
        store.write(2, b"x")


def test_a_lost_answer_overwrites_nothing(objects: ObjectStore) -> None:
    """The entry stands whatever the writer was told, and the next look finds it."""
    store = objects.store(objects.bucket())
    objects.lost_answers = 1
    assert not store.write(1, b"asked again")
    objects.lost_answers = 2
    with pytest.raises(LedgerAway):
        store.write(2, b"never heard")
    assert not store.write(2, b"another")
    assert store.head(0) == 2
    assert [store.read(1), store.read(2)] == [b"asked again", b"never heard"]


@pytest.mark.parametrize("mode", ["COMPLIANCE", "GOVERNANCE"])
def test_an_entry_is_locked(objects: ObjectStore, mode: Any) -> None:
    """Each entry is put with its mode, its end and the checksum that S3 asks for with them, and is retained."""
    bucket = objects.bucket(lock=True)
    assert objects.store(bucket, lock=Lock(days=30, mode=mode)).write(1, b"x")
    (sent,) = objects.seen
    assert sent["HTTP_X_AMZ_OBJECT_LOCK_MODE"] == mode
    assert sent["HTTP_X_AMZ_SDK_CHECKSUM_ALGORITHM"] == "SHA256"
    assert sent["HTTP_X_AMZ_CHECKSUM_SHA256"] == "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="
    key = f"a/b/{1:020}.json"
    kept = objects.client().head_object(Bucket=bucket, Key=key)
    assert kept["ObjectLockMode"] == mode
    assert abs(kept["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)


def test_no_lock_unless_asked(objects: ObjectStore) -> None:
    """Without one the request has the condition and no word of a lock."""
    objects.store(objects.bucket()).write(1, b"x")
    (sent,) = objects.seen
    assert sent["HTTP_IF_NONE_MATCH"] == "*"
    assert not [name for name in sent if "OBJECT_LOCK" in name]


def test_many_pages_and_strangers(objects: ObjectStore) -> None:
    """The head is found over more than one page; what else lies in the bucket is not counted."""
    bucket, client = objects.bucket(), objects.client()
    store = objects.store(bucket)
    for key in (f"a/b/{1:020}.json.bak", f"a/b/{2:020}", "a/b/README", f"a/bc/{1:020}.json", f"{1:020}.json"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    for seq in range(1, 1006):
        client.put_object(Bucket=bucket, Key=f"a/b/{seq:020}.json", Body=b"x")
    assert [store.head(0), store.head(1004), objects.store(bucket, "").head(0)] == [1005, 1005, 1]


def run(environment: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *command], env=env, cwd=ROOT, capture_output=True, text=True, check=False)


def settings_of(home: Path, **changed: str) -> dict[str, str]:
    return {
        "PANLESS_RECORDS_URL": f"sqlite:///{home}/records.db",
        "PANLESS_KEYSTORE_URL": f"sqlite:///{home}/keystore.db",
        "PANLESS_KEYFILE": f"{home}/root.key",
        "PANLESS_POLICY": str(ROOT / "panless" / "policy.toml"),
        **{f"PANLESS_{name}": value for name, value in changed.items()},
    }


def deployed(home: Path, **changed: str) -> dict[str, str]:
    settings = settings_of(home, **changed)
    assert run(settings, "-m", "panless", "keys", "new-keyfile", settings["PANLESS_KEYFILE"]).returncode == 0
    assert run(settings, "-m", "panless", "migrate").returncode == 0
    return settings


def test_a_deployment_on_a_bucket(objects: ObjectStore, tmp_path: Path) -> None:
    """The settings reach the store: a revocation is an entry in the bucket, under its lock."""
    bucket = objects.bucket(lock=True)
    where = {"LEDGER": f"s3://{bucket}/shop/", "LEDGER_ENDPOINT": objects.url, "LEDGER_LOCK_DAYS": "7"}
    env = CREDENTIALS | deployed(tmp_path, **where)
    env["PANLESS_TENANT"] = run(env, "-m", "panless", "tenants", "create", "--name", "Shop").stdout.strip()
    made = run(env, "-m", "panless", "clients", "create", "--name", "spare", "--role", "auditor")
    revoked = run(env, "-m", "panless", "clients", "revoke", "--client", made.stdout.split()[0])
    assert revoked.returncode == 0, revoked.stderr
    assert objects.store(bucket, "shop").head(0) == 1
    kept = objects.client().head_object(Bucket=bucket, Key=f"shop/{1:020}.json")
    assert kept["ObjectLockMode"] == "COMPLIANCE"


def test_without_boto3(tmp_path: Path) -> None:
    """A ledger in s3:// is refused in one sentence that says what to install; others need no boto3."""
    (tmp_path / "ledger").mkdir()
    env = deployed(tmp_path, LEDGER=str(tmp_path / "ledger"))
    bare = "import sys; sys.modules['boto3'] = None; from panless.cli import main; main()"
    assert run(env, "-c", bare, "keys", "status").returncode == 0
    refused = run(env | {"PANLESS_LEDGER": "s3://ledger/x"}, "-c", bare, "keys", "status")
    assert (refused.returncode, refused.stderr) == (
        1,
        "A ledger in s3:// needs boto3. Run: pip install 'panless[s3]'.\n",
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"LEDGER": "s3://"}, r"must be a folder or s3://BUCKET/PREFIX"),
        ({"LEDGER": "s3://Upper_Case/x"}, r"must be a folder or s3://BUCKET/PREFIX"),
        ({"LEDGER": "s3://ledger", "LEDGER_LOCK_DAYS": "0"}, r"LOCK_DAYS must be from 1"),
        ({"LEDGER": "/ledger", "LEDGER_LOCK_DAYS": "7"}, r"locks nothing in a folder"),
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
