"""Each role before each endpoint: what it is granted, and nothing else."""

import json
from dataclasses import replace

import pytest
from api_scene import LINKED, headers_of, never_was, nothing, operations, problem
from house import House, Tenant
from sqlalchemy import select

from api.openapi.document import CONVERTED
from api.parts import NAME
from keys.database import reading
from vault.tables import audit_entries
from vault.tenancy import clients
from vault.tenancy.scopes import ROLES, SCOPES

NEEDED = {
    ("POST", "/v1/tokens"): "tokens:create",
    ("POST", "/v1/tokens/{token_id}/confirm"): "tokens:create",
    ("GET", "/v1/tokens/{token_id}"): "tokens:read",
    ("GET", "/v1/tokens"): "tokens:read",
    ("DELETE", "/v1/tokens/{token_id}"): "tokens:delete",
    ("POST", "/v1/charges"): "charges:create",
    ("POST", "/v1/charges/{charge_id}/capture"): "charges:create",
    ("POST", "/v1/charges/{charge_id}/void"): "charges:create",
    ("POST", "/v1/charges/{charge_id}/confirm"): "charges:create",
    ("POST", "/v1/charges/{charge_id}/refunds"): "refunds:create",
    ("GET", "/v1/charges/{charge_id}/refunds"): "charges:read",
    ("GET", "/v1/refunds/{refund_id}"): "charges:read",
    ("GET", "/v1/charges/{charge_id}"): "charges:read",
    ("GET", "/v1/charges"): "charges:read",
    ("POST", "/v1/customers"): "customers:write",
    ("GET", "/v1/customers/{customer_id}"): "customers:read",
    ("GET", "/v1/customers/{customer_id}/billing-contact"): "contacts:read",
    ("POST", "/v1/customers/search"): "contacts:read",
    ("PUT", "/v1/customers/{customer_id}/billing-contact"): "contacts:write",
    ("PATCH", "/v1/customers/{customer_id}/billing-contact"): "contacts:write",
    ("GET", "/v1/customers/{customer_id}/erasure-plan"): "rights:read",
    ("POST", "/v1/rights-requests"): "rights:write",
    ("GET", "/v1/rights-requests"): "rights:read",
    ("GET", "/v1/rights-requests/{request_id}"): "rights:read",
    ("POST", "/v1/rights-requests/{request_id}/approve"): "rights:write",
    ("POST", "/v1/rights-requests/{request_id}/deny"): "rights:write",
    ("POST", "/v1/rights-requests/{request_id}/extend"): "rights:write",
    ("DELETE", "/v1/rights-requests/{request_id}"): "rights:write",
    ("GET", "/v1/rights-requests/{request_id}/package"): "rights:read",
    ("GET", "/v1/rights-requests/{request_id}/certificate"): "rights:read",
    ("GET", "/v1/customers/{customer_id}/export"): "rights:read",
    ("DELETE", "/v1/customers/{customer_id}"): "rights:write",
    ("PUT", "/v1/customers/{customer_id}/restriction"): "rights:write",
    ("DELETE", "/v1/customers/{customer_id}/restriction"): "rights:write",
    ("POST", "/v1/customers/{customer_id}/holds"): "rights:write",
    ("GET", "/v1/customers/{customer_id}/holds"): "rights:read",
    ("DELETE", "/v1/holds/{hold_id}"): "rights:write",
    ("POST", "/opendsr/v2/requests"): "rights:write",
    ("GET", "/opendsr/v2/requests/{subject_request_id}"): "rights:read",
    ("GET", "/opendsr/v2/requests/{subject_request_id}/status"): "rights:read",
    ("DELETE", "/opendsr/v2/requests/{subject_request_id}"): "rights:write",
    ("POST", "/fides/pre-execution"): "rights:write",
    ("GET", "/v1/disputes"): "charges:read",
    ("GET", "/v1/disputes/{dispute_id}"): "charges:read",
    ("GET", "/v1/events"): "events:read",
    ("GET", "/v1/events/{event_id}"): "events:read",
    ("POST", "/v1/webhook-endpoints"): "webhooks:write",
    ("GET", "/v1/webhook-endpoints"): "webhooks:write",
    ("GET", "/v1/webhook-endpoints/{endpoint_id}"): "webhooks:write",
    ("PATCH", "/v1/webhook-endpoints/{endpoint_id}"): "webhooks:write",
    ("DELETE", "/v1/webhook-endpoints/{endpoint_id}"): "webhooks:write",
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/rotate"): "webhooks:write",
    ("POST", "/v1/webhook-endpoints/{endpoint_id}/replay"): "webhooks:write",
    ("GET", "/v1/webhook-endpoints/{endpoint_id}/deliveries"): "webhooks:write",
    ("GET", "/v1/audit/checkpoint"): "audit:read",
    ("GET", "/v1/audit/tile/{level}/{place}"): "audit:read",
    ("GET", "/v1/audit/entries"): "audit:read",
    ("POST", "/v1/processor-accounts"): "accounts:write",
    ("GET", "/v1/processor-accounts"): "accounts:write",
    ("GET", "/v1/processor-accounts/{account_id}"): "accounts:write",
    ("PATCH", "/v1/processor-accounts/{account_id}"): "accounts:write",
    ("DELETE", "/v1/processor-accounts/{account_id}"): "accounts:write",
}
OPEN = {("GET", "/livez"), ("GET", "/readyz"), ("GET", "/docs"), ("GET", "/openapi.json")}
SIGNED = {("POST", "/webhooks/{processor_account}")}
OPEN |= SIGNED
PUBLISHED = {("GET", "/opendsr/v2/discovery"), ("GET", "/opendsr/v2/certificate.pem")}
"""What OpenDSR has open to everybody, where it is configured."""

