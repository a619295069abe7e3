"""How long nobody can pay when a primary goes: beside what PostgreSQL itself takes, measured on the same way."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from drill_scene import send
from house import House, Sandbox, Tenant, build_house, serve, word
from moments import Moments
from postgres import create_database
from running_worker import worker
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError
from standby import Pair

from rows.engine import open_database, transaction

CLIENTS = 3
STOOD_STILL = 10.0
"""Seconds until somebody promotes the standby of a primary that does not answer."""


def writes(engine: Engine) -> Callable[[], bool]:
    """Commits an update of one row, each on a connection that is found or made."""

    def write() -> bool:
        try:
            with transaction(engine) as tx:
                tx.execute(text("UPDATE deployment SET deployment_id = deployment_id"))
        except SQLAlchemyError:
            return False
        return True

    return write


def pays(tenant: Tenant, url: str, token: str, told: set[int]) -> Callable[[], bool]:
    """Charges for an obligation of its own, and insists on none."""

    def pay() -> bool:
        body = {"token": token, "amount": 100, "currency": "eur", "initiator": "merchant", "obligation": word()}
        order = {"method": "POST", "path": "/v1/charges", "body": body | {"reason": "recurring"}, "key": word()}
        status = send(tenant, url, order).status
        told.add(status)
        return status == 201

    return pay


@pytest.fixture
def house(both: Pair, postgresql: str, tmp_path: Path, sandbox: Sandbox) -> Iterator[House]:
    """Over whichever server takes writes; its keystore stays where it is."""
    built = build_house(tmp_path / "house", both.either_url, create_database(postgresql, f"keys_{word()}"), sandbox)
    yield built
    built.components.close()


def _switched(both: Pair) -> AbstractContextManager[None]:
    both.switch_over()
    return nullcontext()


def _killed(both: Pair) -> AbstractContextManager[None]:
    both.die()
    return nullcontext()


def _frozen(both: Pair) -> AbstractContextManager[None]:
    return both.frozen(STOOD_STILL)


@pytest.mark.parametrize(
    ("befalls", "most"), [(_switched, 2.0), (_killed, 5.0), (_frozen, 15.0)], ids=["switchover", "kill -9", "SIGSTOP"]
)
def test_ours_is_little(
    house: House, both: Pair, free_port: int, befalls: Callable[[Pair], AbstractContextManager[None]], most: float
) -> None:
    """A tenant with one account: its first charge comes at most so many seconds after PostgreSQL's first write."""
    tenant, told = house.tenant(), set[int]()
    token = tenant.token()["id"]
    with serve(house, free_port) as (_, url), worker(house):
        tries = [Moments(pays(tenant, url, token, told)) for _ in range(CLIENTS)]
        engine = open_database(both.either_url, 1, seconds=2.0)
        own = Moments(writes(engine))
        with own.noted(), tries[0].noted(), tries[1].noted(), tries[2].noted():
            time.sleep(3)  # beats reach the standby
            both.catch_up()
            with befalls(both):
                promoted = time.monotonic()
                theirs, ours = own.after(promoted), min(each.after(promoted) for each in tries)
    engine.dispose()
    print(f"PostgreSQL {theirs:.1f} s, ours {ours:.1f} s")  # noqa: T201  # what is told where it fails
    assert ours - theirs <= most
    assert told <= {201, 202, 503, 0}
