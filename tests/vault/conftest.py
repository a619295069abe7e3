from collections.abc import Iterator

import pytest
from events_scene import Receiver, shop_of
from house import House, Tenant
from object_store import ObjectStore, let_boto3_find_them, run_object_store
from standby import Pair, pair

from rows.engine import transaction
from vault.tables import callbacks, erasures, intents, rights_requests, rights_targets


@pytest.fixture
def tenant(house: House) -> Iterator[Tenant]:
    """A tenant of the test's own, in a house where nothing of another test waits for the worker."""
    with transaction(house.components.records) as tx:
        tx.execute(intents.update().values(state="done"))
        tx.execute(erasures.update().values(state="completed"))
        tx.execute(rights_targets.update().values(state="done"))
        tx.execute(rights_requests.update().values(state="completed"))
        tx.execute(callbacks.update().values(address=None))
    house.sandbox.clear()
    yield house.tenant()
    house.sandbox.clear()


@pytest.fixture
def both(postgresql: str) -> Iterator[Pair]:
    """A primary and its standby; the session's own server made the user that they run as."""
    assert postgresql
    with pair() as running:
        yield running


@pytest.fixture
def receiver() -> Receiver:
    """A tenant's server that hears of events."""
    return Receiver()


@pytest.fixture
def shop(tenant: Tenant, receiver: Receiver) -> Tenant:
    """A tenant whose events go to the receiver."""
    return shop_of(tenant, receiver)


@pytest.fixture(scope="session")
def running_objects() -> Iterator[ObjectStore]:
    with run_object_store() as objects:
        yield objects


@pytest.fixture
def objects(running_objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An object store, and its credentials where boto3 looks."""
    let_boto3_find_them(monkeypatch)
    yield running_objects
    running_objects.mend()
