"""Each role before each endpoint: what it is granted, and nothing else."""

import json
from dataclasses import replace

import pytest
from api_scene import LINKED, headers_of, never_was, nothing, operations, problem
from house import House, Tenant
from roles_scene import NEEDED
from sqlalchemy import select

from api.openapi.document import CONVERTED
from api.parts import NAME
from rows.engine import reading
from vault.tables import audit_entries
from vault.tenancy import clients
from vault.tenancy.scopes import ROLES, SCOPES

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
