"""Many callers at once: one key is one charge, one obligation is one payment, whatever breaks meanwhile."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from depth import chance, deep
from house import House, Tenant, word
from killing import dying
from money_scene import assert_money_is_true, assert_no_orphans, book, made, prepared, settled

CALLERS, TIMES, KILLS = 50, deep(25), deep(100, at_least=20)
"""Fifty callers, and how often on each of the two databases."""
THREADS = 16


def test_same_key_from_fifty_callers(tenant: Tenant) -> None:
    """One charge each time, and one answer for all who get one; the others are told that it is under way."""
    token = tenant.token()["id"]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(TIMES):
            order = {"token": token, "amount": 100, "currency": "eur", "obligation": word()}
            asked = {"method": "POST", "path": "/v1/charges", "body": order, "key": word()}
            answers = [*pool.map(lambda _, asked=asked: made(tenant, asked), range(CALLERS))]
            told = {body["id"]: body for status, body in answers if status == 201}
            assert len(told) == 1
            assert {status for status, _ in answers} <= {201, 409}
            [charge] = told.values()
            assert all(body == charge for status, body in answers if status == 201)
            assert {body["code"] for status, body in answers if status == 409} <= {"in_progress"}
            assert made(tenant, asked) == (201, charge)
    assert len(book(tenant)) == TIMES
    assert_money_is_true(tenant)


def test_one_obligation_with_kills_and_faults(house: House) -> None:
    """Fifty callers with a key of their own each, servers that die, answers that get lost: one payment."""
    tenant, draw = house.tenant(), chance("one obligation")
    token = tenant.token()["id"]
    order = {"token": token, "amount": 100, "currency": "eur", "obligation": word()}
    program = dying(tenant)
    with ThreadPoolExecutor(THREADS) as pool:
        for step in (2, 3, 4, 1):
            call = {"method": "POST", "path": "/v1/charges", "body": order, "api_key": tenant.keys["all"]}
            program.die("call", step, key=word(), **call)
            house.sandbox.fault(path="/v1/payment_intents", method="POST", do=draw.choice(["lose_answer", "reset"]))
            asked = [{**call, "key": word()} for _ in range(CALLERS)]
            answers = [*pool.map(lambda one: made(tenant, one), asked)]
            house.sandbox.clear()
            assert Counter(status for status, _ in answers).keys() <= {201, 202, 409}
            settled(tenant)
    assert len([row for row in book(tenant).values() if row["captured"]]) == 1
    assert_money_is_true(tenant)
    status, body = made(tenant, {"method": "POST", "path": "/v1/charges", "body": order, "key": word()})
    assert (status, body["code"]) == (409, "already_paid")


def test_random_kills_under_load(house: House) -> None:
    """Servers and workers that die wherever they are, while others go on: the record and the book agree at the end."""
    tenant, draw = house.tenant(), chance("random kills")
    operations = ("charge", "capture", "refund", "void", "charge", "tokenize")
    orders = []
    program = dying(tenant)
    with ThreadPoolExecutor(4) as pool:
        for number in range(KILLS):
            order = prepared(tenant, draw.choice(operations))
            load = pool.submit(made, tenant, prepared(tenant, draw.choice(operations)))
            if number % 4:
                program.die("call", draw.randint(1, 5), **order)
            else:
                program.die("work", draw.randint(1, 6))
            orders.append(order)
            assert load.result()[0] in {200, 201}
    settled(tenant)
    assert_money_is_true(tenant)
    for order in orders:
        status, body = made(tenant, order)
        assert status in {200, 201} or body["code"] in {"never_charged", "never_stored"}
    settled(tenant)
    assert_money_is_true(tenant)
    assert_no_orphans(tenant)
