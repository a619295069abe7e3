from collections.abc import Iterator

import pytest
from house import Sandbox
from http_front import Front
from moto.moto_server.werkzeug_app import MotoRequestHandler
from object_store import ObjectStore, let_boto3_find_them, run_object_store
from two_servers import TwoServers, two_servers


@pytest.fixture(scope="session")
def apart(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[TwoServers]:
    """One for the session: each test takes a tenant of its own, and leaves both servers running."""
    with two_servers(tmp_path_factory.mktemp("apart") / "house", sandbox) as running:
        yield running


@pytest.fixture(scope="session")
def running_objects() -> Iterator[ObjectStore]:
    with run_object_store() as objects:
        yield objects


@pytest.fixture
def objects(running_objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """An object store, and its credentials where boto3 looks."""
    let_boto3_find_them(monkeypatch)
    return running_objects


@pytest.fixture
def bucket_front(objects: ObjectStore) -> Iterator[Front]:
    """The address at which the house knows the object store, which can be gone or slow."""
    front = Front(objects, MotoRequestHandler)
    yield front
    front.stop()
