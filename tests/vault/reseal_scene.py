"""Resealing as tests run it: what was chosen, the pauses and the progress it told, and a deployment in the middle."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from house import House, Tenant
from sqlalchemy import event, select

from keys import keks
from keys.keystore import DEKS
from keys.renewal import Doomed
from rows.engine import reader_of, reading
from vault.resealing import key_rotation, runs
from vault.resealing.runs import Run
from vault.resealing.values import Told

Pause = Callable[[], object]


def of_customer(tenant: Tenant, customer: str) -> list[Doomed]:
    """What `--customer` chooses."""
    return [Doomed(tenant_id=tenant.id, before=tenant.house.components.keyring.now(), subject_id=customer)]


def everything(house: House) -> list[Doomed]:
    """What `--all` chooses: everybody's, under new KEKs."""
    ring = house.components.keyring
    before = ring.now()
    for tenant in keks.due(ring, before):
        key_rotation.rotate(house.components.workshop, tenant)
    return [Doomed(tenant_id=tenant, before=before) for tenant in keks.tenants(ring)]


def reseal(house: House, chosen: Sequence[Doomed], *, own: bool = False, pause: Pause = lambda: None) -> int:
    """One run to its end; `pause` happens where it would wait. How often something did not open."""
    run = Run(
        shop=house.components.workshop,
        chosen=chosen,
        own=own,
        wait=1,
        pause=lambda _seconds, _until: pause(),
        progress=_untold,
    )
    return runs.run(run)


@contextmanager
def _untold(_what: str, _total: int) -> Iterator[Told]:
    yield lambda _more: None


def dek_rows(house: House, **wanted: object) -> Sequence[Any]:
    """Rows of DEKs, in the order of their making."""
    statement = select(DEKS).filter_by(**wanted).order_by(DEKS.c.created_at)
    with reading(house.components.keystore) as connection:
        return connection.execute(statement).all()


@contextmanager
def dying_at(house: House, statement: int) -> Iterator[list[str]]:
    """The process dies before its so-many-th statement to either database; what it has sent until then."""
    sent: list[str] = []

    def count(*call: Any) -> None:
        sent.append(call[2])
        if len(sent) == statement:
            raise Killed

    writers = (house.components.records, house.components.keystore)
    engines = [*writers, *map(reader_of, writers)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", count)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", count)


class Killed(BaseException):
    """The end of a process: nothing catches it."""
