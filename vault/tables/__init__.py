"""The records: every table of the records database, as data.

`tenant_id` leads every primary and foreign key, so that no join can cross tenants. What is about a person stands in
columns of type `Sealed` (the record format of keys/envelope.py), each with its version beside it, or in `blind_index`.
In clear are our own ids, moments, states, amounts and keyed digests.
"""

from vault.tables.base import metadata
from vault.tables.cards import LOST, blind_index, customers, processor_references, tokens
from vault.tables.erasing import erasure_recipients, erasures, holds
from vault.tables.exports import package_chunks, package_customers, packages
from vault.tables.house import beats, deployment, guard, ledger_outbox
from vault.tables.looks import audit_entries, audit_logs, audit_tiles
from vault.tables.money import CLOSED_DISPUTES, charges, disputes, refunds
from vault.tables.requests import callbacks, rights_approvals, rights_requests, rights_targets
from vault.tables.telling import event_deliveries, events, webhook_endpoints, webhook_inbox
from vault.tables.tenancy import client_keys, clients, processor_accounts, tenants
from vault.tables.work import intents

__all__ = [
    "CLOSED_DISPUTES",
    "LOST",
    "audit_entries",
    "audit_logs",
    "audit_tiles",
    "beats",
    "blind_index",
    "callbacks",
    "charges",
    "client_keys",
    "clients",
    "customers",
    "deployment",
    "disputes",
    "erasure_recipients",
    "erasures",
    "event_deliveries",
    "events",
    "guard",
    "holds",
    "intents",
    "ledger_outbox",
    "metadata",
    "package_chunks",
    "package_customers",
    "packages",
    "processor_accounts",
    "processor_references",
    "refunds",
    "rights_approvals",
    "rights_requests",
    "rights_targets",
    "tenants",
    "tokens",
    "webhook_endpoints",
    "webhook_inbox",
]
