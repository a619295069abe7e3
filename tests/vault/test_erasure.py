import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from erasure_scene import certificate_of, dek_is_gone, request_of
from house import PURPOSE, VISA, House, Tenant
from records_scene import (
    CONTACT,
    Crash,
    at,
    at_once,
    at_processor,
    crash,
    end_leases,
    interpose,
    row,
    rows,
    work,
    worker_of,
)
from sqlalchemy import text

from keys.errors import KeyDestroyed
from keys.keyring import Keyring
from keys.providers import keyfile
from rows.engine import transaction
from vault.caller import Caller
from vault.erasing import completion, erasure, recipients, telling
from vault.errors import LedgerAway
from vault.ledger import keys
from vault.processing.answers import Unknown
from vault.tables import (
    blind_index,
    charges,
    customers,
    erasure_recipients,
    erasures,
    intents,
    processor_references,
    tokens,
)


@contextmanager
def ledger_away(house: House) -> Iterator[None]:
    """The ledger's directory is not mounted."""
    directory = house.home / "ledger"
    directory.rename(house.home / "ledger.away")
    yield
    (house.home / "ledger.away").rename(directory)


@contextmanager
def keystore_away(house: House) -> Iterator[None]:
    """The keystore's table of DEKs can't be read."""
    _rename(house, "deks", "deks_away")
    yield
    _rename(house, "deks_away", "deks")


def _rename(house: House, old: str, new: str) -> None:
    with transaction(house.components.keystore) as tx:
        tx.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


def erase(tenant: Tenant, customer: str) -> Any:
    return tenant.erase(customer)


def assert_erased(tenant: Tenant, customer: str) -> None:
    """Nothing sealed for the customer is left, no index row, no key; every answer is 410."""
    house = tenant.house
    of_customer = {"tenant_id": tenant.id, "customer_id": customer}
    person = row(house, customers, **of_customer)
    assert (person.state, person.contact) == ("erased", None)
    assert dek_is_gone(tenant, person.dek_id)
    for token in rows(house, tokens, **of_customer):
        assert (token.state, token.card, token.metadata, token.outcome) == ("detached", None, None, None)
        assert tenant.call("GET", f"/v1/tokens/{token.token_id}").status_code == 410
        assert tenant.charge(token.token_id).status_code == 410
    assert [charge.details for charge in rows(house, charges, **of_customer) if charge.details] == []
    assert [each.parameters for each in rows(house, intents, **of_customer) if each.parameters] == []
    assert rows(house, blind_index, **of_customer) == []
    assert rows(house, processor_references, **of_customer) == []
    for path in ("", "/billing-contact"):
        assert tenant.call("GET", f"/v1/customers/{customer}{path}", **PURPOSE).status_code == 410
    assert tenant.call("PUT", f"/v1/customers/{customer}/billing-contact", {"name": "X"}).status_code == 410
    assert tenant.tokenize(customer=customer).status_code == 410


def test_an_erasure_leaves_nothing(tenant: Tenant) -> None:
    """Key, sealed values, index rows and the processor's objects go; money, state and dates stay."""
    before = at_processor(tenant)
    token = tenant.token(customer={"reference": "c-1", "billing_contact": CONTACT}, metadata={"seat": "12"})
    charge = tenant.charge(token["id"], metadata={"k": "v"}, statement_descriptor="CAFE").get_json()
    answer = erase(tenant, token["customer"])
    assert (answer.status_code, answer.get_json()["status"]) == (200, "completed_with_retention")
    assert_erased(tenant, token["customer"])
    assert at_processor(tenant) == before
    kept = tenant.call("GET", f"/v1/charges/{charge['id']}").get_json()
    same = ("amount", "currency", "status", "obligation", "created_at")
    assert [kept[name] for name in same] == [charge[name] for name in same]
    assert (kept["metadata"], kept["statement_descriptor"]) == ({}, None)
    done = row(tenant.house, erasures, customer_id=token["customer"])
    assert dek_is_gone(tenant, done.dek_id)
    told = rows(tenant.house, erasure_recipients, erasure_id=done.erasure_id)
    assert sorted((each.what, each.result, each.reference) for each in told) == [
        ("customer", "erased", None),
        ("payment_method", "erased", None),
    ]


