"""Calls over HTTP, as a client makes them."""

import json
import urllib.error
import urllib.request
from typing import Any

from house import PURPOSE, Tenant


def ask(url: str, tenant: Tenant, method: str = "GET", body: object = None, **headers: str) -> tuple[int, Any]:
    """Status and body of an answer. Raises OSError where there is none."""
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Authorization": f"Bearer {tenant.keys['all']}", "Content-Type": "application/json", **PURPOSE, **named}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, sent, method=method), timeout=30) as answered:
            return answered.status, json.loads(answered.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())
