"""The dry run of an erasure, and what lives at the processor by itself."""

from holds_scene import ahead, hold
from house import Tenant
from plan_scene import at_sandbox, plan, subscribe
from records_scene import at_processor, interpose, rows, work
from rights_scene import ADA, approved, asked, person, read
from sqlalchemy import func, select

from rows.engine import reading
from vault.processing.answers import Unknown
from vault.tables import audit_entries, erasure_recipients, erasures, ledger_outbox, rights_requests


def counts(tenant: Tenant) -> list[int]:
    tables = (ledger_outbox, audit_entries, erasures, rights_requests)
    with reading(tenant.house.components.records) as connection:
        return [connection.scalar(select(func.count()).select_from(table)) for table in tables]


def test_what_goes_what_stays_and_who_is_told(tenant: Tenant) -> None:
    """Counted by class, with the basis and the end of what is retained, and each account; looking changes nothing."""
    token = tenant.token(customer={"reference": "R-1", "billing_contact": ADA})
    tenant.token("5555555555554444", customer=token["customer"])
    assert tenant.charge(token["id"], metadata={"a": "b"}).status_code == 201
    subscribe(tenant)
    before = counts(tenant)
    found = plan(tenant, token["customer"])
    assert counts(tenant) == before
    assert (found["blocked"], found["blocked_by"]) == (False, [])
    goes = {each["name"]: each["records"] for each in found["destroyed"]}
    assert (goes["customer_key"], goes["billing_contact"], goes["cards"], goes["charge_details"]) == (1, 1, 2, 1)
    assert goes["processor_references"] == 3
    [kept] = found["retained"]
    assert kept["class"] == "transactions"
    assert kept["basis"] == tenant.house.components.policy.retention["transactions"].basis
    [told] = found["recipients"]
    assert (told["processor"], told["processor_account"]) == ("sandbox", tenant.account)
    assert (told["payment_methods"], told["subscriptions"]) == (2, 1)
    assert tenant.call("GET", f"/v1/customers/{token['customer']}").status_code == 200


def test_what_is_in_the_way(tenant: Tenant) -> None:
    """Holds and open charges, each with its end where there is one: the reasons that the erasure itself would give."""
    token, until = tenant.token(), ahead(days=3)
    hold(tenant, token["customer"], until=until)
    tenant.house.sandbox.fault(path="/v1/payment_intents", do="lose_answer")
    assert tenant.charge(token["id"]).status_code == 202
    found = plan(tenant, token["customer"])
    assert found["blocked"]
    assert found["blocked_by"] == [{"reason": "open_charge", "until": None}, {"reason": "hold", "until": until}]
    refused = tenant.call("DELETE", f"/v1/customers/{token['customer']}").get_json()
    assert refused["reasons"] == [each["reason"] for each in found["blocked_by"]]


def test_a_processor_that_does_not_answer(tenant: Tenant) -> None:
    """The plan stands, and says that it does not know what lives there."""
    token = tenant.token()
    deaf = interpose(tenant, held=lambda _call: Unknown(reason="timeout"))
    assert [each["subscriptions"] for each in plan(deaf, token["customer"])["recipients"]] == [None]


def test_the_erased_have_no_plan(tenant: Tenant) -> None:
    """410, as everywhere."""
    customer = person(tenant)
    tenant.erase(customer)
    assert tenant.call("GET", f"/v1/customers/{customer}/erasure-plan").status_code == 410


def test_subscriptions_are_not_cancelled_silently(tenant: Tenant) -> None:
    """Erased here at once; the customer there stays with its subscription until somebody says that it may end."""
    customer = person(tenant)
    subscription = subscribe(tenant)
    request = asked(tenant, "erasure", customers=[customer])["id"]
    approved(tenant, request)
    assert work(tenant.house) == []
    assert tenant.call("GET", f"/v1/customers/{customer}").status_code == 410
    assert read(tenant, request)["status"] == "awaiting_processor"
    [waiting] = rows(tenant.house, erasure_recipients, tenant_id=tenant.id, what="customer")
    assert (waiting.result, waiting.waits_for) == ("pending", "subscriptions")
    assert at_sandbox(tenant, "GET", f"/v1/subscriptions/{subscription}")["status"] == "active"
    certificate = tenant.call("GET", f"/v1/rights-requests/{request}/certificate").get_json()["certificate"]
    assert {each["what"]: each["result"] for each in certificate["recipients"]} == {
        "payment_method": "pending",
        "customer": "pending",
    }
    approved(tenant, request, cancel_subscriptions=True)
    assert work(tenant.house) == []
    assert read(tenant, request)["status"] == "completed"
    assert at_processor(tenant) == {}
    assert at_sandbox(tenant, "GET", f"/v1/subscriptions/{subscription}")["status"] == "canceled"


def test_a_subscription_that_ends_by_itself(tenant: Tenant) -> None:
    """Once it is cancelled at the processor, the worker goes on without anybody's word."""
    customer = person(tenant)
    subscription = subscribe(tenant)
    assert tenant.erase(customer).status_code == 202
    at_sandbox(tenant, "DELETE", f"/v1/subscriptions/{subscription}")
    assert work(tenant.house) == []
    assert tenant.call("DELETE", f"/v1/customers/{customer}").status_code == 200
    assert at_processor(tenant) == {}


def test_a_correction_goes_on_to_the_processor(tenant: Tenant) -> None:
    """Each card there has the new contact after the worker's round; while the processor is away, it is tried again."""
    token = tenant.token(customer={"billing_contact": ADA})
    tenant.token("5555555555554444", customer=token["customer"])
    path = f"/v1/customers/{token['customer']}/billing-contact"
    tenant.house.sandbox.fault(method="POST", path="/v1/payment_methods/*", do="status", status=500, times=1)
    assert tenant.call("PATCH", path, {"name": "Ada King", "phone": None}).status_code == 200
    for _ in range(2):
        assert work(tenant.house) == []
    [(_, methods)] = at_processor(tenant).items()
    held = [at_sandbox(tenant, "GET", f"/v1/payment_methods/{each}")["billing_details"] for each in methods]
    assert [(each["name"], each["phone"], each["email"]) for each in held] == [("Ada King", None, ADA["email"])] * 2
