"""Turns: each processor account gets a little of the worker's time, whatever waits at the others."""

from collections.abc import Callable
from time import monotonic, sleep
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, insert, select

from rows.engine import reading, transaction
from vault import turns

metadata = MetaData()
jobs = Table(
    "jobs", metadata, Column("tenant_id", String(10)), Column("account_id", String(10)), Column("due", Integer)
)


def row(account: str, number: int = 0) -> Any:
    return SimpleNamespace(tenant_id="t", account_id=account, number=number)


def test_a_few_of_each(new_database: Callable[[], Engine]) -> None:
    """A thousand of one account leave room for one of another, which is in the first that are taken."""
    engine = new_database()
    with transaction(engine) as tx:
        metadata.create_all(tx)
        busy = [{"tenant_id": "a", "account_id": "1", "due": number} for number in range(1000)]
        tx.execute(insert(jobs), [*busy, {"tenant_id": "b", "account_id": "1", "due": 5000}])
    with reading(engine) as connection:
        found = connection.execute(turns.a_few_of_each(select(jobs), jobs.c.due)).all()
    assert [(each.tenant_id, each.due) for each in found[:3]] == [("a", 0), ("b", 5000), ("a", 1)]
    assert len(found) == turns.OF_ONE_ACCOUNT + 1


def test_an_account_whose_processor_hangs() -> None:
    """The others are worked on at the same time, and it has its time back after one turn."""
    done: list[str] = []

    def step(each: Any) -> bool:
        if each.account_id == "slow":
            sleep(0.3)
        done.append(each.account_id)
        return True

    began = monotonic()
    ended = turns.take([*(row("slow", number) for number in range(25)), row("other")], step)
    assert monotonic() - began < turns.SECONDS + 1.5
    assert done[0] == "other"
    assert ended == len(done) < 26


def test_an_account_whose_processor_does_not_say() -> None:
    """It is left alone for the rest of the round; what merely waits, or failed here, holds up nothing."""
    said = {("away", 1): False, ("waits", 0): None}
    seen: list[tuple[str, int]] = []

    def step(each: Any) -> bool | None:
        seen.append((each.account_id, each.number))
        return said.get((each.account_id, each.number), True)

    rows = [row(account, number) for account in ("away", "waits") for number in range(3)]
    assert turns.take(rows, step) == 3
    assert sorted(seen) == [("away", 0), ("away", 1), *(("waits", number) for number in range(3))]


def test_nothing_to_do() -> None:
    """No thread is begun for it."""
    assert turns.take([], lambda _: True) == 0
