from collections.abc import Iterator

import pytest
from api_scene import Stock, stock_of
from house import House, Sandbox
from ports import free_port
from roles import house_apart


@pytest.fixture(scope="session")
def stock(house: House) -> Stock:
    """A tenant that has one of everything that a path can name; for tests that change nothing."""
    return stock_of(house.tenant())


@pytest.fixture(scope="session")
def apart(postgresql: str, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[House]:
    """A deployment on PostgreSQL whose door is held to the rows of one tenant at a time."""
    with house_apart(tmp_path_factory.mktemp("apart"), postgresql, sandbox) as built:
        yield built


@pytest.fixture
def port_of_server() -> int:
    """A free port more, for tests that need two."""
    return free_port()
