import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from object_store import ObjectStore

from vault.errors import LedgerAway
from vault.ledger.book import LedgerStore
from vault.stores.directory import DirectoryStore
from vault.stores.s3 import LONGEST_CALL, S3Store


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


@pytest.mark.usefixtures("objects")
def test_a_silent_store_is_away(free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs, and one that nobody listens for: LedgerAway, within the bound whatever boto3 is set to."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "50")
    with listening() as silent:
        stores = [S3Store("ledger", endpoint=url) for url in (silent, f"http://127.0.0.1:{free_port}")]
        for store in stores:
            assert_away(store)


STRANGE = {
    "a redirect": (301, {}, b"", 0),
    "a page of a proxy": (502, {}, b"<html>Bad gateway</html>", 0),
    "a time that is none": (200, {"Last-Modified": "yesterday"}, b"x", 0),
    "less than was said": (200, {}, b"x", 99),
    "other bytes than were stored": (200, {"x-amz-checksum-sha256": "A" * 43 + "="}, b"x", 0),
}


@contextmanager
def answering(status: int, headers: Mapping[str, str], body: bytes, missing: int) -> Iterator[str]:
    """The URL of a server that answers every request with this."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            super().handle_one_request()
            self.close_connection = True

        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) + missing))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("what", STRANGE)
@pytest.mark.usefixtures("objects")
def test_a_strange_answer_is_away(what: str) -> None:
    """Whatever boto3 makes of it, LedgerAway comes out: it is neither an entry nor the lack of one."""
    with answering(*STRANGE[what]) as url, pytest.raises(LedgerAway):
        S3Store("ledger", endpoint=url).read(1)


def test_a_refusal_is_said_without_a_secret(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused and the store's word for it, nothing else of its answer; no key in any traceback."""
    with pytest.raises(LedgerAway, match=r"refuses GetObject: NoSuchBucket\. Mend it") as caught:
        objects.store("nowhere").read(1)
    assert "nowhere" not in str(caught.value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDCANARY\n")  # boto3 quotes the header that it can't send
    with pytest.raises(LedgerAway) as caught:
        objects.store("nowhere").read(1)
    assert "AKIDCANARY" not in "".join(traceback.format_exception(caught.value))


def test_credentials_that_are_not_there_are_away(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """None at all, and a role's token that is not mounted yet."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert_away(objects.store("nowhere"))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ledger")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")
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


def test_an_entry_is_locked(objects: ObjectStore) -> None:
    """Each entry is put in COMPLIANCE mode with its end, and S3 will not let it be destroyed."""
    bucket, client, key = objects.bucket(lock=True), objects.client(), f"a/b/{1:020}.json"
    assert objects.store(bucket, lock_days=30).write(1, b"x")
    (sent,) = objects.seen
    assert sent["HTTP_X_AMZ_OBJECT_LOCK_MODE"] == "COMPLIANCE"
    kept = client.head_object(Bucket=bucket, Key=key)
    assert kept["ObjectLockMode"] == "COMPLIANCE"
    assert abs(kept["ObjectLockRetainUntilDate"] - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket, Key=key, VersionId=kept["VersionId"], BypassGovernanceRetention=True)


def test_no_lock_unless_asked(objects: ObjectStore) -> None:
    """The request has the condition and no word of a lock."""
    objects.store(objects.bucket()).write(1, b"x")
    (sent,) = objects.seen
    assert sent["HTTP_IF_NONE_MATCH"] == "*"
    assert not [name for name in sent if "OBJECT_LOCK" in name]


def test_stores_that_know_no_trailers_can_read_the_request(objects: ObjectStore) -> None:
    """The checksum, which a lock needs, is a header; the body is the entry as it is, not in signed chunks."""
    objects.store(objects.bucket()).write(1, b"x")
    (sent,) = objects.seen
    assert sent["HTTP_X_AMZ_CHECKSUM_SHA256"] == "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="
    assert sent["CONTENT_LENGTH"] == "1"
    assert not {"HTTP_X_AMZ_TRAILER", "HTTP_CONTENT_ENCODING", "HTTP_TRANSFER_ENCODING"} & set(sent)


def test_a_store_that_writes_over_entries_is_not_used(objects: ObjectStore) -> None:
    """One that ignores the condition is found out once there is an entry, by each process, and nothing is lost."""
    bucket = objects.bucket()
    objects.ignores_conditions = True
    store = objects.store(bucket)
    assert store.head(0) == 0
    assert store.write(1, b"first")
    for each in (store, objects.store(bucket)):
        for known in (0, 1):
            with pytest.raises(LedgerAway, match="ignores If-None-Match"):
                each.head(known)
    assert store.read(1) == b"first"


def test_what_is_missing_is_said_before_the_first_entry_is_due(objects: ObjectStore) -> None:
    """A bucket without the lock that is asked for, even an empty one; a ledger that may be read and not written."""
    bucket = objects.bucket()
    with pytest.raises(LedgerAway, match="has no Object Lock"):
        objects.store(bucket, lock_days=1).head(0)
    assert objects.store(objects.bucket(lock=True), lock_days=1).head(0) == 0
    objects.store(bucket).write(1, b"x")
    objects.forbidden = frozenset({"PUT"})
    with pytest.raises(LedgerAway, match="refuses PutObject: AccessDenied"):
        objects.store(bucket).head(0)


def test_the_store_is_tried_once_in_a_process(objects: ObjectStore) -> None:
    """After that a look at the head is one request."""
    store = objects.store(objects.bucket())
    store.write(1, b"x")
    store.head(1)
    objects.seen.clear()
    assert store.head(1) == 1
    assert [sent["REQUEST_METHOD"] for sent in objects.seen] == ["GET"]


def test_many_pages_and_strangers(objects: ObjectStore) -> None:
    """The head is found over more than one page; what else lies in the bucket is not counted."""
    bucket, client = objects.bucket(), objects.client()
    store = objects.store(bucket)
    for key in (f"a/b/{1:020}.json.bak", f"a/b/{2:020}", "a/b/README", f"a/bc/{1:020}.json", f"{1:020}.json"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    for seq in range(1, 1006):
        client.put_object(Bucket=bucket, Key=f"a/b/{seq:020}.json", Body=b"x")
    assert [store.head(0), store.head(1004), objects.store(bucket, "").head(0)] == [1005, 1005, 1]
