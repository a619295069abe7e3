import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import depth
import ports
import pytest
from house import OPENED, House, Sandbox, Tenant, build_house, run_sandbox
from postgres import create_database, own_server
from sqlalchemy import Engine

from migrations.run import Tree, upgrade
from rows.engine import open_database

BACKENDS = ["sqlite", "postgresql"]
NAMES: tuple[Tree, ...] = ("records", "keystore")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How deep this run went, and by which chance."""
    terminalreporter.write_line(depth.said())


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a server of this session's own, that is killed by nobody and outlives no crash of the machine."""
    with own_server(fsync="off", full_page_writes="off") as server:
        yield server.get_uri()


@pytest.fixture(scope="session")
def migrated_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two SQLite files at their newest schema, of which each house gets a copy."""
    folder = tmp_path_factory.mktemp("migrated")
    for name in NAMES:
        _migrate(f"sqlite:///{folder}/{name}.db", name)
    return folder


@pytest.fixture(scope="session")
def migrated_databases(postgresql: str) -> dict[Tree, str]:
    """What two PostgreSQL databases at their newest schema are called, of which each house gets a copy."""
    made = {name: f"migrated_{name}" for name in NAMES}
    for name, called in made.items():
        _migrate(create_database(postgresql, called), name)
    return made


def _migrate(url: str, name: Tree) -> None:
    engine = open_database(url)
    upgrade(engine, name)
    engine.dispose()


@pytest.fixture(params=BACKENDS)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Engine]]:
    """Makes an empty database each time it is called."""
    numbers, engines = count(1), []

    def make() -> Engine:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path}/{next(numbers)}.db"
        else:
            url = create_database(request.getfixturevalue("postgresql"), f"db_{tmp_path.name}_{next(numbers)}")
        engines.append(open_database(url))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One sandbox for the session; each tenant has its own account there."""
    with run_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="session", params=BACKENDS)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> Iterator[House]:
    """One deployment for the session on each database; tests take a tenant of their own."""
    built = _build(request, tmp_path_factory.mktemp("house"), sandbox, request.param)
    yield built
    built.components.close()


@pytest.fixture(params=BACKENDS)
def own_house(request: pytest.FixtureRequest, tmp_path: Path, sandbox: Sandbox) -> Iterator[House]:
    """A deployment of the test's own: for what changes the ledger, the guard, or whole databases."""
    built = _build(request, tmp_path / "house", sandbox, request.param)
    yield built
    built.components.close()


@pytest.fixture(autouse=True)
def _no_connection_left() -> Iterator[None]:
    """A house that a test leaves open would be collected with its connections in the middle of another test."""
    yield
    while OPENED:
        OPENED.pop().close()


@pytest.fixture(autouse=True)
def _no_fault_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """A fault that a test arms and does not meet would be another test's, whose house asks the same sandbox."""
    asked = request.getfixturevalue("sandbox") if "sandbox" in request.fixturenames else None
    yield
    if isinstance(asked, Sandbox):
        asked.clear()


@pytest.fixture
def tenant(house: House) -> Tenant:
    """A tenant of the test's own."""
    return house.tenant()


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


_databases = count(1)


def _build(request: pytest.FixtureRequest, home: Path, sandbox: Sandbox, backend: str) -> House:
    home.mkdir(parents=True, exist_ok=True)
    if backend == "sqlite":
        shutil.copytree(request.getfixturevalue("migrated_files"), home, dirs_exist_ok=True)
        urls = [f"sqlite:///{home}/{name}.db" for name in NAMES]
    else:
        server, number = request.getfixturevalue("postgresql"), next(_databases)
        migrated = request.getfixturevalue("migrated_databases")
        urls = [create_database(server, f"{name}_{number}", like=migrated[name]) for name in NAMES]
    return build_house(home, urls[0], urls[1], sandbox)
