"""An object store that speaks S3, over HTTP: moto's, with faults."""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from vault.stores.s3 import S3Store

REGION = "eu-central-1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDCANARY",
    "AWS_SECRET_ACCESS_KEY": "canary-of-a-secret",
    "AWS_DEFAULT_REGION": REGION,
}
Answer = Iterable[bytes]
_BUCKETS = count(1)  # moto keeps what is in them for the whole process, whichever server it is asked by


@dataclass
class ObjectStore:
    """moto's S3, one request at a time: moto itself looks and writes in two steps, S3 in one."""

    url: str = ""
    seen: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0
    lost_answers: int = 0
    forbidden: frozenset[str] = frozenset()
    ignores_conditions: bool = False

    def __post_init__(self) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._one_at_a_time = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Answer:
        with self._one_at_a_time:
            self.seen.append(environ)
            is_put = environ["REQUEST_METHOD"] == "PUT"
            if environ["REQUEST_METHOD"] in self.forbidden:
                return self._refuse(start_response, "403 Forbidden", "AccessDenied")
            if is_put and self.conflicts:
                self.conflicts -= 1
                return self._refuse(start_response, "409 Conflict", "ConditionalRequestConflict")
            if self.ignores_conditions:
                environ.pop("HTTP_IF_NONE_MATCH", None)
            answer = self._moto(environ, start_response)
            if is_put and self.lost_answers:
                self.lost_answers -= 1
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return answer

    def mend(self) -> None:
        """End all faults."""
        self.conflicts = self.lost_answers = 0
        self.forbidden, self.ignores_conditions = frozenset(), False

    def client(self) -> Any:
        return boto3.client("s3", endpoint_url=self.url)

    def bucket(self, *, lock: bool = False) -> str:
        """A new one; with a lock it keeps versions too."""
        name = f"ledger-{next(_BUCKETS)}"
        where = {"LocationConstraint": REGION}
        self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock, CreateBucketConfiguration=where)
        self.seen.clear()
        return name

    def store(self, bucket: str, prefix: str = "a/b", *, lock_days: int | None = None) -> S3Store:
        return S3Store(bucket, prefix, endpoint=self.url, lock_days=lock_days)

    def _refuse(self, start_response: Callable[..., Any], status: str, code: str) -> Answer:
        start_response(status, [("Content-Type", "application/xml")])
        return [f"<Error><Code>{code}</Code><Message>Refused.</Message></Error>".encode()]


def let_boto3_find_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials where boto3 looks, with nothing else of this machine's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@contextmanager
def run_object_store() -> Iterator[ObjectStore]:
    objects = ObjectStore()
    server = make_server("127.0.0.1", 0, objects, threaded=True, request_handler=MotoRequestHandler)
    objects.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield objects
    server.shutdown()
    thread.join()
    server.server_close()
