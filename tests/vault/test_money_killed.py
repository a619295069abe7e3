"""Charge, capture, void, refund and tokenize, killed (SIGKILL) at each of their steps.

What was killed before its call is never sent: it says so, and another key does it. The steps are named here, for each
database: a new one, a step that moved, or one that is gone fails the test until the list says so too. Where they come
from is `dying_panless`, which counts commits and calls to the processor as they are made.
"""

from typing import Any

import pytest
from depth import deep
from house import House, Tenant, word
from killing import Dying, dying
from money_scene import (
    DONE,
    NOT_DONE,
    OPERATIONS,
    assert_money_is_true,
    assert_no_orphans,
    made,
    prepared,
    settled,
)
from records_scene import end_leases

TIMES = deep(10, at_least=2)
"""At each step, on each of the two databases: every second one is called again before the worker came."""
SQLITE, POSTGRESQL = "before records commit", "after records write"
"""A commit of the records: on PostgreSQL it is one statement where that will do."""


def steps_of(call: str, sqlite: str = SQLITE, postgresql: str = POSTGRESQL) -> dict[str, list[str]]:
    """Intent, one call to the processor, outcome: two commits."""
    called = [f"before processor {call}", f"after processor {call}"]
    return {"sqlite": [sqlite, *called, sqlite], "postgresql": [postgresql, *called, postgresql]}


_STORED = [f"{when} processor {call}" for call in ("open_customer", "store") for when in ("before", "after")]
STEPS: dict[str, dict[str, list[str]]] = {
    "charge": steps_of("charge"),
    "capture": steps_of("capture"),
    "void": steps_of("void"),
    "refund": steps_of("refund", postgresql=SQLITE),
    "tokenize": {
        "sqlite": ["before keystore commit", SQLITE, *_STORED, SQLITE],
        "postgresql": ["after keystore write", SQLITE, *_STORED, POSTGRESQL],
    },
}


def seen(program: Dying, tenant: Tenant, operation: str, step: int) -> list[str]:
    """Kill it so many times at that step; every client tries again with its key, before or after the worker."""
    names, orders = [], []
    for number in range(TIMES):
        order = prepared(tenant, operation)
        name, told = program.die("call", step, **order)
        names.append(name)
        if told is not None:
            assert told["status"] in {200, 201}, told
        if number % 2:
            status, body = made(tenant, order)  # the lease may still hold: then it is told so
            assert status in {200, 201, 202, 409}, body
        orders.append((order, told))
    settled(tenant)
    for order, told in orders:
        status, body = made(tenant, order)
        if told is not None:  # what was acknowledged is what is
            assert (body["id"], body["status"]) == (told["body"]["id"], told["body"]["status"])
        elif was_never_made(operation, status, body):
            status, body = made(tenant, {**order, "key": word()})
        assert (status in {200, 201}, body["status"]) == (True, DONE[operation])
    settled(tenant)
    return names


def was_never_made(operation: str, status: int, body: dict[str, Any]) -> bool:
    """Whether the answer to a key says that its call was not carried out, and never will be."""
    code, member, value = NOT_DONE[operation]
    return (status, body.get(member)) == (code, value)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_server_killed_at_each_step(house: House, operation: str) -> None:
    """0 double charges, 0 orphans, every acknowledged answer true; what was never made can be made with another key."""
    met: list[str] = []
    while "finished" not in met:
        tenant = house.tenant()
        program = dying(tenant)
        names = set(seen(program, tenant, operation, len(met) + 1))
        assert len(names) == 1
        met.extend(names)
        assert_money_is_true(tenant)
        assert_no_orphans(tenant)
    assert met == [*STEPS[operation][house.components.records.dialect.name], "finished"]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("acted", [True, False], ids=["done there", "not done there"])
def test_worker_killed_at_each_step(house: House, operation: str, acted: bool) -> None:  # noqa: FBT001  # a case
    """An unknown outcome, and a worker killed at each step of looking it up: the next worker ends it, once."""
    step, name = 0, ""
    while name != "finished":
        step += 1
        tenant = house.tenant()
        program = dying(tenant)
        for _ in range(TIMES // 2):
            order = prepared(tenant, operation)
            house.sandbox.fault(path=_CALLED[operation], method="POST", do="lose_answer" if acted else "reset")
            made(tenant, order)
            house.sandbox.clear()
            end_leases(house)
            name, _ = program.die("work", step)
            settled(tenant)
        assert_money_is_true(tenant)
        assert_no_orphans(tenant)


_CALLED = {
    "tokenize": "/v1/setup_intents",
    "charge": "/v1/payment_intents",
    "capture": "/v1/payment_intents/*/capture",
    "refund": "/v1/refunds",
    "void": "/v1/payment_intents/*/cancel",
}
