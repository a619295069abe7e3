"""What an API key is bound to: an end, networks; another key beside it; when it was used. And who edits any of it."""

import hashlib
import hmac
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from api_scene import fixed, problem
from house import House, Tenant
from sqlalchemy import event, select, update
from terms_scene import bound_client
from werkzeug.test import TestResponse

from rows.engine import reader_of, reading, transaction
from vault.errors import NotFoundHere, NotVouchedFor
from vault.personal import Secret
from vault.tables import client_keys
from vault.tables import clients as client_table
from vault.tenancy import client_rotation, clients
from vault.tenancy.client_keys import Terms, networks, parse_key
from vault.tenancy.key_uses import HOUR, KeyUses


def ask(tenant: Tenant, key: str, address: str = "127.0.0.1") -> TestResponse:
    return tenant.house.app.test_client().get(
        "/v1/processor-accounts",
        headers={"Authorization": f"Bearer {key}"},
        environ_base={"REMOTE_ADDR": address},
    )


def key_row(tenant: Tenant, client: str) -> Any:
    statement = select(client_keys).where(client_keys.c.tenant_id == tenant.id, client_keys.c.client_id == client)
    with reading(tenant.house.components.records) as connection:
        return connection.execute(statement).one()


def edit(tenant: Tenant, client: str, **changes: object) -> None:
    """What somebody does who may write into the database and has none of our keys."""
    with transaction(tenant.house.components.records) as tx:
        tx.execute(update(client_keys).where(client_keys.c.client_id == client).values(**changes))


def rotate(tenant: Tenant, client: str, overlap: timedelta, **terms: Any) -> Secret:
    now = tenant.house.components.clock()
    return client_rotation.rotate_client(tenant.desk, client, old_until=now + overlap, terms=Terms(**terms))


def test_a_key_ends(tenant: Tenant) -> None:
    """Until its time it works; from then on it is answered like no key at all, byte for byte."""
    now = tenant.house.components.clock()
    _, lives = bound_client(tenant, expires_at=now + timedelta(hours=1))
    _, ended = bound_client(tenant, expires_at=now)
    assert ask(tenant, lives).status_code == 200
    assert fixed(ask(tenant, ended)) == fixed(ask(tenant, ""))


def test_a_key_comes_from_its_networks(tenant: Tenant) -> None:
    """From inside it works, written as IPv6 too; from elsewhere it is answered like no key at all."""
    _, key = bound_client(tenant, networks=networks(["192.0.2.0/24", "2001:db8::/32"]))
    for address in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):
        assert ask(tenant, key, address).status_code == 200, address
    for address in ("127.0.0.1", "192.0.3.1", "::ffff:192.0.3.1", "2001:db9::1", "fe80::1%eth0", "", "192.0.2.7, x"):
        assert fixed(ask(tenant, key, address)) == fixed(ask(tenant, "", address)), address


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": None},
        {"networks": None},
        {"networks": "0.0.0.0/0"},
        {"certificate": None},
        {"mac": None},
        {"mac": None, "expires_at": None, "networks": None, "certificate": None},
        {"mac": b"\0" * 32},
        {"digest": b"\0" * 32},
    ],
    ids=str,
)
def test_writer_of_the_database_loosens_nothing(tenant: Tenant, changes: dict[str, object]) -> None:
    """A key's end, networks or certificate, or what binds them, edited by somebody without our keys: it stops working.

    The key is also no longer rotated: a new one would make good what was edited.
    """
    ends = tenant.house.components.clock() + timedelta(hours=1)
    client, key = bound_client(tenant, expires_at=ends, networks="127.0.0.0/8")
    certified, _ = bound_client(tenant, certificate="a" * 64)
    assert ask(tenant, key).status_code == 200
    edit(tenant, client, **changes)
    edit(tenant, certified, **changes)
    if "certificate" not in changes or len(changes) > 1:
        problem(ask(tenant, key), 401, "unauthenticated")
    with pytest.raises(NotVouchedFor):
        rotate(tenant, certified if changes == {"certificate": None} else client, timedelta(0))


def test_two_rotations_at_once(tenant: Tenant) -> None:
    """Whichever comes second ends the key of the first, too: one key without an end is left, whoever else has one."""
    client, first = bound_client(tenant)
    mine = select(client_table).where(client_table.c.client_id == client).with_for_update()
    with ThreadPoolExecutor(2) as threads:
        with transaction(tenant.house.components.records) as tx:
            tx.execute(mine)  # both of them have begun, and wait
            rotations = [threads.submit(rotate, tenant, client, timedelta(0)) for _ in range(2)]
            wait(rotations, 1)
        keys = [first, *(each.result(20).value for each in rotations)]
    assert sorted(ask(tenant, key).status_code for key in keys) == [200, 401, 401]


