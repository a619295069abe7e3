from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from house import House, Tenant
from records_scene import checked_out, interpose
from sqlalchemy import Connection, Engine, event

from rows.engine import reader_of


class Commits:
    """How many transactions that changed a row a database has committed."""

    def __init__(self) -> None:
        self.count = 0
        self._writes: set[Connection] = set()

    def wrote(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if _writes(statement):
            self._writes.add(connection)

    def wrote_alone(self, _connection: Connection, cursor: Any, statement: str, *_: Any) -> None:
        """In AUTOCOMMIT such a statement is a transaction of its own, unless it answers that it wrote nothing."""
        self.count += _writes(statement) and not _wrote_nothing(cursor)

    def committed(self, connection: Connection) -> None:
        self.count += connection in self._writes
        self._writes.discard(connection)


def _writes(statement: str) -> bool:
    return statement.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE", "WITH"))


def _wrote_nothing(cursor: Any) -> bool:
    """What `statements.write_whole` asks for on PostgreSQL is 0 then: there is no commit to wait for."""
    asked = cursor.description is not None and cursor.description[0][0] == "whole"
    return asked and cursor.pgresult.get_value(0, 0) == b"0"


@contextmanager
def counted(engine: Engine) -> Iterator[Commits]:
    commits = Commits()
    listeners = [(reader_of(engine), "after_cursor_execute", commits.wrote_alone)]
    listeners += [(engine, "before_cursor_execute", commits.wrote), (engine, "commit", commits.committed)]
    for listener in listeners:
        event.listen(*listener)
    yield commits
    for listener in listeners:
        event.remove(*listener)


@contextmanager
def budget(tenant: Tenant, *, records: int, keystore: int) -> Iterator[None]:
    parts = tenant.house.components
    with counted(parts.records) as of_records, counted(parts.keystore) as of_keystore:
        yield
    assert (of_records.count, of_keystore.count) == (records, keystore)


@pytest.fixture
def watched(tenant: Tenant) -> Tenant:
    return watch(tenant)


def watch(tenant: Tenant) -> Tenant:
    """A tenant whose processor refuses to be called while a connection to any database is checked out."""
    parts = tenant.house.components
    engines = [each for engine in (parts.records, parts.keystore) for each in (engine, reader_of(engine))]

    def look(call: Callable[[], Any]) -> Any:
        assert [checked_out(engine) for engine in engines] == [0, 0, 0, 0]
        return call()

    calls = ("open_customer", "store", "confirm", "charge", "refund", "burn", "forget", "forget_customer")
    finds = ("find_customer", "find_stored", "find_refund", "list_payments", "read_charge", "refunds_of")
    return interpose(tenant, **dict.fromkeys((*calls, *finds), look))


def test_commits_and_connections(watched: Tenant) -> None:
    """Two commits a tokenize, charge and refund; one in the keystore for a new customer; no connection in a call."""
    with budget(watched, records=2, keystore=1):
        token = watched.token(customer={"reference": "c-1"})
    with budget(watched, records=2, keystore=0):
        second = watched.token("5555555555554444", customer=token["customer"])
    with budget(watched, records=2, keystore=0):
        assert watched.token(customer=token["customer"])["deduplicated"]
    with budget(watched, records=2, keystore=0):
        charge = watched.charge(second["id"]).get_json()
    with budget(watched, records=2, keystore=0):
        path = f"/v1/charges/{charge['id']}/refunds"
        assert watched.call("POST", path, {}, Idempotency_Key="r").status_code == 201


def test_looks_commit_their_audit_entry_and_nothing_else(watched: Tenant) -> None:
    """Reading a contact is one commit, a card's metadata none."""
    token = watched.token(customer={"billing_contact": {"name": "Ada"}})
    with budget(watched, records=0, keystore=0):
        watched.call("GET", f"/v1/tokens/{token['id']}")
        watched.call("GET", f"/v1/customers/{token['customer']}")
    with budget(watched, records=1, keystore=0):
        purpose = 'billing; ref="T-1"'
        watched.call("GET", f"/v1/customers/{token['customer']}/billing-contact", Access_Purpose=purpose)


def test_the_worker_and_erasures_hold_no_connection_in_a_call(own_house: House) -> None:
    """Neither while it looks up an unknown charge or burns its key, nor while it tells of an erasure or a deletion."""
    watched = watch(own_house.tenant())  # alone: what others' accounts hold at the same time is theirs
    token, spare = watched.token(), watched.token()
    watched.house.sandbox.fault(path="/v1/payment_intents", do="reset")
    never = watched.charge(token["id"])
    watched.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    charge = watched.charge(token["id"])
    assert charge.status_code == 202
    watched.call("DELETE", f"/v1/tokens/{spare['id']}")
    assert watched.house.work()[1] == []
    assert watched.call("GET", charge.headers["Location"]).get_json()["status"] == "succeeded"
    assert watched.call("GET", never.headers["Location"]).get_json()["status"] == "failed"
    assert watched.erase(token["customer"]).status_code == 200