def test_asking_again_finds_the_same_request(tenant: Tenant) -> None:
    """A repeated DELETE answers the first request and tells nobody again."""
    token = tenant.token()
    first, second = (erase(tenant, token["customer"]) for _ in range(2))
    assert first.get_json() == second.get_json()
    assert (second.status_code, len(rows(tenant.house, erasures, customer_id=token["customer"]))) == (200, 1)
    silent = interpose(tenant, forget=crash, forget_customer=crash)
    assert erase(silent, token["customer"]).status_code == 200


def test_concurrent_deletes_are_one_request(tenant: Tenant) -> None:
    """Ten at once: one erasure, one answer for all; nobody is told of an error."""
    for _ in range(5):
        token = tenant.token()
        answers = at_once(10, lambda _, customer=token["customer"]: erase(tenant, customer))
        assert {answer.status_code for answer in answers} <= {200, 202}
        assert len({answer.get_json()["id"] for answer in answers}) == 1
        assert len(rows(tenant.house, erasures, customer_id=token["customer"])) == 1
        assert request_of(tenant, token["customer"])["status"] == "completed"
        assert_erased(tenant, token["customer"])


def test_replays_after_an_erasure_are_gone(tenant: Tenant) -> None:
    """An idempotency key that was used for an erased customer answers 410, for each operation."""
    order = {"number": VISA, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    tokenizing = {"type": "card", "card": order, "customer": {"reference": "c-1"}}
    charging = {"amount": 100, "currency": "eur", "obligation": "i-1"}
    token = tenant.call("POST", "/v1/tokens", tokenizing, Idempotency_Key="t").get_json()
    tenant.call("POST", "/v1/charges", {"token": token["id"], **charging}, Idempotency_Key="c")
    erase(tenant, token["customer"])
    assert tenant.call("POST", "/v1/tokens", tokenizing, Idempotency_Key="t").status_code == 410
    again = tenant.call("POST", "/v1/charges", {"token": token["id"], **charging}, Idempotency_Key="c")
    assert again.status_code == 410
    person = tenant.call("POST", "/v1/customers", {"reference": "c-2"}, Idempotency_Key="p").get_json()
    erase(tenant, person["id"])
    assert tenant.call("POST", "/v1/customers", {"reference": "c-2"}, Idempotency_Key="p").status_code == 410


def test_the_reference_is_free_for_somebody_new(tenant: Tenant) -> None:
    """Who comes back under the same reference is a new customer with new tokens, at the processor too."""
    first = tenant.token(customer={"reference": "c-1", "billing_contact": CONTACT})
    erase(tenant, first["customer"])
    second = tenant.token(customer={"reference": "c-1", "billing_contact": CONTACT})
    assert second["customer"] != first["customer"]
    assert second["id"] != first["id"]
    assert not second["deduplicated"]
    assert tenant.charge(second["id"]).status_code == 201
    assert tenant.call("GET", f"/v1/customers/{first['customer']}").status_code == 410


def test_refunds_go_on_after_an_erasure(tenant: Tenant) -> None:
    """The money part of a charge outlives its customer."""
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()
    erase(tenant, token["customer"])
    refund = tenant.call("POST", f"/v1/charges/{charge['id']}/refunds", {"amount": 34}, Idempotency_Key="r")
    assert (refund.status_code, refund.get_json()["status"]) == (201, "succeeded")
    assert [each["refunded"] for each in tenant.charges_at_processor()] == [34]


@pytest.mark.parametrize("state", ["pending", "unknown"])
def test_an_open_charge_blocks_with_its_reason(tenant: Tenant, state: str) -> None:
    """While nobody knows whether money moves, the erasure waits and says why; then it goes through."""
    token = tenant.token()
    if state == "pending":
        with pytest.raises(Crash):
            interpose(tenant, charge=crash).charge(token["id"])
    else:
        tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
        tenant.charge(token["id"])
    assert [each.state for each in rows(tenant.house, charges, customer_id=token["customer"])] == [state]
    answer = erase(tenant, token["customer"])
    assert (answer.status_code, answer.get_json()["reasons"]) == (409, ["open_charge"])
    assert tenant.call("GET", f"/v1/tokens/{token['id']}").status_code == 200
    assert work(tenant.house) == []
    assert erase(tenant, token["customer"]).status_code == 200


def test_a_pending_refund_blocks_with_its_reason(tenant: Tenant) -> None:
    """A refund whose end is open blocks; it ends by being looked up."""
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()
    tenant.house.sandbox.fault(path="/v1/refunds", do="lose_answer")
    refund = tenant.call("POST", f"/v1/charges/{charge['id']}/refunds", {}, Idempotency_Key="r")
    assert (refund.status_code, refund.get_json()["status"]) == (202, "unknown")
    answer = erase(tenant, token["customer"])
    assert (answer.status_code, answer.get_json()["reasons"]) == (409, ["pending_refund"])
    assert work(tenant.house) == []
    assert erase(tenant, token["customer"]).status_code == 200


def test_the_ledger_away_keeps_the_decision(own_house: House) -> None:
    """503, and the customer is out of use from then on; once the ledger is back the worker ends it."""
    tenant = own_house.tenant()
    token = tenant.token()
    with ledger_away(own_house):
        answer = erase(tenant, token["customer"])
        assert (answer.status_code, answer.get_json()["code"]) == (503, "ledger_unavailable")
        assert tenant.call("GET", f"/v1/tokens/{token['id']}").status_code == 410
        assert tenant.charge(token["id"]).status_code == 410
        assert erase(tenant, token["customer"]).status_code == 202
        assert request_of(tenant, token["customer"])["status"] == "executing"
    assert work(own_house) == []
    assert_erased(tenant, token["customer"])
    assert request_of(tenant, token["customer"])["status"] == "completed"


def test_the_keystore_away_keeps_the_decision(own_house: House) -> None:
    """An erasure whose shred fails stays decided, and the worker ends it."""
    tenant = own_house.tenant()
    token = tenant.token()
    with ledger_away(own_house):
        assert erase(tenant, token["customer"]).status_code == 503
    end_leases(own_house)
    with keystore_away(own_house):
        assert {what for what, _ in own_house.work()[1]} - {"anchor"} == {"ledger", "erasure"}  # the log has keys there
    assert request_of(tenant, token["customer"])["status"] == "executing"
    assert work(own_house) == []
    assert_erased(tenant, token["customer"])
    assert own_house.components.guard.check().is_good


def test_the_processor_away_holds_nothing_up_here(own_house: House) -> None:
    """202, all is erased here, the certificate lists who has not answered; a later one supersedes it."""
    tenant = own_house.tenant()  # alone: a round for another tenant would meet the fault first
    token = tenant.token()
    tenant.house.sandbox.fault(method="*", path="/v1/*", do="reset", times=1)
    answer = erase(tenant, token["customer"])
    assert (answer.status_code, answer.get_json()["status"]) == (202, "awaiting_processor")
    assert_erased(tenant, token["customer"])
    first = certificate_of(tenant, token["customer"])
    assert [each["result"] for each in first["certificate"]["recipients"]] == ["pending", "pending"]
    assert first["certificate"]["completed_at"] is None
    open_one = row(tenant.house, erasures, customer_id=token["customer"])
    assert not dek_is_gone(tenant, open_one.dek_id)
    assert first["dek_id"] is None
    assert work(tenant.house) == []
    second = certificate_of(tenant, token["customer"])
    assert {each["result"] for each in second["certificate"]["recipients"]} <= {"erased", "already_gone"}
    assert second["certificate"]["supersedes"] == first["entry_id"]
    assert second["certificate"]["completed_at"] is not None
    assert request_of(tenant, token["customer"])["status"] == "completed"
    assert dek_is_gone(tenant, open_one.dek_id)


def test_a_certificate_is_there_at_once(tenant: Tenant) -> None:
    """Before the worker has come to it: all is read back, recipients are pending; the worker's supersedes it."""
    token = tenant.token()
    answer = tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    assert (answer.status_code, answer.get_json()["status"]) == (202, "executing")
    assert_erased(tenant, token["customer"])
    first = certificate_of(tenant, token["customer"])
    assert {each["result"] for each in first["certificate"]["targets"]} == {"verified"}
    assert [each["result"] for each in first["certificate"]["recipients"]] == ["pending", "pending"]
    assert certificate_of(tenant, token["customer"]) == first
    assert work(tenant.house) == []
    second = certificate_of(tenant, token["customer"])
    assert {each["result"] for each in second["certificate"]["recipients"]} == {"erased"}
    assert second["certificate"]["supersedes"] == first["entry_id"]
    assert request_of(tenant, token["customer"])["status"] == "completed"


def test_every_card_of_many_is_told(tenant: Tenant) -> None:
    """More recipients than are written in one statement: each is written, told and named in the certificate."""
    before = at_processor(tenant)
    person = tenant.token()["customer"]
    numbers = ("5555555555554444", "378282246310005", "6011111111111117", "4000003800000446", "4000000000000341")
    for number in numbers:
        tenant.token(number, customer=person)
    assert erase(tenant, person).status_code == 200
    told = certificate_of(tenant, person)["certificate"]["recipients"]
    assert sorted(each["what"] for each in told) == ["customer", *["payment_method"] * (len(numbers) + 1)]
    assert {each["result"] for each in told} <= {"erased", "already_gone"}
    assert at_processor(tenant) == before


def test_a_request_waits_for_no_processor(tenant: Tenant) -> None:
    """A processor that would hang is not called before the answer."""
    token = tenant.token()
    deaf = interpose(tenant, forget=crash, forget_customer=crash)
    assert deaf.call("DELETE", f"/v1/customers/{token['customer']}").status_code == 202


def test_only_what_is_pending_is_told_again(tenant: Tenant) -> None:
    """One recipient answers, one does not: the certificate says which, the answered reference is gone at once."""
    token = tenant.token()
    deaf = interpose(tenant, forget_customer=lambda _call: Unknown(reason="timeout"))
    assert erase(deaf, token["customer"]).status_code == 202
    told = {each.what: each for each in rows(tenant.house, erasure_recipients, tenant_id=tenant.id)}
    assert (told["payment_method"].result, told["payment_method"].reference) == ("erased", None)
    assert told["customer"].result == "pending"
    assert work(interpose(tenant, forget=crash).house) == []
    assert request_of(tenant, token["customer"])["status"] == "completed"


def test_a_crash_after_the_last_answer_still_completes(tenant: Tenant) -> None:
    """All recipients have answered and the process dies before the certificate: the worker writes it."""
    token = tenant.token()
    deaf = interpose(tenant, **dict.fromkeys(("forget", "forget_customer"), lambda _call: Unknown(reason="timeout")))
    assert erase(deaf, token["customer"]).status_code == 202
    parts = tenant.house.components
    open_one = row(tenant.house, erasures, customer_id=token["customer"])
    listed = recipients.of_erasure(parts.records, open_one)
    whole, later_on = completion.read(parts.records, tenant.id, open_one.erasure_id), soon(tenant)
    answers = telling.tell(parts.desk(later_on), parts.processors, whole, listed)
    with transaction(parts.records) as tx:
        recipients.write_answers(tx, listed, answers)
    assert work(tenant.house) == []
    assert request_of(tenant, token["customer"])["status"] == "completed"
    assert dek_is_gone(tenant, open_one.dek_id)


def soon(tenant: Tenant) -> Caller:
    """The worker, once it is time to ask again."""
    caller = worker_of(tenant)
    return replace(caller, at=caller.at + timedelta(hours=2))


@pytest.mark.parametrize("step", ["forget", "forget_customer"])
def test_a_crash_at_the_processor_is_carried_on(tenant: Tenant, step: str) -> None:
    """The process dies while it tells the processor: nothing is certified, and the worker ends it."""
    token = tenant.token()
    dying = interpose(tenant, **{step: crash})
    with pytest.raises(Crash):
        erase(dying, token["customer"])
    assert row(tenant.house, erasures, customer_id=token["customer"]).done_entry_id is None
    assert work(tenant.house) == []
    assert_erased(tenant, token["customer"])
    assert request_of(tenant, token["customer"])["status"] == "completed"


def test_the_key_is_gone_on_every_worker_at_once(tenant: Tenant) -> None:
    """A second process whose KEKs are warm can't open a value once the shred is committed."""
    house, parts = tenant.house, tenant.house.components
    token = tenant.token(customer={"billing_contact": CONTACT})
    dek_id = row(house, customers, customer_id=token["customer"]).dek_id
    other = Keyring(
        keystore=parts.keystore,
        roots=[keyfile.load(house.home / "root.key")],
        deployment=parts.keyring.deployment,
        now=parts.clock,
    )
    assert other.dek(tenant.id, dek_id)
    erase(tenant, token["customer"])
    with pytest.raises(KeyDestroyed):
        other.dek(tenant.id, dek_id)
    assert other.deks(tenant.id, [dek_id]) == {}


@pytest.mark.parametrize("lost", [False, True])
def test_erased_while_the_card_is_being_stored(tenant: Tenant, lost: bool) -> None:  # noqa: FBT001  # a case
    """The tokenization answers 410, and the processor is told to forget what it stored, or may have stored."""
    before = at_processor(tenant)
    person = tenant.call("POST", "/v1/customers", {"reference": "c-1"}).get_json()["id"]

    def erase_meanwhile(call: Callable[[], Any]) -> Any:
        stored = call()
        assert erase(tenant, person).status_code == 202
        return Unknown(reason="timeout") if lost else stored

    assert interpose(tenant, store=erase_meanwhile).tokenize(customer=person).status_code == 410
    assert [each["result"] for each in certificate_of(tenant, person)["certificate"]["recipients"]] == ["pending"]
    for _ in range(2):  # on a slow machine a turn is over (`turns.SECONDS`) before its last row
        assert work(tenant.house) == []
    assert at_processor(tenant) == before
    assert request_of(tenant, person)["status"] == "completed"
    assert_erased(tenant, person)


def test_erased_while_the_processor_opens_its_customer(tenant: Tenant) -> None:
    """Where the answer to the very first call is lost, the worker finds the customer there by our tag."""
    before = at_processor(tenant)
    person = tenant.call("POST", "/v1/customers", {"reference": "c-1"}).get_json()["id"]

    def erase_meanwhile(call: Callable[[], Any]) -> Any:
        call()
        assert erase(tenant, person).status_code == 202
        return Unknown(reason="timeout")

    assert interpose(tenant, open_customer=erase_meanwhile).tokenize(customer=person).status_code == 410
    assert work(tenant.house) == []
    assert at_processor(tenant) == before


def test_erased_after_a_crash_in_the_middle_of_storing(tenant: Tenant) -> None:
    """A storing that broke off before the erasure is forgotten at the processor as well."""
    before = at_processor(tenant)
    person = tenant.call("POST", "/v1/customers", {"reference": "c-1"}).get_json()["id"]
    dying = interpose(tenant, store=lambda call: (call(), crash(call)))
    with pytest.raises(Crash):
        dying.tokenize(customer=person)
    assert erase(tenant, person).status_code == 202
    assert [each["result"] for each in certificate_of(tenant, person)["certificate"]["recipients"]] == ["pending"]
    for _ in range(2):  # on a slow machine a turn is over (`turns.SECONDS`) before its last row
        assert work(tenant.house) == []
    assert at_processor(tenant) == before
    assert request_of(tenant, person)["status"] == "completed"


def test_a_charge_in_flight_and_an_erasure_exclude_each_other(tenant: Tenant) -> None:
    """Either the charge is refused, or the erasure waits for it; never an erased customer who was charged after."""
    for _ in range(8):
        token, barrier = tenant.token(), threading.Barrier(2)

        def charge_or_erase(which: int, token: dict[str, Any] = token, barrier: threading.Barrier = barrier) -> Any:
            barrier.wait()
            return tenant.charge(token["id"]) if which else erase(tenant, token["customer"])

        erased, charged = at_once(2, charge_or_erase)
        if erased.status_code == 409:
            assert (charged.status_code, erased.get_json()["reasons"]) == (201, ["open_charge"])
        else:
            assert (erased.status_code, charged.status_code) in {(200, 410), (200, 201)}
            assert_erased(tenant, token["customer"])


def test_a_stranger_can_verify_the_certificate(tenant: Tenant) -> None:
    """Ed25519 over the canonical entry under the published key; it names its targets, and holds no canary."""
    token = tenant.token(customer={"reference": "Kanarie-7", "billing_contact": {"name": "Kanarie"}})
    tenant.charge(token["id"], obligation="Kanarie-8")
    erase(tenant, token["customer"])
    entry = certificate_of(tenant, token["customer"])
    unsigned = {name: value for name, value in entry.items() if name != "signature"}
    public = keys.public_key(tenant.house.components.keyring)
    assert entry["key_id"] == keys.key_id(public)
    Ed25519PublicKey.from_public_bytes(public).verify(b64decode(entry["signature"]), rfc8785.dumps(unsigned))
    assert {each["name"]: each["result"] for each in entry["certificate"]["targets"]} == dict.fromkeys(
        (
            "customer_key",
            "billing_contact",
            "cards",
            "charge_details",
            "intent_parameters",
            "index",
            "processor_references",
            "packages",
        ),
        "verified",
    )
    assert [each["class"] for each in entry["certificate"]["retained"]] == ["transactions"]
    assert "Kanarie" not in json.dumps(entry)


def test_the_certificate_counts_from_the_shred(own_house: House) -> None:
    """Not from the decision: backups of the keystore that were made in between hold the key still."""
    tenant = own_house.tenant()
    token = tenant.token()
    yesterday = at(own_house, lambda: datetime.now(UTC) - timedelta(days=3))
    with ledger_away(own_house):
        deciding = Tenant(yesterday, tenant.id, tenant.keys, tenant.caller, tenant.account)
        assert erase(deciding, token["customer"]).status_code == 503
    now = datetime.now(UTC)
    assert work(own_house) == []
    entry = certificate_of(tenant, token["customer"])
    until = datetime.fromisoformat(entry["certificate"]["unrecoverable_after"])
    assert until >= (now + timedelta(days=own_house.components.policy.keystore_backup_days)).replace(microsecond=0)


def test_nothing_is_certified_that_is_still_there(tenant: Tenant) -> None:
    """The read-back looks: a row that came back after the shred stops the certificate."""
    token = tenant.token()
    silent = interpose(tenant, forget=crash)
    kept = row(tenant.house, customers, customer_id=token["customer"])
    with pytest.raises(Crash):
        erase(silent, token["customer"])
    this = (customers.c.tenant_id == tenant.id) & (customers.c.customer_id == token["customer"])
    with transaction(tenant.house.components.records) as tx:
        tx.execute(customers.update().where(this).values(contact=kept.contact))
    [(what, error)] = work(tenant.house)
    assert (what, type(error).__name__) == ("erasure", "EraseIncomplete")
    assert row(tenant.house, erasures, customer_id=token["customer"]).done_entry_id is None
    with transaction(tenant.house.components.records) as tx:
        tx.execute(customers.update().where(this).values(contact=None))
    assert work(tenant.house) == []


def test_a_processor_account_stays_while_an_erasure_needs_it(tenant: Tenant) -> None:
    """Its credentials are what a processor that has not answered is told with: deleting it is blocked until then."""
    token = tenant.token()
    deaf = interpose(tenant, forget_customer=lambda _call: Unknown(reason="timeout"))
    assert erase(deaf, token["customer"]).status_code == 202
    path = f"/v1/processor-accounts/{tenant.account}"
    blocked = tenant.call("DELETE", path)
    assert (blocked.status_code, blocked.get_json()["reasons"]) == (409, ["open_erasures"])
    assert work(tenant.house) == []
    assert tenant.call("DELETE", path).status_code in {200, 204}


def test_another_tenants_customer_is_not_there(house: House, tenant: Tenant) -> None:
    """A foreign id is 404, and nothing happens to it."""
    other = house.tenant()
    token = other.token()
    assert erase(tenant, token["customer"]).status_code == 404
    assert other.call("GET", f"/v1/tokens/{token['id']}").status_code == 200
    parts = house.components
    with pytest.raises(Exception, match="No such customer"):
        erasure.execute(parts.desk(worker_of(tenant)), parts.ledger, parts.policy, token["customer"])


def test_a_certificate_that_is_on_its_way_is_taken_to_the_ledger(tenant: Tenant) -> None:
    """The worker ended between deciding the certificate and appending it: who asks for it gets it."""
    token = tenant.token()
    assert tenant.call("DELETE", f"/v1/customers/{token['customer']}").status_code == 202
    house = tenant.house
    store = Refusing(house.components.ledger.store)
    cut_off = replace(house.components, ledger=replace(house.components.ledger, store=store))
    assert "ledger away" in str(replace(house, components=cut_off).work()[1])
    assert certificate_of(tenant, token["customer"])["certificate"]["completed_at"] is not None


class Refusing:
    """A ledger that can be read and takes nothing."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, _seq: int, _entry: bytes) -> bool:
        raise LedgerAway("ledger away")