def test_writer_of_the_database_has_no_scopes_rotated_in(tenant: Tenant) -> None:
    """A client with more scopes than it was made with gets no new key for them."""
    client, _ = bound_client(tenant)
    with transaction(tenant.house.components.records) as tx:
        this = client_table.c.client_id == client
        tx.execute(update(client_table).where(this).values(scopes="accounts:write audit:read"))
    with pytest.raises(NotVouchedFor):
        rotate(tenant, client, timedelta(0))


def test_two_keys_overlap(tenant: Tenant) -> None:
    """After a rotation both keys work until the old one's end; that never comes later than it was."""
    client, first = bound_client(tenant)
    second = rotate(tenant, client, timedelta(hours=1), networks="127.0.0.0/8").value
    assert [ask(tenant, key).status_code for key in (first, second)] == [200, 200]
    third = rotate(tenant, client, timedelta(0)).value
    assert [ask(tenant, key).status_code for key in (first, second, third)] == [401, 401, 200]
    fourth = rotate(tenant, client, timedelta(days=1)).value
    assert [ask(tenant, key).status_code for key in (first, second, third, fourth)] == [401, 401, 200, 200]
    parts = tenant.house.components
    clients.revoke_client(tenant.desk, parts.ledger, client)
    assert [ask(tenant, key).status_code for key in (third, fourth)] == [401, 401]
    with pytest.raises(NotFoundHere):
        rotate(tenant, client, timedelta(0))


def _as_before_there_were_terms(tenant: Tenant, client: str, key: str) -> None:
    """Write the row as the releases before did."""
    row = key_row(tenant, client)
    parts = (tenant.id, client, row.key_id, "test", "accounts:write", key[13 + 56 : -8])
    message = b"".join(struct.pack(">H", len(part)) + part.encode() for part in parts)
    pepper = tenant.house.components.keyring.subkey(tenant.id, "client_key", "api-key")
    edit(tenant, client, digest=hmac.digest(pepper, message, hashlib.sha256), mac=None)


def test_keys_of_earlier_releases_go_on(tenant: Tenant) -> None:
    """They work, gain terms from nobody's edit; once used they can be rotated, and then nobody's edit loosens them."""
    client, key = bound_client(tenant)
    _as_before_there_were_terms(tenant, client, key)
    before = key_row(tenant, client)
    edit(tenant, client, networks="127.0.0.0/8")
    assert ask(tenant, key).status_code == 401
    edit(tenant, client, networks=None)
    with pytest.raises(NotVouchedFor, match="was not used since"):
        rotate(tenant, client, timedelta(0))
    uses = KeyUses()
    _use(tenant, key, uses)
    uses.write_down(tenant.house.components.records)
    assert key_row(tenant, client).mac is not None
    assert key_row(tenant, client).digest == before.digest  # which processes of the release before still read
    assert ask(tenant, key).status_code == 200
    rotate(tenant, client, timedelta(0))
    edit(tenant, client, mac=None, expires_at=None)
    assert ask(tenant, key).status_code == 401
    edit(tenant, client, digest=before.digest)  # a whole row put back is the audit log's to find
    assert ask(tenant, key).status_code == 200


def _use(tenant: Tenant, key: str, uses: KeyUses, later: timedelta = timedelta(0)) -> None:
    parts = tenant.house.components
    presented = parse_key(key)
    found = clients.authenticate(parts.records, parts.ledger, presented, parts.clock())
    assert found is not None
    uses.note(found, parts.clock() + later)


@contextmanager
def _writes(house: House) -> Iterator[list[str]]:
    """The statements that write into the records."""
    written: list[str] = []

    def told(_connection: object, _cursor: object, sql: str, *_: object) -> None:
        if not sql.startswith(("SELECT", "BEGIN", "PRAGMA")):
            written.append(sql)

    engines = (house.components.records, reader_of(house.components.records))
    for engine in engines:
        event.listen(engine, "before_cursor_execute", told)
    try:
        yield written
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", told)


def test_last_use_is_written_once_an_hour_and_by_no_request(tenant: Tenant) -> None:
    """Requests write nothing; what is written down afterwards is one row an hour and key, whoever writes it."""
    client, key = bound_client(tenant)
    records, uses, others = tenant.house.components.records, KeyUses(), KeyUses()
    with _writes(tenant.house) as written:
        assert ask(tenant, key).status_code == 200
        for each in (uses, uses, others):
            _use(tenant, key, each)
        assert written == []
        assert uses.write_down(records) == 1
        first = key_row(tenant, client).last_used_at
        assert others.write_down(records) == 1  # another process noted it before that was written
        assert key_row(tenant, client).last_used_at == first
        written.clear()
        for _ in range(3):
            _use(tenant, key, uses, HOUR - timedelta(minutes=1))
        assert uses.write_down(records) == 0
        assert written == []
        _use(tenant, key, uses, HOUR + timedelta(minutes=1))
        assert uses.write_down(records) == 1
    assert key_row(tenant, client).last_used_at >= first + HOUR
