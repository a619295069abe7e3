"""The main job over HTTP, as a client of `panless serve` does it."""

import json
import urllib.error
import urllib.request
from typing import Any

from house import PURPOSE, House, Tenant, serve, token_order


def ask(url: str, tenant: Tenant, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Status and body of an answer."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {tenant.keys['all']}", "Content-Type": "application/json", **PURPOSE}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, data, sent, method=method), timeout=30
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def main_job(house: House, port: int) -> None:
    """Tokenize, charge, read the contact, erase; the worker's round ends it; then 410, and one charge was made."""
    tenant = house.tenant()
    contact = {"name": "Ada Lovelace", "email": "ada@example.com"}
    order = token_order(customer={"reference": "c-1", "billing_contact": contact})
    with serve(house, port) as (_, url):
        status, token = ask(url, tenant, "POST", "/v1/tokens", order)
        assert status == 201
        charge = {"token": token["id"], "amount": 1234, "currency": "eur", "obligation": "INV-1"}
        assert ask(url, tenant, "POST", "/v1/charges", charge, Idempotency_Key="k-1")[0] == 201
        person = f"/v1/customers/{token['customer']}"
        assert ask(url, tenant, "GET", f"{person}/billing-contact")[1]["email"] == "ada@example.com"
        assert ask(url, tenant, "DELETE", person)[0] == 202
        assert house.work()[1] == []
        assert ask(url, tenant, "DELETE", person)[0] == 200
        assert ask(url, tenant, "GET", f"{person}/billing-contact")[0] == 410
    assert len(tenant.charges_at_processor()) == 1
