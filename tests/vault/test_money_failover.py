"""Commits that a failover lost: the records are what they were before, the processor is not. Nobody pays twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from house import House, Tenant
from money_scene import assert_money_is_true, book, made, prepared, settled
from sqlalchemy import delete, insert, select

from rows.engine import reading, transaction
from vault.money import comparing
from vault.tables import audit_entries, charges, events, intents, refunds

LOST = (charges, refunds, intents, events, audit_entries)
"""What is written while money moves, in the order in which it refers to each other."""

OPERATIONS = ("charge", "capture", "refund", "void")
CALLS, THREADS = 60, 4


def remembered(tenant: Tenant) -> Callable[[], None]:
    """How the records stand now; calling it sets them back to that: every commit since is lost."""
    records = tenant.house.components.records
    with reading(records) as connection:
        then = {table: [*connection.execute(select(table).where(table.c.tenant_id == tenant.id))] for table in LOST}

    def set_back() -> None:
        with transaction(records) as tx:
            for table in reversed(LOST):
                tx.execute(delete(table).where(table.c.tenant_id == tenant.id))
            for table in LOST:
                if then[table]:
                    tx.execute(insert(table), [row._asdict() for row in then[table]])

    return set_back


def test_lost_commits(house: House) -> None:
    """What was done in the time that is lost is asked for again with its key, as clients do: done once."""
    tenant = house.tenant()
    orders = [prepared(tenant, OPERATIONS[number % len(OPERATIONS)]) for number in range(CALLS)]
    set_back = remembered(tenant)
    with ThreadPoolExecutor(THREADS) as pool:
        before = [*pool.map(lambda order: made(tenant, order), orders)]
        assert {status for status, _ in before} <= {200, 201}
        paid = {charge: (there["amount"], there["refunded"]) for charge, there in book(tenant).items()}
        set_back()
        after = [*pool.map(lambda order: made(tenant, order), orders)]
    settled(tenant)
    for (_, then), (status, now) in zip(before, after, strict=True):
        assert status in {200, 201}, now
        assert (now["id"], now["status"]) == (then["id"], then["status"])
    assert {charge: (there["amount"], there["refunded"]) for charge, there in book(tenant).items()} == paid
    assert_money_is_true(tenant)


def test_lost_in_the_middle(house: House) -> None:
    """Answers were lost too when the commits were: what is retried with its key is found at the processor."""
    tenant = house.tenant()
    orders = [prepared(tenant, "charge") for _ in range(20)]
    set_back = remembered(tenant)
    house.sandbox.fault(path="/v1/payment_intents", method="POST", do="lose_answer", times=len(orders))
    assert {made(tenant, order)[0] for order in orders} == {202}
    house.sandbox.clear()
    set_back()
    assert {made(tenant, order)[0] for order in orders} == {201}
    assert len(book(tenant)) == len(orders)
    assert_money_is_true(tenant)


def test_what_nobody_asks_for_again_is_told(house: House) -> None:
    """A payment whose commits were lost and whose client never came back is found by reconciling."""
    tenant = house.tenant()
    order = prepared(tenant, "charge")
    set_back = remembered(tenant)
    assert made(tenant, order)[0] == 201
    set_back()
    parts = house.components
    caller = replace(tenant.caller, at=datetime.now(UTC) + timedelta(minutes=10))
    found = comparing.compare(parts.desk(caller), parts.processors, tenant.account, caller.at - timedelta(days=1))
    [orphan] = found.differences
    assert (orphan.kind, orphan.theirs) == ("theirs_only", {"status": "succeeded", "captured": 1234, "refunded": 0})
