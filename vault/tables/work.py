"""What was begun."""

from sqlalchemy import Column, Index, Integer, String, Table, text

from keys.utc import UtcDateTime
from vault.columns import Digest, Id, Word
from vault.tables.base import metadata, of_tenant, sealed

intents = Table(
    "intents",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("intent_id", Id, primary_key=True),
    Column("operation", Word, nullable=False),
    Column("key_digest", Digest),  # of the client's idempotency key; empty where it named none
    Column("fingerprint", Digest, nullable=False),  # of the body, keyed
    Column("resource_id", Id, nullable=False),
    Column("customer_id", Id),
    Column("account_id", Id),
    Column("processor_key", String(80)),
    *sealed("parameters"),  # what the worker needs to look up or send again
    Column("state", Word, nullable=False),  # pending | done | manual
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("uq_intents_key", "tenant_id", "operation", "key_digest", unique=True),
    Index(
        "ix_intents_due",
        "lease_until",
        sqlite_where=text("state = 'pending'"),
        postgresql_where=text("state = 'pending'"),
    ),
    Index("ix_intents_customer", "tenant_id", "customer_id"),
    Index("ix_intents_resource", "tenant_id", "resource_id"),
    of_tenant(),
)
