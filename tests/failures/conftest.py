from collections.abc import Iterator
from pathlib import Path

import pytest
from house import Sandbox, build_house, open_house
from http_front import Front
from ledger_scene import InBucket
from moto.moto_server.werkzeug_app import MotoRequestHandler
from object_store import CREDENTIALS, ObjectStore, let_boto3_find_them, run_object_store
from postgres import create_database, own_server
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


@pytest.fixture
def in_bucket(tmp_path: Path, sandbox: Sandbox, objects: ObjectStore, bucket_front: Front) -> Iterator[InBucket]:
    where = {"PANLESS_LEDGER": f"s3://{objects.bucket()}/shop", "PANLESS_LEDGER_ENDPOINT": bucket_front.url}
    with own_server() as server:
        records_url, keystore_url = (create_database(server.get_uri(), name) for name in ("records", "keystore"))
        built = build_house(tmp_path / "house", records_url, keystore_url, sandbox)
        house = open_house(built.home, built.environment | where | CREDENTIALS, sandbox)
        tenant = house.tenant()
        yield InBucket(house, server, bucket_front, tenant, tenant.token())
        house.components.close()
