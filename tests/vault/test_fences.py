"""A process that stalls sends nothing, and one that has lost its lease writes nothing: the worker's end stands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from house import House, Tenant, word
from money_scene import DONE, NOT_DONE, OPERATIONS, assert_money_is_true, assert_no_orphans, made, prepared, settled
from records_scene import before_statements, crash, end_leases, interpose, row, rows, work
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError

from api.application import create_app
from vault.processing import sending
from vault.processing.answers import NotReached, Refused, Unknown
from vault.recovering import resolving
from vault.tables import charges, intents, refunds, tokens

CALLS = {"tokenize": "store", "charge": "charge", "capture": "capture", "refund": "refund", "void": "void"}
"""The call of the port by which each operation changes something."""

TOO_OLD = sending.BUDGET + 1.0


def stalled(tenant: Tenant, meanwhile: Callable[[], object] = lambda: None) -> Tenant:
    """The tenant before a door whose process stands still between its commit and its call."""

    def age() -> float:
        meanwhile()
        return TOO_OLD

    house = tenant.house
    return replace(tenant, house=replace(house, app=create_app(replace(house.components.parts, ages=lambda: age))))


def written(tenant: Tenant) -> list[Any]:
    """All that a call writes of itself, but for the audit log."""
    tables = (charges, refunds, tokens, intents)
    return [sorted(map(repr, rows(tenant.house, table, tenant_id=tenant.id))) for table in tables]


def again(tenant: Tenant, operation: str, order: dict[str, Any]) -> None:
    """It was never carried out and says so: with another key it is, once."""
    status, body = made(tenant, order)
    code, member, value = NOT_DONE[operation]
    assert (status, body[member]) == (code, value)
    status, body = made(tenant, {**order, "key": word()})
    assert (status in {200, 201}, body["status"]) == (True, DONE[operation])
    assert_money_is_true(tenant)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_is_read_between_the_last_look_at_the_age_and_the_call(own_house: House, operation: str) -> None:
    """A process may stand still at each statement: all that the call needs was read before, whatever was forgotten."""
    tenant, is_looked_at, read = own_house.tenant(), [False], list[str]()
    parts, order = own_house.components.parts, prepared(tenant, operation)

    def age() -> float:
        parts.keyring.forget_cached()
        is_looked_at[0] = True
        return 0.0

    def reads(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if is_looked_at[0]:
            read.append(statement)

    def called(call: Callable[[], Any]) -> Any:
        is_looked_at[0] = False
        return call()

    door = interpose(tenant, **{CALLS[operation]: called, "open_customer": called}).house
    app = create_app(replace(door.components.parts, ages=lambda: age))
    event.listen(Engine, "before_cursor_execute", reads)
    try:
        status, _ = made(replace(tenant, house=replace(door, app=app)), order)
    finally:
        event.remove(Engine, "before_cursor_execute", reads)
    assert (status in {200, 201}, read) == (True, [])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_that_is_too_old_sends_nothing(tenant: Tenant, operation: str) -> None:
    """It takes back what it began and is told 503; the same key begins again, and is carried out once."""
    order = prepared(tenant, operation)
    if operation == "tokenize":  # its customer stays
        order["body"]["customer"] = tenant.token("5555555555554444")["customer"]
    before = written(tenant)
    status, body = made(stalled(interpose(tenant, **{CALLS[operation]: crash, "open_customer": crash})), order)
    assert (status, body["code"]) == (503, "processor_not_reached")
    assert [len(each) for each in written(tenant)] == [len(each) for each in before]
    status, body = made(tenant, order)
    assert (status in {200, 201}, body["status"]) == (True, DONE[operation])
    assert_money_is_true(tenant)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_take_back_that_fails_is_no_503(tenant: Tenant, operation: str) -> None:
    """Nobody may be told to try again before what was begun is gone: 202, and the worker says that nothing was done."""
    order = prepared(tenant, operation)
    with deletions_fail(tenant):
        status, _ = made(stalled(interpose(tenant, **{CALLS[operation]: crash})), order)
    assert status == 202
    settled(tenant)
    again(tenant, operation, order)


@contextmanager
def deletions_fail(tenant: Tenant) -> Iterator[None]:
    """The database is gone when an intent is to be deleted."""

    def fail() -> None:
        raise OperationalError("DELETE", None, Exception("gone"))

    with before_statements(tenant.house.components.records, "DELETE FROM intents", fail):
        yield


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_request_that_stalls_until_the_worker_has_ended_it(tenant: Tenant, operation: str) -> None:
    """It sends nothing and takes nothing back: what the worker said of it stands, also in its own answer."""
    order = prepared(tenant, operation)
    ended: list[Any] = []

    def meanwhile() -> None:
        if not ended:
            settled(tenant)
            ended.extend(written(tenant))

    status, body = made(stalled(interpose(tenant, **{CALLS[operation]: crash}), meanwhile), order)
    assert written(tenant) == ended
    code, member, value = NOT_DONE[operation]
    assert (status, body[member]) == (code, value)
    again(tenant, operation, order)


ANSWERS: dict[str, Callable[[Callable[[], Any]], Any]] = {
    "done": lambda call: call(),
    "done, its answer lost": lambda call: (call(), Unknown(reason="timeout"))[1],
    "not reached": lambda _call: NotReached(reason="never_connected"),
    "refused": lambda _call: Refused(code="parameter_invalid"),
    "lost": lambda _call: Unknown(reason="timeout"),
}


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_has_lost_the_lease_writes_nothing(tenant: Tenant, operation: str, answer: str) -> None:
    """The worker has it under another word: whatever the call came to, the worker's end is told, and it is so."""
    order, shop, taken = prepared(tenant, operation), tenant.house.components.workshop, []

    def overtaken(call: Callable[[], Any]) -> Any:
        came = ANSWERS[answer](call)
        end_leases(tenant.house)
        [due] = [each for each in resolving.due(shop) if each.tenant_id == tenant.id]
        assert resolving.take_up(shop, due) is not None
        taken.extend(written(tenant))
        return came

    status, body = made(interpose(tenant, **{CALLS[operation]: overtaken}), order)
    assert status == (201 if operation == "refund" else 202)  # a refund is pending until more is known
    assert body["status"] == {"capture": "authorized", "void": "authorized"}.get(operation, "pending")
    assert written(tenant) == taken
    settled(tenant)
    if answer.startswith("done"):
        status, body = made(tenant, order)
        assert (status in {200, 201}, body["status"]) == (True, DONE[operation])
        assert_money_is_true(tenant)
    else:
        again(tenant, operation, order)
    assert work(tenant.house) == []
    assert_no_orphans(tenant)


def test_a_worker_that_has_lost_the_lease_writes_nothing(tenant: Tenant) -> None:
    """Two workers, one of which stands still while it lists: what the other wrote stands, and is told once."""
    token = tenant.token()["id"]
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    charge = tenant.charge(token).get_json()["id"]
    seen: list[Any] = []

    def slow(call: Callable[[], Any]) -> Any:
        listed = call()
        if not seen:
            seen.append(listed)
            assert work(tenant.house) == []
            seen.append(written(tenant))
        return listed

    assert work(interpose(tenant, list_payments=slow).house) == []
    assert row(tenant.house, charges, charge_id=charge).state == "succeeded"
    assert written(tenant) == seen[1]
    told = [each["type"] for each in tenant.call("GET", "/v1/events").get_json()["data"]]
    assert told.count("charge.succeeded") == 1
