import base64
import re
import secrets
from pathlib import Path
from typing import Any

import pytest
from canaries import forms, in_columns, in_files, pattern
from house import PURPOSE, House, Tenant, link_to, package_of
from sqlalchemy import LargeBinary, Table, inspect, select, text

from rows.engine import reading, transaction
from vault.tables import blind_index, metadata

MARK = "qz7kanarie"
"""In every text canary, so that one search finds them all in whole data directories."""

CONTACT = {
    "name": f"Ada {MARK}",
    "email": f"{MARK}@example.com",
    "phone": "+44 20 7946 0958",
    "address": {"line1": f"1 {MARK} Street", "city": "London", "postal_code": "QZ7 4KA", "country": "GB"},
}
JSON_OF_A_CARD = ('"last4"', '"exp_year"', '"fingerprint"', '"brand"', "mastercard", '"postal_code"', '"email":')
VACUUM = "VACUUM (FULL)"
"""A plain VACUUM frees the room of what was deleted, and leaves its bytes there until the room is used again."""
NUMBERS = ("+44 20 7946 0958", "442079460958", "QZ7 4KA")


def credentials() -> dict[str, str]:
    """Of an account of the house's own: what another house had paid there would put these records in doubt."""
    return {
        "api_key": f"sk_test_{MARK}{secrets.token_hex(6)}",
        "webhook_secret": f"whsec_{MARK}{secrets.token_hex(6)}",
    }


def tour(house: House, credentials: dict[str, str]) -> tuple[Tenant, dict[str, Any], list[str]]:
    """Everything that a person can leave behind; the tenant, the customer's token, what the processor calls things."""
    tenant = house.tenant()
    before = names(house)
    account = {
        "kind": "sandbox",
        "label": "main",
        "credentials": credentials,
        "default": True,
    }
    added = tenant.call("POST", "/v1/processor-accounts", account)
    assert added.status_code == 201, added.get_data(as_text=True)
    customer = {"reference": f"{MARK}-ref", "billing_contact": CONTACT}
    token = tenant.token("5555555555554444", customer=customer, metadata={"note": f"{MARK}-meta"})
    person = token["customer"]
    tenant.tokenize("4000000000000002", customer=person)
    tenant.tokenize("4000002760003184", customer=person)
    adopted = tenant.call(
        "POST", "/v1/tokens", {"type": "card", "processor_reference": "pm_card_visa", "customer": person}
    )
    assert adopted.status_code == 201, adopted.get_data(as_text=True)
    tenant.call("DELETE", f"/v1/tokens/{adopted.get_json()['id']}")
    order = {"obligation": f"{MARK}-inv", "statement_descriptor": "QZ7KANARIE SHOP", "metadata": {"m": f"{MARK}-m"}}
    charge = tenant.charge(token["id"], **order)
    assert charge.status_code == 201, charge.get_data(as_text=True)
    refund = tenant.call("POST", f"/v1/charges/{charge.get_json()['id']}/refunds", {"amount": 7}, Idempotency_Key="r")
    assert refund.status_code == 201
    house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    assert tenant.charge(token["id"], obligation=f"{MARK}-inv2").status_code == 202
    assert house.work()[1] == []
    path = f"/v1/customers/{person}/billing-contact"
    assert tenant.call("GET", path, **PURPOSE).get_json()["email"] == CONTACT["email"]
    for search in ({"email": CONTACT["email"]}, {"phone": CONTACT["phone"]}, {"reference": f"{MARK}-ref"}):
        assert len(tenant.call("POST", "/v1/customers/search", search, **PURPOSE).get_json()["data"]) == 1
    assert tenant.call("PATCH", path, {"name": f"{MARK} Byron"}).status_code == 200
    link_to(tenant, package_of(tenant, person))
    return tenant, token, sorted(names(house) - before)


def names(house: House) -> set[str]:
    """What the processor calls what it has: its ids, ours are others."""
    book = house.sandbox.book()
    found = {each["id"] for kind in ("charges", "customers", "payment_methods") for each in book[kind]}
    return found | {each["payment_intent"] for each in book["charges"]}


def engines(house: House) -> list[Any]:
    return [house.components.records, house.components.keystore]


def data_of(house: House) -> list[Path]:
    """Where the databases' files lie: the house itself, or the data directory of its PostgreSQL, all written out."""
    records = house.components.records
    if records.dialect.name == "sqlite":
        return [house.home]
    with reading(records) as connection:
        connection.execute(text("CHECKPOINT"))
        return [house.home, Path(connection.execute(text("SHOW data_directory")).scalar_one())]


def test_the_search_finds_what_is_there(own_house: House, tmp_path: Path) -> None:
    """The searches below prove something: what is put into a column in any form is found in it and in the files."""
    records = own_house.components.records
    tenant = own_house.tenant()
    for name, form in forms("Zaunkoenig-Kanarie").items():
        with transaction(records) as tx:
            tx.execute(text("UPDATE tenants SET name = :name"), {"name": f"xx{form.decode()}yy"})
        assert in_columns(pattern(["Zaunkoenig-Kanarie"]), records), name
        assert in_files(pattern(["Zaunkoenig-Kanarie"]), *data_of(own_house)), name
    (tmp_path / "file").write_bytes(b"\0" * ((1 << 24) - 5) + b"Zaunkoenig-Kanarie")
    assert in_files(pattern(["Zaunkoenig-Kanarie"]), tmp_path / "..")
    assert tenant.id


