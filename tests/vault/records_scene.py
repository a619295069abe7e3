"""What tests of the records share: collaborators that stand between us and the processor, and time made to pass."""

import json
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier, BrokenBarrierError
from typing import Any

from house import LONG_AGO, House, Tenant, end_waits, make_app, word
from sqlalchemy import Engine, QueuePool, Row, Select, Table, event, insert, select, update

from keys.envelope import dek_id_of
from rows.engine import reading, transaction
from vault.caller import Caller
from vault.ids import new_id
from vault.money.charge.charges import details_place, open_details, open_retained, retained_place
from vault.processing import beats
from vault.processing.accounts import credentials_of
from vault.sealing import seal_value
from vault.tables import beats as beat_table
from vault.tables import (
    callbacks,
    charges,
    erasure_recipients,
    erasures,
    packages,
    processor_accounts,
    rights_targets,
)

CONTACT = {"name": "Ada Lovelace", "email": "ada@example.com", "phone": "+44 20 7946 0958"}


class Crash(BaseException):
    """A process that ends here: nothing catches it, nothing after it runs."""


class Interposed:
    """A processor between us and another: `hooks` are called with the call in place of the call."""

    def __init__(self, real: Any, **hooks: Callable[[Callable[[], Any]], Any]) -> None:
        self._real = real
        self._hooks = hooks

    def __getattr__(self, name: str) -> Any:
        method, hook = getattr(self._real, name), self._hooks.get(name)
        if hook is None:
            return method
        return lambda *args, **kwargs: hook(partial(method, *args, **kwargs))


def interpose(tenant: Tenant, **hooks: Callable[[Callable[[], Any]], Any]) -> Tenant:
    """The tenant before a door whose processor is `Interposed`."""
    house = tenant.house
    real = house.components.processors["sandbox"]
    components = replace(house.components, processors={"sandbox": Interposed(real, **hooks)})
    return replace(tenant, house=replace(house, components=components, app=make_app(components)))


def crash(_call: Callable[[], Any]) -> Any:
    raise Crash


def act_then_crash(call: Callable[[], Any]) -> Any:
    call()
    raise Crash


def at(house: House, clock: Callable[[], datetime]) -> House:
    """The house under another clock."""
    components = replace(house.components, clock=clock)
    return replace(house, components=components, app=make_app(components))


def later(house: House, **ahead: float) -> House:
    """The house with its clock ahead by that much."""
    return at(house, lambda: datetime.now(UTC) + timedelta(**ahead))


@contextmanager
def before_statements(engine: Engine, words: str, act: Callable[[], object]) -> Iterator[None]:
    """`act` is called whenever a statement with these words is about to be sent, in the thread that sends it."""

    def look(*call: Any) -> None:
        if words in call[2]:
            act()

    event.listen(engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", look)


def meeting(threads: int, seconds: float) -> Callable[[], None]:
    """Wait until so many threads are here, or, where a lock keeps them apart, so long; only the first time."""
    barrier = Barrier(threads)

    def meet() -> None:
        with suppress(BrokenBarrierError):
            barrier.wait(seconds)

    return meet


def checked_out(engine: Engine) -> int:
    """How many of an engine's connections are in use now."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()


def end_leases(house: House) -> None:
    """Let every lease be over, as if its holder had been dead for long."""
    end_waits(house)
    with transaction(house.components.records) as tx:
        tx.execute(update(erasures).values(lease_until=LONG_AGO))
        pending = erasure_recipients.c.result == "pending"  # a day that is scheduled is no lease
        tx.execute(update(erasure_recipients).where(pending).values(next_attempt_at=LONG_AGO))
        tx.execute(update(rights_targets).values(next_look_at=LONG_AGO))
        tx.execute(update(callbacks).values(next_attempt_at=LONG_AGO))
        tx.execute(update(packages).where(packages.c.state == "building").values(lease_until=LONG_AGO))


def work(house: House) -> list[tuple[str, Exception]]:
    """A round of the worker after all leases are over; what it reported."""
    end_leases(house)
    return house.work()[1]


def catch_up(house: House) -> None:
    """Panless starts, calls from before are over, and the worker walks: what these records have lost is known again."""
    beats.begin(house.components.records)
    beats.beat(house.components.records)
    with transaction(house.components.records) as tx:
        tx.execute(update(beat_table).values(since=LONG_AGO))
    assert house.work()[1] == []


def rows(house: House, table: Table, **wanted: object) -> Sequence[Row[Any]]:
    """The rows of `table` whose columns have these values."""
    statement: Select[Any] = select(table)
    for name, value in wanted.items():
        statement = statement.where(table.c[name] == value)
    with reading(house.components.records) as connection:
        return connection.execute(statement).all()


def row(house: House, table: Table, **wanted: object) -> Row[Any]:
    [only] = rows(house, table, **wanted)
    return only


def at_processor(tenant: Tenant) -> dict[str, set[str]]:
    """What this tenant's account at the sandbox has: each customer there with its payment methods."""
    people = ask_sandbox(tenant, "/v1/customers?limit=100")
    return {
        each["id"]: {method["id"] for method in ask_sandbox(tenant, f"/v1/customers/{each['id']}/payment_methods")}
        for each in people
    }


def ask_sandbox(tenant: Tenant, path: str) -> list[dict[str, Any]]:
    [account] = rows(tenant.house, processor_accounts, account_id=tenant.account)
    key = credentials_of(tenant.house.components.keyring, tenant.id, account).api_key.value
    request = urllib.request.Request(tenant.house.sandbox.url + path, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]
        return found


def second_account(tenant: Tenant) -> str:
    order = {"kind": "sandbox", "label": "second", "credentials": {"api_key": f"sk_test_{word()}"}}
    answer = tenant.call("POST", "/v1/processor-accounts", order)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    return str(answer.get_json()["id"])


def worker_of(tenant: Tenant) -> Caller:
    """The program itself, for this tenant."""
    return replace(tenant.caller, at=tenant.house.components.clock())


def at_once(count: int, act: Callable[[int], Any], *, threads: int = 0) -> list[Any]:
    """`act` so many times in as many threads at once, or in fewer; what they returned."""
    with ThreadPoolExecutor(threads or count) as pool:
        return list(pool.map(act, range(count)))


def many_charges(tenant: Tenant, charge: str, count: int) -> None:
    """So many copies of a charge, one a second before it, each sealed for its own place and paying its own invoice."""
    keyring = tenant.house.components.keyring
    model = row(tenant.house, charges, charge_id=charge)
    money = open_retained(keyring, model)
    deks = keyring.deks(tenant.id, {dek_id_of(model.details)})
    details = open_details(keyring, model, deks)
    [own], retention = deks.values(), keyring.tenant_key(tenant.id, "retention")
    copies = []
    for number in range(1, count + 1):
        new, moment = new_id("chg", tenant.id), model.created_at - timedelta(seconds=number)
        place = retained_place(keyring, tenant.id, new, 1)
        kept = {
            "charge_id": new,
            "obligation_digest": None,
            "retained": seal_value(retention, money | {"obligation": f"I-{number}"}, place),
            "retained_version": 1,
            "details": seal_value(own, details, details_place(keyring, tenant.id, new, model.customer_id, 1)),
            "details_version": 1,
            "created_at": moment,
        }
        copies.append(model._asdict() | kept)
    with transaction(tenant.house.components.records) as tx:
        tx.execute(insert(charges), copies)
