"""A card that comes with a contact of a customer who has one: what a processor is sent is what is held here."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from house import PURPOSE, Tenant, token_order
from plan_scene import at_sandbox
from records_scene import at_processor, interpose, row, rows, work
from rights_scene import ADA, asked

from vault.tables import audit_entries, customers, ledger_outbox
from vault.tenancy import clients

MASTERCARD = "5555555555554444"
NEW = {"name": "Ada King", "email": "king@example.com"}
KNOWN = {"reference": "R-1", "billing_contact": ADA}


def with_card(tenant: Tenant, entered: dict[str, Any], **customer: object) -> dict[str, Any]:
    """Another card of the customer of that reference, with that contact; the answer."""
    return tenant.token(MASTERCARD, customer={"reference": "R-1", "billing_contact": entered, **customer})


def held(tenant: Tenant, customer: str) -> dict[str, Any]:
    contact = tenant.call("GET", f"/v1/customers/{customer}/billing-contact", **PURPOSE).get_json()
    return {name: contact[name] for name in ("name", "email", "phone")}


def there(tenant: Tenant) -> list[dict[str, Any]]:
    """The contact of each card that the processor has."""
    [methods] = at_processor(tenant).values()
    details = [at_sandbox(tenant, "GET", f"/v1/payment_methods/{each}")["billing_details"] for each in methods]
    return [{name: each[name] for name in ("name", "email", "phone")} for each in details]


def found(tenant: Tenant, email: str) -> list[str]:
    answer = tenant.call("POST", "/v1/customers/search", {"email": email}, **PURPOSE)
    return [each["id"] for each in answer.get_json()["data"]]


def only_for(tenant: Tenant, *scopes: str) -> Tenant:
    """The tenant, calling as a client with these scopes."""
    parts = tenant.house.components
    _, key = clients.create_client(
        parts.records, parts.keyring, tenant=tenant.id, name="x", live=False, scopes=scopes, at=parts.clock()
    )
    return replace(tenant, keys={**tenant.keys, "all": key.value})


@pytest.mark.parametrize("choice", [{}, {"contact": "keep"}], ids=["unsaid", "keep"])
def test_what_is_held_is_kept(tenant: Tenant, choice: dict[str, str]) -> None:
    """The processor gets the contact that is held here; the answer says that the one that came differs."""
    customer = tenant.token(customer=KNOWN)["customer"]
    token = with_card(tenant, NEW, **choice)
    assert (token["customer"], token["contact_differs"]) == (customer, True)
    assert there(tenant) == [ADA, ADA]
    assert held(tenant, customer) == ADA
    assert (found(tenant, ADA["email"]), found(tenant, NEW["email"])) == ([customer], [])
    assert "contact.correct" not in {each.action for each in rows(tenant.house, audit_entries, tenant_id=tenant.id)}


@pytest.mark.parametrize("order", [ADA, {"email": ADA["email"]}, {**ADA, "phone": None}, None], ids=str)
def test_what_does_not_differ(tenant: Tenant, order: dict[str, Any] | None) -> None:
    """The contact as it is, or part of it: a field that is not given says nothing. A new customer's is as it came."""
    first = tenant.token(customer=KNOWN)
    contact = {"billing_contact": order} if order else {}
    again = tenant.token(MASTERCARD, customer={"reference": "R-1", **contact})
    assert [each["contact_differs"] for each in (first, again)] == [False, False]
    assert there(tenant) == [ADA, ADA]
    assert tenant.call("GET", f"/v1/tokens/{again['id']}").get_json()["contact_differs"] is False


def test_a_customer_by_id(tenant: Tenant) -> None:
    """The processor gets the contact that is held of it here, and the one after a correction."""
    customer = tenant.token(customer=KNOWN)["customer"]
    assert tenant.token(MASTERCARD, customer=customer)["contact_differs"] is False
    assert there(tenant) == [ADA, ADA]


def test_a_customer_without_a_contact(tenant: Tenant) -> None:
    """Nothing is held, so nothing is sent; an update enters it."""
    customer = tenant.token(customer={"reference": "R-1"})["customer"]
    nothing = {"name": None, "email": None, "phone": None}
    assert with_card(tenant, ADA)["contact_differs"] is True
    assert there(tenant) == [nothing, nothing]
    assert with_card(tenant, ADA, contact="update")["contact_differs"] is False
    assert held(tenant, customer) == ADA


