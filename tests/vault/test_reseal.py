"""After a compromise: new DEKs, everything under them, and the old ones gone. Clients see nothing of it."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import PURPOSE, House, Tenant, open_house, package_of
from money_scene import settled
from records_scene import CONTACT, at_once, end_leases, interpose, row, rows
from reseal_scene import Killed, dek_rows, dying_at, everything, of_customer, reseal
from rights_scene import asked
from sealed_scene import live, places_of

from keys import keks, renewal
from keys.envelope import dek_id_of
from keys.errors import KeyDestroyed, KeyMissing, KeyReplaced
from keys.rewrapping import rewrap
from vault import audit
from vault.ledger import entries, keys
from vault.recovering.replay import replay
from vault.resealing import customers as resealing
from vault.resealing import key_check, key_rotation
from vault.tables import audit_entries, blind_index, customers
from vault.tenancy import clients
from vault.tenancy.scopes import SCOPES

LOOKED = {name.replace("-", "_"): value for name, value in PURPOSE.items()}


def person(tenant: Tenant, name: str = "Ada") -> dict[str, str]:
    """A customer with a contact, a card and a charge: their ids."""
    contact = CONTACT | {"email": f"{name.lower()}@example.com"}
    token = tenant.token(customer={"reference": f"R-{name}", "billing_contact": contact}, metadata={"of": name})
    charge = tenant.charge(token["id"], obligation=f"O-{name}", metadata={"for": name}).get_json()
    return {"token": token["id"], "customer": token["customer"], "charge": charge["id"]}


def seen(tenant: Tenant, ids: dict[str, str]) -> list[Any]:
    """All that the API answers about a person."""
    paths = ("/v1/tokens/{token}", "/v1/customers/{customer}", "/v1/charges/{charge}")
    found = [tenant.call("GET", path.format(**ids)).get_json() for path in paths]
    contact = tenant.call("GET", f"/v1/customers/{ids['customer']}/billing-contact", **LOOKED)
    return [*found, contact.get_json()]


def found_by(tenant: Tenant, **value: str) -> list[str]:
    answer = tenant.call("POST", "/v1/customers/search", value, **LOOKED)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return [each["id"] for each in answer.get_json()["data"]]


def dek_of(tenant: Tenant, customer: str) -> bytes:
    return row(tenant.house, customers, customer_id=customer).dek_id


Restart = Callable[..., Tenant]


@pytest.fixture
def restarted() -> Iterator[Restart]:
    """The tenant before another process, with nothing in memory; its guard looks first, unless not `checked`."""
    with ExitStack() as opened:

        def again(tenant: Tenant, *, checked: bool = True) -> Tenant:
            house = tenant.house
            other = open_house(house.home, house.environment, house.sandbox, checked=checked)
            opened.callback(other.components.close)
            return replace(tenant, house=other)

        yield again


def troubles(house: House) -> list[key_check.Trouble]:
    parts = house.components
    return [each for looked in key_check.examine(parts.records, parts.keyring, None) for each in looked.troubles]


def test_a_customer(tenant: Tenant) -> None:
    """The old DEK opens nothing; every answer of the API is as before; others keep every byte; the log tells it."""
    ids, other = person(tenant), person(tenant, "Byron")
    before, others = seen(tenant, ids), rows(tenant.house, customers, customer_id=other["customer"])
    old = dek_of(tenant, ids["customer"])
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
    assert seen(tenant, ids) == before
    with pytest.raises(KeyReplaced):
        tenant.house.components.keyring.dek(tenant.id, old)
    assert not [place for place in places_of(tenant) if dek_id_of(place.value) == old]
    assert rows(tenant.house, customers, customer_id=other["customer"]) == others
    [told] = rows(tenant.house, audit_entries, tenant_id=tenant.id, action="dek.resealed")
    assert (told.customer_id, told.resource_id) == (ids["customer"], dek_of(tenant, ids["customer"]).hex())
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0  # again: another DEK, all as before
    assert seen(tenant, ids) == before


def test_every_value_of_a_deployment(own_house: House) -> None:
    """Each sealed value of each column opens as before, under a DEK that was made since.

    None of the old ones stands, but for those that verify what they made and the one whose digests must stay.
    """
    tenant = own_house.tenant()
    live(tenant, "a")
    before = {(str(place), place.key): place.open() for place in places_of(tenant)}
    old = {each.dek_id: each for each in dek_rows(own_house)}
    assert reseal(own_house, everything(own_house), own=True) == 0
    afterwards = places_of(tenant)
    assert {(str(place), place.key): place.open() for place in afterwards} == before
    assert not {dek_id_of(place.value) for place in afterwards} & old.keys()
    standing = {each.purpose for each in dek_rows(own_house) if each.dek_id in old and each.wrapped}
    assert standing == {"processor_key", "client_key", "audit", "signing"}
    assert troubles(own_house) == []


def test_everything_as_clients_see_it(own_house: House, restarted: Restart) -> None:
    """Keys of clients from before and from after work, people are found, what is paid stays paid, erasure is erasure.

    And the audit log and the ledger verify across the change of their keys.
    """
    tenant = own_house.tenant()
    ids = person(tenant)
    once = tenant.charge(ids["token"], key="once", obligation="twice").get_json()
    before = seen(tenant, ids)
    gone = person(tenant, "Byron")
    first = tenant.erase(gone["customer"]).get_json()["id"]
    assert reseal(own_house, everything(own_house), own=True) == 0
    again = restarted(tenant)
    assert seen(again, ids) == before
    for value in ({"email": "ada@example.com"}, {"reference": "R-Ada"}):
        assert found_by(again, **value) == [ids["customer"]]
    assert again.charge(ids["token"], obligation="O-Ada").status_code == 409
    assert again.charge(ids["token"], key="once", obligation="twice").get_json() == once
    assert again.token(customer=ids["customer"])["id"] == ids["token"]
    assert again.token(customer={"reference": "R-Ada"})["customer"] == ids["customer"]
    with_new_key(again, ids)
    second = again.erase(ids["customer"]).get_json()["id"]
    for request in (first, second):
        verified(again, request)
    parts = again.house.components
    for entry in rows(again.house, audit_entries, tenant_id=tenant.id):
        assert audit.is_genuine(parts.keyring, tenant.id, entry.leaf.encode(), entry.mac)
    assert replay(parts.ledger, parts.records, lambda _done, _total: None).entries == 0
    assert parts.guard.check().is_good


def with_new_key(tenant: Tenant, ids: dict[str, str]) -> None:
    """A key that is made now is under the new pepper, and works, also where only the old one was in memory."""
    parts = tenant.house.components
    made = clients.create_client(
        parts.records, parts.keyring, tenant=tenant.id, name="new", live=False, scopes=SCOPES, at=parts.clock()
    )[1]
    newer = replace(tenant, keys={"all": made.value})
    assert newer.call("GET", f"/v1/tokens/{ids['token']}").status_code == 200


def verified(tenant: Tenant, request: str) -> None:
    """The certificate of an erasure is genuine by exactly one of the keys that are published."""
    shown = tenant.call("GET", f"/v1/rights-requests/{request}/certificate").data
    publics = keys.public_keys(tenant.house.components.keyring)
    assert [is_genuine(shown, public) for public in publics].count(True) == 1
    assert len(publics) == 2


def is_genuine(shown: bytes, public: bytes) -> bool:
    try:
        entries.genuine(shown, public)
    except ValueError:
        return False
    return True


def test_by_kek(own_house: House, restarted: Restart) -> None:
    """Every DEK that ever was wrapped by it, also where rewrapping has moved it; those made since stay."""
    tenant = own_house.tenant()
    old = person(tenant)
    [kek] = [each for each in keks.status(own_house.components.keyring) if each.tenant_id == tenant.id]
    key_rotation.rotate(own_house.components.workshop, tenant.id)
    newer = person(tenant, "Byron")
    rewrap(own_house.components.keyring, tenant.id, kek.kek_id)
    was = {name: dek_of(tenant, each["customer"]) for name, each in (("old", old), ("newer", newer))}
    before = [seen(tenant, each) for each in (old, newer)]
    doomed = renewal.of_kek(own_house.components.keyring, kek.kek_id)
    assert reseal(own_house, [doomed], own=True) == 0
    assert [seen(restarted(tenant), each) for each in (old, newer)] == before
    assert (dek_of(tenant, old["customer"]) == was["old"], dek_of(tenant, newer["customer"]) == was["newer"]) == (
        False,
        True,
    )
    made = {each.purpose for each in dek_rows(own_house, tenant_id=tenant.id) if each.created_at > doomed.before}
    assert set(renewal.RENEWED) <= made
    active = own_house.components.keyring.keks.newest(tenant.id)
    with pytest.raises(KeyMissing, match="no retired KEK"):
        renewal.of_kek(own_house.components.keyring, active)


@pytest.mark.parametrize("step", ["charge", "store"])
def test_who_began_before_ends_after(tenant: Tenant, step: str) -> None:
    """A charge or a new card waits for the processor while its customer is resealed: all is under the new DEK."""
    ids = person(tenant)
    old = dek_of(tenant, ids["customer"])
    chosen = of_customer(tenant, ids["customer"])

    def first_pass(call: Any) -> Any:
        resealing.renew(tenant.house.components.workshop, chosen[0], "customer", ids["customer"])
        return call()

    between = interpose(tenant, **{step: first_pass})
    if step == "charge":
        answer = between.charge(ids["token"], obligation="late", metadata={"late": "yes"})
        path = "/v1/charges"
    else:
        answer = between.tokenize("5555555555554444", customer=ids["customer"], metadata={"late": "yes"})
        path = "/v1/tokens"
    assert answer.status_code == 201, answer.get_data(as_text=True)
    shown = tenant.call("GET", f"{path}/{answer.get_json()['id']}").get_json()
    assert shown["metadata"] == {"late": "yes"}
    assert reseal(tenant.house, chosen) == 0
    assert tenant.call("GET", f"{path}/{answer.get_json()['id']}").get_json() == shown
    assert troubles_of(tenant) == []
    assert not [place for place in places_of(tenant) if dek_id_of(place.value) == old]
    with pytest.raises(KeyReplaced):
        tenant.house.components.keyring.dek(tenant.id, old)


@pytest.mark.parametrize("step", ["charge", "store"])
def test_who_is_slower_than_the_whole_run(tenant: Tenant, step: str) -> None:
    """A process that waits for the processor until the old DEK is gone writes under the new one: nothing is lost."""
    ids = person(tenant)

    def whole(call: Any) -> Any:
        assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
        return call()

    slow = interpose(tenant, **{step: whole})
    if step == "charge":
        answer = slow.charge(ids["token"])
        path = "/v1/charges"
    else:
        answer = slow.tokenize("5555555555554444", customer=ids["customer"], metadata={"late": "yes"})
        path = "/v1/tokens"
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert tenant.call("GET", f"{path}/{answer.get_json()['id']}").get_json() == answer.get_json()
    assert troubles_of(tenant) == []
    assert tenant.erase(ids["customer"]).status_code == 200


def test_another_run_between_a_new_dek_and_its_use(tenant: Tenant) -> None:
    """Whoever finds its new DEK ended leaves it: the one that the customer's row names is never destroyed."""
    ids = person(tenant)
    shop, [one] = tenant.house.components.workshop, of_customer(tenant, ids["customer"])
    ring, before = shop.keyring, seen(tenant, ids)
    named = dek_of(tenant, ids["customer"])
    new = ring.new_dek(tenant.id, "customer", ids["customer"])  # a run that goes on later
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
    assert not resealing.switch(shop, tenant.id, "customer", ids["customer"], named, new)
    kept = dek_of(tenant, ids["customer"])
    another = ring.new_dek(tenant.id, "customer", ids["customer"])
    assert resealing.switch(shop, tenant.id, "customer", ids["customer"], kept, another)
    assert not resealing.end(shop, tenant.id, "customer", ids["customer"], kept, [another.id])  # it looked before that
    assert reseal(tenant.house, [one]) == 0
    assert seen(tenant, ids) == before
    assert troubles_of(tenant) == []


