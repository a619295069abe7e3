"""API keys: one answer for every key that is not good, and nothing of test mode for a live one."""

import zlib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from api_scene import another_client, fixed, never_was, problem
from house import PURPOSE, Tenant, word
from sqlalchemy import Table, insert, select, update
from werkzeug.test import TestResponse

from rows.engine import transaction
from vault.tables import client_keys, clients
from vault.tenancy.client_keys import Terms
from vault.tenancy.clients import create_client, revoke_client

MODE, CHECKSUM = len("panless_test_"), 8


def _signed(body: str) -> str:
    """A key with a right checksum, which anybody can compute."""
    return f"{body}{zlib.crc32(body.encode()):08x}"


def _bad_keys(good: str, other: str) -> Iterator[tuple[str, str]]:
    body, others = good[:-CHECKSUM], other[:-CHECKSUM]
    assert _signed(body) == good  # else what follows tries nothing but wrong checksums
    tenant, key = slice(MODE, MODE + 28), slice(MODE + 28, MODE + 56)

    def with_part(part: slice, new: str) -> str:
        return _signed(body[: part.start] + new + body[part.stop :])

    yield "checksum wrong", body + ("0" if good[-CHECKSUM] != "0" else "1") + good[1 - CHECKSUM :]
    yield "one character wrong", good[:90] + ("a" if good[90] != "a" else "b") + good[91:]
    yield "secret wrong, checksum right", _signed(body[:-52] + "a" * 52)
    yield "other tenant's secret", _signed(body[:-52] + others[-52:])
    yield "other tenant's key id", with_part(key, others[key])
    yield "other tenant's id", with_part(tenant, others[tenant])
    yield "other tenant's id and key id", _signed(others[: key.stop] + body[key.stop :])
    yield "no such tenant", with_part(tenant, never_was("ten")[4:])
    yield "no such key", with_part(key, never_was("key")[4:])
    yield "other mode", _signed(body.replace("panless_test_", "panless_live_"))
    yield "upper case", good.upper()
    yield "NUL in the tenant, checksum right", with_part(slice(MODE, MODE + 1), "\0")
    yield "blank in the key id, checksum right", with_part(slice(MODE + 30, MODE + 31), " ")
    yield "not ASCII", good[:40] + "é" + good[41:]
    yield "cut short", good[:-1]
    yield "too long", good + "a"
    yield "nothing", ""


def test_every_bad_key_answers_alike(tenant: Tenant) -> None:
    """No key, another scheme, a wrong checksum, secret, tenant or mode: 401, the same bytes each time."""
    good, client = tenant.keys["all"], tenant.house.app.test_client()
    other = tenant.house.tenant().keys["all"]
    none = client.get("/v1/processor-accounts")
    problem(none, 401, "unauthenticated")
    assert none.headers["WWW-Authenticate"] == "Bearer"
    sent = [(cause, f"Bearer {key}") for cause, key in _bad_keys(good, other)]
    sent += [
        ("basic", f"Basic {good}"),
        ("no scheme", good),
        ("scheme alone", "Bearer"),
        ("two keys", f"Bearer {good} {good}"),
    ]
    for cause, value in sent:
        answer = client.get("/v1/processor-accounts", headers={"Authorization": value})
        assert fixed(answer) == fixed(none), cause
    assert tenant.call("GET", "/v1/processor-accounts").status_code == 200


def test_revoked_and_expired_keys_answer_like_no_key(tenant: Tenant) -> None:
    """A revoked client's key and one whose time is over: 401, the bytes of a call without a key."""
    none = tenant.house.app.test_client().get("/v1/processor-accounts")
    revoked, expired = another_client(tenant), another_client(tenant)
    parts = tenant.house.components
    key_of = {name: f"key_{one.keys['all'][41:69]}" for name, one in (("expired", expired), ("revoked", revoked))}
    with transaction(parts.records) as tx:
        this = client_keys.c.key_id == key_of["expired"]
        tx.execute(update(client_keys).where(this).values(expires_at=parts.clock()))
        owner = client_keys.c.key_id == key_of["revoked"]
        its = (
            clients.c.client_id
            == client_keys.select().with_only_columns(client_keys.c.client_id).where(owner).scalar_subquery()
        )
        tx.execute(update(clients).where(its).values(revoked_at=parts.clock()))
    for one in (revoked, expired):
        assert fixed(one.call("GET", "/v1/processor-accounts")) == fixed(none)
    assert tenant.call("GET", "/v1/processor-accounts").status_code == 200


EDITS = {
    clients: {"scopes": "accounts:write audit:read", "live": True, "name": "another", "client_id": never_was("cli")},
    client_keys: {
        "key_id": never_was("key"),
        "client_id": never_was("cli"),
        "digest": b"\0" * 32,
        "mac": b"\0" * 32,
        "expires_at": None,
        "networks": None,
        "certificate": "0" * 64,
    },
}
"""What somebody without our keys may write into each column that says what a key is and what it may do."""

OF_NO_CONSEQUENCE = {"created_at", "last_used_at", "version", "last_entry_id"}
MOVED = {"tenant_id"}
REVOKED = {"revoked_at"}
"""Tests of their own: a row that is moved to another tenant, and a revocation that is taken back."""


