import pytest
from api_scene import Stock, stock_of
from house import House


@pytest.fixture(scope="session")
def stock(house: House) -> Stock:
    """A tenant that has one of everything that a path can name; for tests that change nothing."""
    return stock_of(house.tenant())