def test_what_came_is_an_update(tenant: Tenant) -> None:
    """The contact is corrected here, as a correction is: on the record, in the index, at every card of the customer."""
    customer = tenant.token(customer=KNOWN)["customer"]
    token = with_card(tenant, NEW, contact="update")
    assert (token["customer"], token["contact_differs"]) == (customer, False)
    now = {**ADA, **NEW}
    assert held(tenant, customer) == now
    assert now in there(tenant)
    assert (found(tenant, ADA["email"]), found(tenant, NEW["email"])) == ([], [customer])
    assert row(tenant.house, audit_entries, customer_id=customer, action="contact.correct").client_id
    decided = [str(each.body) for each in rows(tenant.house, ledger_outbox, tenant_id=tenant.id)]
    assert [customer in each for each in decided if "contact.corrected" in each] == [True]
    for _ in range(2):
        assert work(tenant.house) == []
    assert there(tenant) == [now, now]
    exported = tenant.call("GET", f"/v1/customers/{customer}/export?type=access", **PURPOSE).get_json()
    assert exported["person"]["email"] == NEW["email"]
    request = asked(tenant, "erasure", identities=[{"type": "email", "value": NEW["email"]}])
    assert request["customers"] == [customer]


def test_an_update_that_changes_nothing(tenant: Tenant) -> None:
    """No correction is written where the contact is the same."""
    customer = tenant.token(customer=KNOWN)["customer"]
    assert with_card(tenant, ADA, contact="update")["contact_differs"] is False
    assert row(tenant.house, customers, customer_id=customer).contact_version == 1


def test_a_retry_corrects_nothing(tenant: Tenant) -> None:
    """A repeated call answers the token, and does not bring back a contact that was corrected meanwhile."""
    customer = tenant.token(customer=KNOWN)["customer"]

    def send(choice: str) -> dict[str, Any]:
        body = token_order(MASTERCARD, customer={"reference": "R-1", "billing_contact": NEW, "contact": choice})
        answer = tenant.call("POST", "/v1/tokens", body, Idempotency_Key=f"k-{choice}")
        return answer.get_json()

    first = send("update")
    later = {"name": "Ada Byron"}
    tenant.call("PATCH", f"/v1/customers/{customer}/billing-contact", later)
    assert send("update")["id"] == first["id"]
    assert held(tenant, customer) == {**ADA, **NEW, **later}
    assert [send("keep")["contact_differs"] for _ in range(2)] == [True, True]


def test_who_may_correct(tenant: Tenant) -> None:
    """An update takes the scope of corrections; without it nothing is stored."""
    customer = tenant.token(customer=KNOWN)["customer"]
    body = {"reference": "R-1", "billing_contact": NEW, "contact": "update"}
    answer = only_for(tenant, "tokens:create").tokenize(MASTERCARD, customer=body)
    assert (answer.status_code, answer.get_json()["code"]) == (403, "insufficient_scope")
    assert held(tenant, customer) == ADA
    assert len(there(tenant)) == 1


def test_a_restricted_customer_is_not_corrected(tenant: Tenant) -> None:
    """Storing is refused, and with it the update."""
    customer = tenant.token(customer=KNOWN)["customer"]
    tenant.call("PUT", f"/v1/customers/{customer}/restriction", {"ground": "unlawful"})
    body = {"reference": "R-1", "billing_contact": NEW, "contact": "update"}
    assert tenant.tokenize(MASTERCARD, customer=body).status_code == 423
    assert row(tenant.house, customers, customer_id=customer).contact_version == 1


@pytest.mark.parametrize("choice", ["keep", "update"])
def test_corrected_while_it_is_stored(tenant: Tenant, choice: str) -> None:
    """A correction that comes while the processor stores the card goes on to that card too."""
    customer = tenant.token(customer=KNOWN)["customer"]
    later = {"name": "Ada Byron"}

    def meanwhile(call: Callable[[], Any]) -> Any:
        stored = call()
        tenant.call("PATCH", f"/v1/customers/{customer}/billing-contact", later)
        assert work(tenant.house) == []  # before we know the card
        return stored

    order = {"reference": "R-1", "billing_contact": NEW, "contact": choice}
    assert interpose(tenant, store=meanwhile).tokenize(MASTERCARD, customer=order).status_code == 201
    for _ in range(2):
        assert work(tenant.house) == []
    now = {**ADA, **(NEW if choice == "update" else {}), **later}
    assert held(tenant, customer) == now
    assert there(tenant) == [now, now]


def test_corrected_before_its_person_came(tenant: Tenant) -> None:
    """A card that waits for its person while the contact is corrected has the newer one once it is stored."""
    waiting = tenant.tokenize("4000002500003155", customer=KNOWN).get_json()
    assert waiting["status"] == "requires_action"
    later = {"name": "Ada Byron"}
    tenant.call("PATCH", f"/v1/customers/{waiting['customer']}/billing-contact", later)
    assert work(tenant.house) == []
    [setup] = at_sandbox(tenant, "GET", "/v1/setup_intents")["data"]
    tenant.house.sandbox.hook("POST", f"/_authenticate/{setup['id']}", {"result": "succeed"})
    tenant.call("POST", f"/v1/tokens/{waiting['id']}/confirm")
    for _ in range(2):
        assert work(tenant.house) == []
    assert there(tenant) == [{**ADA, **later}]
