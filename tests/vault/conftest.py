from collections.abc import Iterator

import pytest
from house import House, Tenant

from keys.database import transaction
from vault.tables import erasures, intents


@pytest.fixture
def tenant(house: House) -> Iterator[Tenant]:
    """A tenant of the test's own, in a house where nothing of another test waits for the worker."""
    with transaction(house.components.records) as tx:
        tx.execute(intents.update().values(state="done"))
        tx.execute(erasures.update().values(state="completed"))
    house.sandbox.clear()
    yield house.tenant()
    house.sandbox.clear()
