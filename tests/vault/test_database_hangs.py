"""A PostgreSQL that hangs: every wait ends, readiness says so, what was sent is not told to try again."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from doubt_scene import payments
from house import House, Sandbox, build_house, open_house
from postgres import create_database, frozen, own_server
from records_scene import interpose, work
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from rows.engine import reading, transaction

SECONDS, PROBED = 2.0, 2.0
SLACK = 2.0
"""For what else the machine does meanwhile, and for a second statement on another connection."""


@dataclass
class Hanging:
    """A house whose statements are answered within `SECONDS`, over a server that can be frozen."""

    house: House
    server: Any

    def frozen(self) -> AbstractContextManager[None]:
        return frozen(self.server)


@pytest.fixture
def hanging(tmp_path: Path, sandbox: Sandbox) -> Iterator[Hanging]:
    with own_server() as server:
        records, keystore = (create_database(server.get_uri(), name) for name in ("records", "keystore"))
        house = build_house(tmp_path / "house", records, keystore, sandbox)
        environment = {**house.environment, "PANLESS_DATABASE_TIMEOUT": str(SECONDS)}
        house.components.close()
        yield Hanging(open_house(house.home, environment, sandbox, checked=True), server)


def test_every_wait_has_an_end(hanging: Hanging) -> None:
    """A statement, and a commit, of which nobody then says that it was made; the next one finds the server again."""
    records = hanging.house.components.records
    with reading(records) as connection, hanging.frozen():
        begun = time.monotonic()
        with pytest.raises(OperationalError, match="did not answer within 2 s"):
            connection.execute(text("SELECT 1"))
        assert time.monotonic() - begun < SECONDS + SLACK
    with ExitStack() as thawing, pytest.raises(OperationalError):
        _commit_frozen(records, hanging, thawing)
    with reading(records) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def _commit_frozen(records: Engine, hanging: Hanging, thawing: ExitStack) -> None:
    with transaction(records) as tx:
        tx.execute(text("UPDATE deployment SET deployment_id = deployment_id"))
        thawing.enter_context(hanging.frozen())


def test_readiness_looks_with_a_deadline_of_its_own(hanging: Hanging) -> None:
    """While the server hangs, not ready, within two seconds; alive all the same; ready once it goes on."""
    door = hanging.house.app.test_client()
    assert door.get("/readyz").status_code == 200
    with hanging.frozen():
        begun = time.monotonic()
        answer = door.get("/readyz")
        assert (answer.status_code, answer.get_json()["code"]) == (503, "database_unavailable")
        assert time.monotonic() - begun < PROBED + SLACK
        assert door.get("/livez").status_code == 200
    wait_for_ready(door)


def wait_for_ready(door: Any) -> None:
    end = time.monotonic() + 20
    while door.get("/readyz").status_code != 200:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_charge_that_can_not_be_written_down(hanging: Hanging) -> None:
    """The server hangs while the processor is asked: 202, within the deadline; then it is found to be paid, once."""
    tenant = hanging.house.tenant()
    token = tenant.token()["id"]
    begun = time.monotonic()
    with ExitStack() as thawing:

        def pay_and_freeze(call: Any) -> Any:
            paid = call()
            thawing.enter_context(hanging.frozen())
            return paid

        answer = interpose(tenant, charge=pay_and_freeze).charge(token, obligation="I-1")
        taken = time.monotonic() - begun
    assert (answer.status_code, answer.get_json()["status"]) == (202, "unknown")
    assert taken < 2 * (SECONDS + SLACK)
    wait_for_ready(hanging.house.app.test_client())
    assert work(hanging.house) == []
    assert tenant.call("GET", f"/v1/charges/{answer.get_json()['id']}").get_json()["status"] == "succeeded"
    assert tenant.charge(token, obligation="I-1").status_code == 409
    assert len(payments(tenant, "I-1")) == 1


def test_a_charge_that_can_not_be_begun(hanging: Hanging) -> None:
    """503 within the deadline, and nothing was sent; its retry with the same key pays."""
    tenant = hanging.house.tenant()
    token = tenant.token()["id"]
    with hanging.frozen():
        begun = time.monotonic()
        answer = tenant.charge(token, key="c-1", obligation="I-1")
        assert (answer.status_code, answer.get_json()["code"]) == (503, "database_unavailable")
        assert time.monotonic() - begun < SECONDS + SLACK
    wait_for_ready(hanging.house.app.test_client())
    assert payments(tenant, "I-1") == []
    assert tenant.charge(token, key="c-1", obligation="I-1").status_code == 201


def test_a_look_that_meets_no_database_closes_no_door(hanging: Hanging) -> None:
    """The guard's verdict was about these databases: once they go on, so does everything, before it looks again."""
    tenant = hanging.house.tenant()
    token = tenant.token()["id"]
    with hanging.frozen():
        assert hanging.house.components.guard.check().code == "database_unavailable"
        assert tenant.charge(token).get_json()["code"] == "database_unavailable"
    assert tenant.charge(token).status_code == 201