def test_a_run_that_died_beside_an_erasure(tenant: Tenant) -> None:
    """Its new DEK came after the erasure had named all: the certificate waits until the same command is run again."""
    ids = person(tenant)
    assert tenant.call("DELETE", f"/v1/customers/{ids['customer']}").status_code == 202
    tenant.house.components.keyring.new_dek(tenant.id, "customer", ids["customer"])
    assert tenant.house.work()[1] != []  # it says what it found
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
    end_leases(tenant.house)
    assert tenant.house.work()[1] == []
    assert tenant.call("DELETE", f"/v1/customers/{ids['customer']}").status_code == 200


def test_records_alone_from_before(own_house: House, restarted: Restart, tmp_path: Path) -> None:
    """Nothing is told to be erased, nothing is destroyed by another run, and with the right records all is well."""
    tenant, parts = own_house.tenant(), own_house.components
    ids = person(tenant)
    old = backup(parts.records, tmp_path / "old")
    assert reseal(own_house, everything(own_house), own=True) == 0
    before, newer = seen(tenant, ids), backup(parts.records, tmp_path / "new")
    restore(parts.records, old)
    again = restarted(tenant, checked=False)
    done = replay(again.house.components.ledger, again.house.components.records, lambda _done, _total: None)
    assert done.keyless == [ids["customer"]]
    again.house.components.guard.check()
    assert again.call("GET", f"/v1/tokens/{ids['token']}").status_code == 500
    request = asked(again, "erasure", customers=[ids["customer"]])["id"]
    again.call("POST", f"/v1/rights-requests/{request}/approve")
    assert again.call("GET", f"/v1/rights-requests/{request}").get_json()["status"] != "completed"
    assert reseal(again.house, of_customer(again, ids["customer"])) == 1
    restore(parts.records, newer)
    right = restarted(tenant, checked=False)
    replay(right.house.components.ledger, right.house.components.records, lambda _done, _total: None)
    assert right.house.components.guard.check().is_good
    assert seen(right, ids) == before