def test_every_column_is_tried() -> None:
    """A column that the tables above don't know fails the test: whoever adds one says what an edit of it may do."""
    for table, edits in EDITS.items():
        assert set(table.c.keys()) - OF_NO_CONSEQUENCE - MOVED - REVOKED == edits.keys(), table.name


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table, edits in EDITS.items() for column in edits], ids=str
)
def test_writer_of_the_database_gains_nothing(tenant: Tenant, table: Table, column: str) -> None:
    """Any column of a client or of its key, edited by somebody without our keys: the key stops working."""
    client, mine, key = _bound_client(tenant)
    none = fixed(ask(tenant, ""))
    assert ask(tenant, key).status_code == 200
    with transaction(tenant.house.components.records) as tx:
        old = tx.execute(select(client_keys).where(client_keys.c.client_id == client)).mappings().one()
        changed = {column: EDITS[table][column]}
        if column == "client_id":  # with all that names it, as foreign keys want it
            row = tx.execute(select(clients).where(clients.c.client_id == client)).mappings().one()
            tx.execute(insert(clients), {**row, **changed})
            tx.execute(update(client_keys).where(client_keys.c.client_id == client).values(changed))
        else:
            tx.execute(update(table).where(table.c.client_id == client).values(changed))
    shown = f"{key[:41]}{changed['key_id'][4:]}{key[69:]}" if column == "key_id" else key
    assert old["key_id"] == mine
    assert fixed(ask(tenant, shown if shown == key else _signed(shown[:-CHECKSUM]))) == none


def test_a_key_moved_to_another_tenant(tenant: Tenant) -> None:
    """A client and its key, copied to another tenant: what its holder then shows is no key there."""
    other = tenant.house.tenant()
    client, _, key = _bound_client(tenant)
    with transaction(tenant.house.components.records) as tx:
        for table in (clients, client_keys):
            row = tx.execute(select(table).where(table.c.client_id == client)).mappings().one()
            tx.execute(insert(table), {**row, "tenant_id": other.id})
    moved = _signed(key[:MODE] + other.id[4:] + key[MODE + 28 : -CHECKSUM])
    assert fixed(ask(tenant, moved)) == fixed(ask(tenant, ""))
    assert ask(tenant, key).status_code == 200


def test_a_revocation_is_not_taken_back(tenant: Tenant) -> None:
    """Whoever writes in the database and clears `revoked_at` has a client whose keys open nothing all the same."""
    client, _, key = _bound_client(tenant)
    parts = tenant.house.components
    revoke_client(tenant.desk, parts.ledger, client)
    with transaction(parts.records) as tx:
        tx.execute(update(clients).where(clients.c.client_id == client).values(revoked_at=None))
    assert fixed(ask(tenant, key)) == fixed(ask(tenant, ""))


def _bound_client(tenant: Tenant) -> tuple[str, str, str]:
    """A client whose key has an end and networks: its id, the key's id, and the key."""
    parts = tenant.house.components
    client, key = create_client(
        parts.records,
        parts.keyring,
        tenant=tenant.id,
        name="bound",
        live=False,
        scopes={"accounts:write"},
        at=parts.clock(),
        terms=Terms(expires_at=parts.clock() + timedelta(hours=1), networks="127.0.0.0/8"),
    )
    return client, f"key_{key.value[41:69]}", key.value


def ask(tenant: Tenant, key: str) -> TestResponse:
    headers = {"Authorization": f"Bearer {key}"}
    return tenant.house.app.test_client().get("/v1/processor-accounts", headers=headers)


def test_live_key_sees_nothing_of_test_mode(tenant: Tenant) -> None:
    """Test mode's customers, tokens, charges and accounts are for a live key as if they never were."""
    contact = {"email": "ada@example.com"}
    token = tenant.token(customer={"reference": "C-1", "billing_contact": contact})
    charge = tenant.charge(token["id"], obligation="INV-1", key="k-1").get_json()
    live = another_client(tenant, live=True)
    assert live.keys["all"].startswith("panless_live_")
    for path in (
        f"/v1/tokens/{token['id']}",
        f"/v1/customers/{token['customer']}",
        f"/v1/customers/{token['customer']}/billing-contact",
        f"/v1/charges/{charge['id']}",
        f"/v1/processor-accounts/{tenant.account}",
        f"/v1/tokens?customer={token['customer']}",
    ):
        problem(live.call("GET", path, **PURPOSE), 404, "not_found")
    for path in ("/v1/charges", "/v1/charges?obligation=INV-1", "/v1/processor-accounts"):
        assert live.call("GET", path).get_json() == {"data": [], "next_cursor": None}
    found = live.call("POST", "/v1/customers/search", {"email": "ada@example.com"}, **PURPOSE)
    assert found.get_json()["data"] == []
    problem(live.charge(token["id"], obligation="INV-1", key="k-1"), 404, "not_found")
    account = {"kind": "sandbox", "credentials": {"api_key": f"sk_test_{word()}"}}
    assert live.call("POST", "/v1/processor-accounts", account).get_json()["live"] is True
    own = live.token(customer={"reference": "C-1"})
    assert own["customer"] != token["customer"]
    assert live.charge(own["id"], obligation="INV-1", key="k-1").status_code == 201
    assert len(tenant.call("GET", "/v1/charges").get_json()["data"]) == 1


def test_erased_in_test_mode_is_nothing_for_a_live_key(tenant: Tenant) -> None:
    """What was erased in test mode answers a live key like an id that never was, on every method."""
    customer = tenant.token()["customer"]
    request = tenant.call("DELETE", f"/v1/customers/{customer}").get_json()["id"]
    live = another_client(tenant, live=True)
    for method in ("GET", "DELETE"):
        assert fixed(live.call(method, f"/v1/customers/{customer}")) == fixed(
            live.call(method, f"/v1/customers/{never_was('cus')}")
        )
    assert fixed(live.call("GET", f"/v1/rights-requests/{request}")) == fixed(
        live.call("GET", f"/v1/rights-requests/{never_was('rr')}")
    )
