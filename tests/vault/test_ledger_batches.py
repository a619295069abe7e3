"""Many entries decided at once: one of those who wait takes them all through the ledger."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from house import House, make_app
from records_scene import at_once

from vault.errors import LedgerAway
from vault.ledger.batches import Batches
from vault.ledger.book import LedgerStore

AT_ONCE = 12
FAR_AWAY = 0.03
"""Seconds for which each look into a bucket takes."""


class Bucket:
    """A store that is far away, and counts how often it is asked."""

    def __init__(self, store: LedgerStore) -> None:
        self._store, self.reads, self.writes = store, 0, 0

    def read(self, seq: int) -> bytes | None:
        self.reads += 1
        time.sleep(FAR_AWAY)
        return self._store.read(seq)

    def head(self, known: int) -> int:
        self.reads += 1
        time.sleep(FAR_AWAY)
        return self._store.head(known)

    def write(self, seq: int, entry: bytes) -> bool:
        self.writes += 1
        time.sleep(FAR_AWAY)
        return self._store.write(seq, entry)

    def seems_to_have(self, seq: int) -> bool:
        return self._store.seems_to_have(seq)


def over_a_bucket(house: House) -> tuple[Any, Bucket]:
    """The door of a process whose ledger is far away."""
    ledger = house.components.ledger
    bucket = Bucket(ledger.store)
    return make_app(replace(house.components, ledger=replace(ledger, store=bucket))), bucket


def test_erasures_at_once_read_the_ledger_seldom(own_house: House) -> None:
    """Each is written once, and together they read no more than they would one after the other."""
    tenant = own_house.tenant()
    app, bucket = over_a_bucket(own_house)
    far = replace(tenant, house=replace(own_house, app=app))
    alone, *customers = [tenant.token()["customer"] for _ in range(1 + AT_ONCE)]
    assert far.call("DELETE", f"/v1/customers/{alone}").status_code == 202
    one, bucket.reads, bucket.writes = bucket.reads, 0, 0
    told = at_once(AT_ONCE, lambda number: far.call("DELETE", f"/v1/customers/{customers[number]}").status_code)
    assert told == [202] * AT_ONCE
    assert bucket.writes == AT_ONCE
    assert bucket.reads <= one * AT_ONCE
    assert [far.call("GET", f"/v1/customers/{each}").status_code for each in customers] == [410] * AT_ONCE


class Job:
    """Work that says when it has begun, and ends when it may."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.done: list[list[int]] = []
        self.waited: list[bool] = []
        self._error = error

    def __call__(self, batch: Sequence[int], *, waited: bool) -> None:
        self.done.append([*batch])
        self.waited.append(waited)
        self.begun.set()
        self.may_end.wait(5)
        if self._error is not None:
            raise self._error


def gathered(batches: Batches[int], pool: ThreadPoolExecutor, do: Job, numbers: Sequence[int]) -> list[Future[None]]:
    """The first of these at work, the others waiting, each behind the one before."""
    tasks = []
    for number in numbers:
        tasks.append(pool.submit(batches.take, number, do))
        do.begun.wait(5)
        while len(batches) < len(tasks) - 1:
            time.sleep(0.001)
    return tasks


def test_what_gathers_is_the_next_batch() -> None:
    """One is at work; those who come meanwhile are done together by the first of them."""
    batches, do = Batches[int](), Job()
    with ThreadPoolExecutor(4) as pool:
        tasks = gathered(batches, pool, do, (1, 2, 3, 4))
        do.may_end.set()
        assert [each.result(5) for each in tasks] == [None] * 4
    assert do.done == [[1], [2, 3, 4]]
    batches.take(5, do)
    assert do.done[-1] == [5]
    assert do.waited == [False, True, False]


def test_all_of_a_batch_are_told_what_went_wrong() -> None:
    """Each in its own request; who comes later is not."""
    batches, do = Batches[int](), Job(LedgerAway("no bucket"))
    with ThreadPoolExecutor(3) as pool:
        tasks = gathered(batches, pool, do, (1, 2, 3))
        do.may_end.set()
        assert [type(each.exception(5)) for each in tasks] == [LedgerAway] * 3
    then = Job()
    then.may_end.set()
    batches.take(4, then)


def test_a_request_that_is_ended_at_work_leaves_nobody_waiting() -> None:
    """Those whose work it had are told to try again, those who wait go on."""
    batches, do, then = Batches[int](), Job(KeyboardInterrupt()), Job()
    then.may_end.set()
    with ThreadPoolExecutor(2) as pool:
        [ended] = gathered(batches, pool, do, (1,))
        waits = pool.submit(batches.take, 2, then)
        while not len(batches):
            time.sleep(0.001)
        do.may_end.set()
        assert isinstance(ended.exception(5), KeyboardInterrupt)
        assert waits.result(5) is None
    assert then.done == [[2]]