def test_a_keystore_alone_from_before_is_refused(own_house: House, restarted: Restart, tmp_path: Path) -> None:
    """The ledger knows of the reseal, so the guard does."""
    tenant, parts = own_house.tenant(), own_house.components
    ids = person(tenant)
    old = backup(parts.keystore, tmp_path / "k")
    assert reseal(own_house, of_customer(tenant, ids["customer"])) == 0
    restore(parts.keystore, old)
    again = restarted(tenant, checked=False)
    assert again.house.components.guard.check().code == "keystore_restored"
    assert again.call("GET", f"/v1/tokens/{ids['token']}").status_code == 503


def troubles_of(tenant: Tenant) -> list[key_check.Trouble]:
    return [each for each in troubles(tenant.house) if each.tenant == tenant.id]


@pytest.mark.parametrize(("fault", "end", "paid"), [("lose_answer", "succeeded", 1), ("reset", "failed", 0)])
def test_an_unknown_outcome_is_known_after_it(own_house: House, fault: str, end: str, paid: int) -> None:
    """A charge whose answer was lost is found; one that never arrived has its key burnt and failed."""
    tenant = own_house.tenant()
    ids = person(tenant)
    own_house.sandbox.fault(path="/v1/payment_intents", method="POST", do=fault)
    answer = tenant.charge(ids["token"])
    own_house.sandbox.clear()
    assert answer.status_code == 202, answer.get_data(as_text=True)
    assert reseal(own_house, everything(own_house), own=True) == 0
    settled(tenant)
    path = f"/v1/charges/{answer.get_json()['id']}"
    assert tenant.call("GET", path).get_json()["status"] == end
    assert len(tenant.charges_at_processor()) == 1 + paid