def test_nothing_of_a_person_is_in_clear(own_house: House) -> None:
    """Both databases, their files, the ledger, the audit leaves, before and after an erasure: no canary anywhere."""
    tenant, token, theirs = tour(own_house, secret := credentials())
    assert len(theirs) >= 5
    wanted = pattern([MARK, MARK.upper(), *NUMBERS, *JSON_OF_A_CARD, *secret.values(), *theirs])
    everywhere = pattern([MARK, MARK.upper(), *theirs])
    for engine in engines(own_house):
        assert in_columns(wanted, engine) == []
    assert in_files(everywhere, *data_of(own_house)) == []
    assert in_files(wanted, own_house.home) == []
    sealed = _sealed_values(own_house, tenant, token["customer"])
    deks = _wrapped(own_house, token["customer"])
    assert len(sealed) > 5
    assert len(deks) == 1
    answer = tenant.erase(token["customer"])
    assert answer.status_code == 200, answer.get_data(as_text=True)
    for engine in engines(own_house):
        assert in_columns(wanted, engine) == []
    assert in_files(everywhere, *data_of(own_house)) == []
    assert _sealed_values(own_house, tenant, token["customer"]) == []
    assert _wrapped(own_house, token["customer"]) == [None]
    with reading(own_house.components.records) as connection:
        theirs_now = blind_index.c.customer_id == token["customer"]
        assert connection.execute(select(blind_index).where(theirs_now)).all() == []
    old = re.compile(b"|".join(_escaped(value) for value in (*sealed, *deks)))
    assert in_files(old, *_table_files(own_house)) == []


def _table_files(house: House) -> list[Path]:
    """Where the tables' bytes lie: SQLite wipes what it deletes, PostgreSQL when a table is written anew."""
    if house.components.records.dialect.name == "sqlite":
        return [house.home]
    for engine in engines(house):
        with reading(engine) as connection:
            connection.execute(text(VACUUM))
            connection.execute(text("CHECKPOINT"))
    return [data / "base" for data in data_of(house)[1:]]


def _escaped(value: bytes) -> bytes:
    return re.escape(value[18:50] if len(value) > 82 else value)


def _sealed_values(house: House, tenant: Tenant, customer: str) -> list[bytes]:
    """All that is sealed for one customer (of a charge what is the person's, not the money's)."""
    found = []
    with reading(house.components.records) as connection:
        for table in metadata.tables.values():
            if "customer_id" not in table.c:
                continue
            for column in _sealed(table):
                this = (table.c.tenant_id == tenant.id) & (table.c.customer_id == customer) & column.is_not(None)
                found += [bytes(value) for value in connection.scalars(select(column).where(this))]
    return found


def _sealed(table: Table) -> list[Any]:
    return [column for column in table.c if f"{column.name}_version" in table.c and column.name != "retained"]


def _wrapped(house: House, customer: str) -> list[bytes | None]:
    """The wrapped DEK of one customer, None where only the tombstone stands."""
    with reading(house.components.keystore) as connection:
        statement = text("SELECT wrapped FROM deks WHERE purpose = 'customer' AND subject_id = :customer")
        return [
            None if value is None else bytes(value) for value in connection.scalars(statement, {"customer": customer})
        ]


def test_binary_columns_are_sealed_keyed_or_ids(house: House) -> None:
    """A binary column is sealed with a version beside it, a keyed digest, a MAC, a hash or a random id: none other."""
    known = {
        "digest",
        "fingerprint",
        "key_digest",
        "event_digest",
        "reference_digest",
        "link_digest",
        "obligation_digest",
        "setup_digest",
        "named",  # a keyed digest of the processor's own id of an account
        "word",  # of a lease, random
        "mac",
        "hash",
        "hashes",  # tiles of the audit log
        "checkpoint",  # its size and root hash, signed
        "dek_id",
        "key_id",
    }
    for table in metadata.tables.values():
        for column in table.columns:
            if isinstance(column.type, LargeBinary):
                assert column.name in known or f"{column.name}_version" in table.columns, str(column)
    with reading(house.components.records) as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}


def test_equal_cards_and_contacts_of_two_people_look_different(tenant: Tenant) -> None:
    """Nothing in the records links two customers by their card; the index links a contact within one tenant only."""
    tokens = [tenant.token(customer={"billing_contact": {"name": "Same"}}) for _ in range(2)]
    assert tokens[0]["fingerprint"] != tokens[1]["fingerprint"]
    other = tenant.house.tenant()
    for each in (tenant, other):
        each.call("POST", "/v1/customers", {"reference": "same-ref", "billing_contact": {"email": "a@example.com"}})
    with reading(tenant.house.components.records) as connection:
        mine, theirs = (
            set(connection.scalars(select(blind_index.c.digest).where(blind_index.c.tenant_id == each.id)))
            for each in (tenant, other)
        )
    assert mine
    assert not mine & theirs


@pytest.mark.parametrize("secret", ["Kanarie", "Kanarie1", "Kanarie12"])
def test_forms_cover_every_alignment(secret: str) -> None:
    """However a text stands in something that was put into base64, one of its forms is in there."""
    for before in range(7):
        for after in range(4):
            whole = base64.b64encode(b"x" * before + secret.encode() + b"y" * after)
            assert pattern([secret]).search(whole), (before, after)
