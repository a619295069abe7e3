"""Sealed values, each where it stands: it opens there and nowhere else, and not when it was changed."""

from collections.abc import Iterator

import pytest
from house import House, Tenant
from records_scene import CONTACT, interpose, rows
from sealed_scene import MARK, OPENERS, SEALED, Place, live, places_of

from keys.errors import KeysError
from vault.processing.answers import Declined
from vault.sealed_columns import SEALED_COLUMNS
from vault.tables import metadata


@pytest.fixture(scope="module")
def places(house: House) -> list[Place]:
    """Every sealed value of two customers of one tenant, and of one of another."""
    first, second = house.tenant(), house.tenant()
    for tenant, mark in ((first, "a"), (first, "b"), (second, "c")):
        live(tenant, mark)
    found = places_of(first, second)
    assert {(place.table.name, place.column) for place in found} == set(SEALED)
    return found


@pytest.fixture(autouse=True)
def _nothing_stays_changed(places: list[Place]) -> Iterator[None]:
    yield
    for place in places:
        if getattr(place.now(), place.column) != place.value:
            place.put(**{place.column: place.value})


def assert_refused(place: Place, put: bytes) -> None:
    """With `put` in its place, the value does not open: an error, and no plaintext in it."""
    place.put(**{place.column: put})
    with pytest.raises(KeysError) as refused:
        place.open()
    assert MARK not in str(refused.value)


def test_every_sealed_column_has_its_opener() -> None:
    """A new sealed column must say here how it is opened."""
    assert list(OPENERS) == SEALED


def test_every_sealed_column_is_listed() -> None:
    """So that resealing and `keys check` forget none: one that is not listed can't be sealed either."""
    assert sorted(each.name for each in SEALED_COLUMNS) == SEALED


def test_every_value_opens_where_it_stands(places: list[Place]) -> None:
    """What follows proves something only because of this."""
    for place in places:
        assert place.open()


def test_a_value_moved_anywhere_is_refused(places: list[Place]) -> None:
    """To another row, column, customer or tenant."""
    for column in SEALED:
        alike = [place for place in places if (place.table.name, place.column) == column]
        target = alike[0]
        others = {str(place): place for place in places if (place.table.name, place.column) != column}
        for source in (*alike[1:], *others.values()):
            assert_refused(target, source.value)
        target.put(**{target.column: target.value})
        assert target.open()


def test_a_value_of_another_version_is_refused(places: list[Place]) -> None:
    """The version beside a value is bound into it: neither can be rolled back without the other."""
    for place in {str(place): place for place in places}.values():
        version = f"{place.column}_version"
        place.put(**{version: getattr(place.row, version) + 1})
        with pytest.raises(KeysError):
            place.open()
        place.put(**{version: getattr(place.row, version)})
        assert place.open()


def test_flipped_bits_and_missing_ends_are_refused(places: list[Place]) -> None:
    """A sample of bits from each field of the record format, and truncations at both ends."""
    for place in {str(place): place for place in places}.values():
        value = place.value
        for offset in (0, 1, 2, 17, 18, 49, 50, 81, 82, len(value) - 17, len(value) - 16, len(value) - 1):
            flipped = bytearray(value)
            flipped[offset] ^= 1 << offset % 8
            assert_refused(place, bytes(flipped))
        for broken in (b"", value[:1], value[:97], value[:-1], value[1:], value + b"\0"):
            assert_refused(place, broken)
        place.put(**{place.column: value})
        assert place.open()


def test_a_replaced_value_does_not_come_back(tenant: Tenant) -> None:
    """The old contact, card or outcome in the new one's place, without its version: refused."""
    token = tenant.token(customer={"reference": "c", "billing_contact": CONTACT})
    waiting = tenant.tokenize("4000002760003184", customer=token["customer"]).get_json()
    house = tenant.house
    olds = []
    for table, column, key in (
        ("customers", "contact", {"customer_id": token["customer"]}),
        ("tokens", "card", {"token_id": token["id"]}),
        ("tokens", "outcome", {"token_id": waiting["id"]}),
    ):
        [row] = rows(house, metadata.tables[table], **key)
        olds.append(Place(tenant, metadata.tables[table], column, row))
    path = f"/v1/customers/{token['customer']}/billing-contact"
    assert tenant.call("PATCH", path, {"name": "Byron"}).status_code == 200
    renewed = {"number": "4242424242424242", "exp_month": 1, "exp_year": 2035, "cvc": "123"}
    tenant.call("POST", "/v1/tokens", {"type": "card", "card": renewed, "customer": token["customer"]})
    failed = interpose(tenant, confirm=lambda _call: Declined(code="card_declined"))
    assert failed.call("POST", f"/v1/tokens/{waiting['id']}/confirm").status_code == 402
    for old in olds:
        assert getattr(old.now(), old.column) != old.value
        assert_refused(old, old.value)


def test_the_door_answers_no_plaintext(tenant: Tenant) -> None:
    """A value that was tampered with is a silent 500 for its reader, and no look is on the record."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    customers = metadata.tables["customers"]
    [row] = rows(tenant.house, customers, customer_id=token["customer"])
    place = Place(tenant, customers, "contact", row)
    place.put(contact=place.value[:-1] + bytes([place.value[-1] ^ 1]))
    path = f"/v1/customers/{token['customer']}/billing-contact"
    answer = tenant.call("GET", path, Access_Purpose='support; ref="T-1"')
    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert "Ada" not in answer.get_data(as_text=True)
    looks = rows(tenant.house, metadata.tables["audit_entries"], tenant_id=tenant.id, action="contact.read")
    assert looks == []