def test_a_correction_and_reseals_at_once(tenant: Tenant) -> None:
    """Twelve corrections and four reseals of one customer: each correction counts, the last one opens."""
    ids = person(tenant)
    path = f"/v1/customers/{ids['customer']}/billing-contact"

    def act(number: int) -> int:
        if number % 4 == 0:
            return reseal(tenant.house, of_customer(tenant, ids["customer"]))
        return tenant.call("PATCH", path, {"name": f"Name {'abcdefghijklmnop'[number]}"}).status_code

    assert {*at_once(16, act)} == {0, 200}
    assert row(tenant.house, customers, customer_id=ids["customer"]).contact_version == 13
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
    assert tenant.call("GET", path, **LOOKED).get_json()["name"].startswith("Name ")
    assert troubles_of(tenant) == []
    [standing] = [each for each in dek_rows(tenant.house, subject_id=ids["customer"]) if each.wrapped]
    assert standing.dek_id == dek_of(tenant, ids["customer"])


@pytest.mark.parametrize("faster", ["erasure", "reseal"])
def test_erased_at_the_same_time(tenant: Tenant, faster: str) -> None:
    """Whoever is faster: erased is erased, and no DEK of theirs stands, the new one neither."""
    ids = person(tenant)
    chosen = of_customer(tenant, ids["customer"])
    shop = tenant.house.components.workshop
    if faster == "reseal":
        assert resealing.renew(shop, chosen[0], "customer", ids["customer"])
    assert tenant.erase(ids["customer"]).status_code == 200
    assert reseal(tenant.house, chosen) == 0
    assert not [each for each in dek_rows(tenant.house, subject_id=ids["customer"]) if each.wrapped]
    assert tenant.call("GET", f"/v1/customers/{ids['customer']}").status_code == 410


