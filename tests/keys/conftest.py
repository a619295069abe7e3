from collections.abc import Callable

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT, MemoryRoot
from sqlalchemy import Engine

from keys.context import Context
from keys.dek import Dek
from keys.keyring import Keyring
from keys.keystore import found
from migrations.run import upgrade
from rows.engine import transaction


@pytest.fixture
def keystore(new_database: Callable[[], Engine]) -> Engine:
    """A migrated keystore of DEPLOYMENT, without tenants."""
    engine = new_database()
    upgrade(engine, "keystore")
    with transaction(engine) as connection:
        found(connection, DEPLOYMENT)
    return engine


@pytest.fixture
def root() -> MemoryRoot:
    return MemoryRoot("root_1")


@pytest.fixture
def ring(keystore: Engine, root: MemoryRoot) -> Keyring:
    """A keyring with one root key and the tenant TENANT."""
    made = Keyring(keystore=keystore, roots=[root], deployment=DEPLOYMENT, now=lambda: NOW)
    made.create_tenant(TENANT)
    return made


@pytest.fixture
def dek() -> Dek:
    return Dek(id=bytes(range(16)), key=bytes(range(100, 132)))


@pytest.fixture
def context() -> Context:
    return Context(
        deployment=DEPLOYMENT, tenant=TENANT, table="tokens", column="card", row="tok_1", customer="cus_1", version=1
    )