GRANTED = {
    "checkout": "tokens:create tokens:read tokens:delete customers:write customers:read contacts:write",
    "billing": "tokens:read customers:read charges:create charges:read refunds:create contacts:read events:read",
    "privacy": "customers:read contacts:read contacts:write rights:read rights:write tokens:read charges:read",
    "auditor": "audit:read",
    "admin": "accounts:write clients:write events:read webhooks:write",
}


def _routes(house: House) -> set[tuple[str, str]]:
    """What the application answers, read off its URL map."""
    return {
        (method, CONVERTED.sub(r"{\1}", rule.rule))
        for rule in house.app.url_map.iter_rules()
        for method in rule.methods - {"HEAD"}
    }


def test_every_route_is_in_the_table(house: House) -> None:
    """A route that this table does not know fails the test: whoever adds one says who may call it."""
    assert _routes(house) == NEEDED.keys() | OPEN | LINKED | PUBLISHED


def test_roles_are_those_of_the_table() -> None:
    """A role is exactly the scopes that the table says, and together they leave none out."""
    assert {role: set(scopes) for role, scopes in ROLES.items()} == {
        role: set(scopes.split()) for role, scopes in GRANTED.items()
    }
    assert set().union(*ROLES.values()) == SCOPES


@pytest.mark.parametrize("role", GRANTED)
def test_role_may_do_what_its_scopes_say(tenant: Tenant, role: str) -> None:
    """An endpoint within the role's scopes answers as it does to anybody; one without is 403 and names the scope."""
    for method, path, operation in operations(tenant.house.app):
        if (method, path) in OPEN | LINKED | PUBLISHED or path.startswith("/opendsr/"):
            continue  # tests/vault/test_opendsr.py asks the same of OpenDSR
        url = path.format(**nothing())
        body = {} if method in {"POST", "PUT", "PATCH"} and "confirm" not in path else None
        headers = {name.replace("-", "_"): value for name, value in headers_of(operation, "k-1").items()}
        answers = [tenant.call(method, url, body, role=role, **headers)]
        if method == "GET":
            answers.append(tenant.call("HEAD", url, role=role, **headers))
        for answer in answers:
            if NEEDED[method, path] in GRANTED[role].split():
                assert answer.status_code not in {401, 403, 405, 500}, (method, path, answer.get_data(as_text=True))
            elif answer is answers[0]:
                assert problem(answer, 403, "insufficient_scope")["scope"] == NEEDED[method, path]
            else:
                assert (answer.status_code, answer.get_data()) == (403, b"")


def test_every_other_scope_together_opens_nothing(tenant: Tenant) -> None:
    """On each operation of the document, a client with all scopes but the one that it names: 403."""
    parts, keys = tenant.house.components, {}
    for scope in SCOPES:
        _, key = clients.create_client(
            parts.records,
            parts.keyring,
            tenant=tenant.id,
            name=scope,
            live=False,
            scopes=SCOPES - {scope},
            at=parts.clock(),
        )
        keys[scope] = key.value
    lacking = replace(tenant, keys=keys)
    for method, path, operation in operations(tenant.house.app):
        scope = operation.get("x-scope")
        if scope is None:
            assert (method, path) in OPEN | LINKED | PUBLISHED, path
        elif not path.startswith("/opendsr/"):  # tests/vault/test_opendsr.py asks the same of OpenDSR
            answer = lacking.call(method, path.format(**nothing()), role=scope)
            assert answer.status_code == 403, (method, path, answer.get_data(as_text=True))
            assert scope in answer.get_data(as_text=True)


def test_confirming_is_no_way_to_look(tenant: Tenant) -> None:
    """A token with nothing to confirm is only looked at: that takes tokens:read, and is counted as other looks are."""
    parts, token = tenant.house.app.extensions[NAME], tenant.token()["id"]
    only = {"tenant": tenant.id, "name": "makes", "live": False, "scopes": {"tokens:create"}, "at": parts.clock()}
    _, key = clients.create_client(parts.records, parts.keyring, **only)
    makes = replace(tenant, keys={"makes": key.value})
    path = f"/v1/tokens/{token}/confirm"
    assert problem(makes.call("POST", path, role="makes"), 403, "insufficient_scope")["status"] == 403
    assert tenant.call("POST", path, role="checkout").get_json()["card"]["last4"] == "4242"
    parts.tallies.write_down(parts.records, parts.keyring, parts.clock(), all_of_it=True)
    mine = audit_entries.c.tenant_id == tenant.id, audit_entries.c.action == "token.read"
    with reading(parts.records) as connection:
        [leaf] = connection.scalars(select(audit_entries.c.leaf).where(*mine))
    assert json.loads(leaf)["details"]["cards"] == 1


def test_scope_is_asked_for_before_anything_else(tenant: Tenant) -> None:
    """Without the scope nobody learns whether an id exists, or what is wrong with a body or a query."""
    token = tenant.token()["id"]
    answers = {
        tenant.call("GET", f"/v1/tokens/{ident}{query}", role="auditor").get_data()
        for ident in (token, never_was("tok"), "x")
        for query in ("", "?unknown=1", "?x=%zz")
    }
    assert len(answers) == 1


def test_open_endpoints_ask_for_no_key(house: House) -> None:
    """Health, the document and the reference answer anybody."""
    for method, path in OPEN - SIGNED:
        assert house.app.test_client().open(path, method=method).status_code == 200