def test_erasures_and_reseals_at_once(tenant: Tenant) -> None:
    """Ten people, each erased and resealed at the same moment: none has a DEK left."""
    people = [person(tenant, f"Person{'abcdefghij'[number]}") for number in range(10)]

    def act(number: int) -> object:
        customer = people[number // 2]["customer"]
        if number % 2:
            return reseal(tenant.house, of_customer(tenant, customer))
        return tenant.call("DELETE", f"/v1/customers/{customer}").status_code

    assert {*at_once(20, act)} == {0, 202}
    for each in people:
        assert reseal(tenant.house, of_customer(tenant, each["customer"])) == 0
        assert not [found for found in dek_rows(tenant.house, subject_id=each["customer"]) if found.wrapped]


def test_erased_after_a_reseal_is_erased_in_every_backup(own_house: House, tmp_path: Path, restarted: Restart) -> None:
    """Both databases from before the reseal come back: after the replay no DEK of who was erased is left."""
    tenant, parts = own_house.tenant(), own_house.components
    gone, stays = person(tenant), person(tenant, "Byron")
    old = dek_of(tenant, gone["customer"])
    engines = (parts.records, parts.keystore)
    copies = [backup(engine, tmp_path / name) for engine, name in zip(engines, ("r", "k"), strict=True)]
    assert reseal(own_house, everything(own_house), own=True) == 0
    assert tenant.erase(gone["customer"]).status_code == 200
    for engine, copy in zip(engines, copies, strict=True):
        restore(engine, copy)
    again = restarted(tenant, checked=False)
    parts = again.house.components
    [back] = [each for each in dek_rows(again.house, subject_id=gone["customer"]) if each.wrapped]
    assert back.dek_id == old  # the backup has it, and it would open what the backup has
    replay(parts.ledger, parts.records, lambda _done, _total: None)
    with pytest.raises(KeyDestroyed):
        parts.keyring.dek(tenant.id, old)
    assert not [each for each in dek_rows(again.house, subject_id=gone["customer"]) if each.wrapped]
    assert parts.guard.check().is_good
    assert again.call("GET", f"/v1/customers/{gone['customer']}").status_code == 410
    assert seen(again, stays)[3]["email"] == "byron@example.com"


def test_who_keeps_an_old_index_key_and_who_has_the_new_one(own_house: House, restarted: Restart) -> None:
    """Two processes, one that knows only the old key: in the middle and afterwards both find whom the other made."""
    tenant = own_house.tenant()
    known = person(tenant)
    slow = restarted(tenant)
    for value in ({"email": "ada@example.com"}, {"reference": "R-Ada"}):
        assert found_by(slow, **value) == [known["customer"]]  # now it keeps the old key for that field
    made: dict[str, str] = {}

    def meanwhile() -> None:
        if not made:
            made["slow"] = slow.token(customer={"reference": "S", "billing_contact": CONTACT})["customer"]
            made["fast"] = tenant.token(customer={"reference": "F", "billing_contact": CONTACT})["customer"]
            assert found_by(tenant, reference="S") == [made["slow"]]
            assert found_by(slow, reference="F") == [made["fast"]]
            assert slow.token(customer={"reference": "F"})["customer"] == made["fast"]
            slow.house.components.keyring.forget_cached()  # its time is over

    assert reseal(own_house, everything(own_house), own=True, pause=meanwhile) == 0
    for each in (tenant, slow, restarted(tenant)):
        assert found_by(each, reference="S") == [made["slow"]]
        assert found_by(each, reference="F") == [made["fast"]]
        assert found_by(each, reference="R-Ada") == [known["customer"]]
    living = renewal.living(own_house.components.keyring, tenant.id, "index")
    assert len(living) == 1
    found = rows(own_house, blind_index, tenant_id=tenant.id)
    assert {each.key_id for each in found if each.field in {"email", "phone", "reference"}} == {*living}


def test_a_value_that_does_not_open_keeps_its_dek(tenant: Tenant) -> None:
    """It is told, the DEK stays for whoever mends the row, and all else of that customer is under the new one."""
    ids = person(tenant)
    old = dek_of(tenant, ids["customer"])
    broken = next(place for place in places_of(tenant) if str(place) == "tokens.metadata")
    broken.put(metadata=broken.value[:-1] + bytes([broken.value[-1] ^ 1]))
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) > 0
    assert tenant.house.components.keyring.dek(tenant.id, old)
    assert [str(place) for place in places_of(tenant) if dek_id_of(place.value) == old] == ["tokens.metadata"]
    broken.put(metadata=broken.value)  # from a backup
    assert reseal(tenant.house, of_customer(tenant, ids["customer"])) == 0
    with pytest.raises(KeyReplaced):
        tenant.house.components.keyring.dek(tenant.id, old)
    assert seen(tenant, ids)[0]["metadata"] == {"of": "Ada"}


def test_dying_before_each_statement(own_house: House, restarted: Restart) -> None:
    """At each statement of a run for everything the process dies; the next goes on. In between all is as before."""
    tenant = own_house.tenant()
    ids, other = person(tenant), person(tenant, "Byron")
    package_of(tenant, ids["customer"])
    before = [seen(tenant, each) for each in (ids, other)]
    chosen, deaths = everything(own_house), 0
    for statement in itertools.count(1):
        own_house.components.keyring.forget_cached()
        try:
            with dying_at(own_house, statement):
                closed = reseal(own_house, chosen, own=True)
        except Killed:
            deaths += 1
            if statement % 5 == 0:
                assert [seen(tenant, each) for each in (ids, other)] == before
            continue
        break
    assert closed == 0
    assert deaths > 100
    assert [seen(restarted(tenant), each) for each in (ids, other)] == before
    assert troubles(own_house) == []
    doomed = [each for each in dek_rows(own_house) if each.created_at <= chosen[0].before and each.wrapped]
    assert {each.purpose for each in doomed} == {"processor_key", "client_key", "audit", "signing"}
    for each in (ids, other):
        assert len([dek for dek in dek_rows(own_house, subject_id=each["customer"]) if dek.wrapped]) == 1
