"""What the sandbox remembers: accounts, and their objects as plain mappings in the shape of the wire.

A field whose name starts with an underscore is ours and never leaves. A card number or a CVC is in no object.
"""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sandbox.faults import Script

Object = dict[str, Any]
SINGULAR = {
    "customers": "customer",
    "payment_methods": "payment_method",
    "setup_intents": "setup_intent",
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "subscriptions": "subscription",
    "redaction_jobs": "redaction_job",
    "events": "event",
    "webhook_endpoints": "webhook_endpoint",
}
INDEXED = {
    "payment_methods": ("customer",),
    "setup_intents": ("customer", "payment_method"),
    "payment_intents": ("customer",),
    "charges": ("customer", "payment_intent"),
    "refunds": ("charge", "payment_intent"),
    "disputes": ("charge", "payment_intent"),
    "subscriptions": ("customer",),
}
MOST_EVENTS = 10_000


@dataclass
class Sandbox:
    """All of it.

    ``secret`` keys the fingerprints, ``clock_offset`` is how far its time runs ahead in seconds, ``queues`` are the
    webhooks on their way, ``refused_keys`` the statuses that keys are refused with, by a digest of each.
    """

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    clock_offset: int = 0
    base_url: str = ""
    keeps_state: bool = False
    is_unsaved: bool = True
    accounts: dict[str, "Account"] = field(default_factory=dict)
    script: Script = field(default_factory=Script)
    queues: dict[str, Any] = field(default_factory=dict)
    refused_keys: dict[str, int] = field(default_factory=dict)

    def now(self) -> int:
        """The sandbox's own time, in seconds since 1970."""
        return int(time.time()) + self.clock_offset

    def digest(self, *parts: str) -> str:
        """A keyed digest: the same for the same parts in this sandbox, and nothing to anyone without its secret."""
        message = json.dumps(parts).encode()
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()


@dataclass
class Account:
    """One account's world.

    ``answers`` are the outcomes kept for idempotency keys, ``settling`` the refunds under way with their time, and
    ``touched`` the objects that the current request may have changed.
    """

    id: str
    sandbox: Sandbox
    tables: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in SINGULAR})
    index: dict[tuple[str, str, str], dict[str, None]] = field(default_factory=dict)
    answers: dict[str, Object] = field(default_factory=dict)
    in_flight: set[str] = field(default_factory=set)
    cause: Object = field(default_factory=lambda: {"id": None, "idempotency_key": None})
    outbox: list[Object] = field(default_factory=list)
    settling: dict[str, int] = field(default_factory=dict)
    touched: set[tuple[str, str]] = field(default_factory=set)
    lines: dict[str, dict[str, bytes]] = field(default_factory=dict)
    count: int = 0

    def now(self) -> int:
        """The sandbox's own time, in seconds since 1970."""
        return self.sandbox.now()


def account_for(sandbox: Sandbox, api_key: str) -> Account:
    """The account of an API key without a suffix, made at its first use. The key itself is not kept."""
    name = "acct_" + sandbox.digest("account", api_key)[:16]
    if name not in sandbox.accounts:
        sandbox.accounts[name] = Account(name, sandbox)
    return sandbox.accounts[name]


def new_id(prefix: str) -> str:
    """A fresh id in Stripe's manner: prefix and 24 characters."""
    return f"{prefix}_{secrets.token_hex(12)}"


def add(account: Account, kind: str, thing: Object) -> Object:
    """Keep a new object; it is the newest of its kind."""
    account.count += 1
    thing["_order"] = account.count
    account.tables[kind][thing["id"]] = thing
    account.touched.add((kind, thing["id"]))
    return thing


def find(account: Account, kind: str, name: str | None) -> Object | None:
    """An object to read or to change in place, or nothing."""
    thing = account.tables[kind].get(name or "")
    if thing is not None:
        account.touched.add((kind, thing["id"]))
    return thing


def remove(account: Account, kind: str, name: str) -> None:
    """Forget an object."""
    account.tables[kind].pop(name, None)
    account.touched.add((kind, name))


def newest_first(account: Account, kind: str, equal: dict[str, str]) -> Iterator[Object]:
    """The objects of a kind whose fields equal these, newest first."""
    table = account.tables[kind]
    indexed = next((name for name in equal if name in INDEXED.get(kind, ())), None)
    if indexed:
        names = account.index.get((kind, indexed, equal[indexed]), {})
        rows: Iterator[Object] = iter(sorted((table[n] for n in names), key=lambda r: -r["_order"]))
    else:
        rows = reversed(table.values())
    return (row for row in rows if all(row.get(name) == value for name, value in equal.items()))


def reindex(account: Account, kind: str, thing: Object) -> None:
    """Note where to look an object up. Old entries stay: whoever looks checks the field again."""
    for name in INDEXED.get(kind, ()):
        if thing.get(name):
            account.index.setdefault((kind, name, thing[name]), {})[thing["id"]] = None
