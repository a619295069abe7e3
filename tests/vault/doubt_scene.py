"""What tests of doubt share: what a tenant is told, what the processor was paid, and houses over two servers."""

from pathlib import Path
from typing import Any

from house import House, Sandbox, Tenant, build_house
from records_scene import rows
from sqlalchemy import select, update
from standby import Pair

from api.parts import NAME
from rows.clock import database_clock
from rows.engine import reading, transaction
from rows.instances import instance
from vault.money.charge.charges import obligation_digest
from vault.processing import beats
from vault.tables import beats as beat_table
from vault.tables import processor_accounts


def let_go(house: House) -> None:
    """Drop the connections to a server that is gone, the door's own too, and have its guard look again."""
    door = house.app.extensions[NAME]
    for engine in (house.components.records, house.components.keystore, door.records, door.ledger.keystore):
        engine.dispose()
    door.guard.check()


def known(tenant: Tenant) -> list[bool]:
    """Of each account of the tenant, whether these records are certain to have all of it."""
    with reading(tenant.house.components.records) as connection:
        here = connection.scalar(select(instance()))
    return [each.known_on == here for each in rows(tenant.house, processor_accounts, tenant_id=tenant.id)]


def waits(answer: Any) -> bool:
    """Whether the order is told to come again later, and when."""
    if answer.status_code != 503:
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return False
    assert answer.get_json()["code"] == "in_doubt"
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def payments(tenant: Tenant, obligation: str) -> list[dict[str, Any]]:
    """What the processor has been paid for an obligation, whatever our records say."""
    digest = obligation_digest(tenant.desk, obligation)
    assert digest is not None
    return [
        each for each in tenant.house.sandbox.book()["charges"] if each["metadata"].get("panless_for") == digest.hex()
    ]


def last_alive(house: House, seconds: int) -> None:
    """Let the last beats of all instances but this one be so many seconds ago."""
    with transaction(house.components.records) as tx:
        others = beat_table.c.instance != instance()
        assert tx.execute(update(beat_table).where(others).values(at=database_clock(-seconds))).rowcount == 1


def on_pair(home: Path, both: Pair, sandbox: Sandbox) -> tuple[House, Tenant, str]:
    """A house over both servers, and a tenant with a token."""
    house = build_house(home, both.url, f"sqlite:///{home}.keystore.db", sandbox)
    beats.beat(house.components.records)
    tenant = house.tenant()
    return house, tenant, tenant.token()["id"]
