"""What was begun."""

from sqlalchemy import Column, Index, Integer, LargeBinary, String, Table, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.tables.base import ids, metadata, of_tenant, partial_index, sealed

STILL_OPEN = "state IN ('pending', 'manual')"
"""In SQL, of the intents that have not ended: as a condition it must stand word for word, or the index is not used."""

intents = Table(
    "intents",
    metadata,
    *ids("intent_id"),
    Column("operation", Word, nullable=False),
    Column("key_digest", Digest),  # of the client's idempotency key; empty where it named none
    Column("fingerprint", Digest, nullable=False),  # of the body, keyed
    Column("resource_id", Id, nullable=False),
    Column("customer_id", Id),
    Column("account_id", Id),
    Column("processor_key", String(80)),  # empty where it is made of the obligation: see `charges.key_number`
    *sealed("parameters"),  # what the worker needs to look up or send again
    Column("state", Word, nullable=False),  # pending | done | manual
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("exceptions", Integer, nullable=False, server_default=text("0")),  # unexpected ones, met by the worker
    Column("lease_until", UtcDateTime, nullable=False),
    Column("word", LargeBinary(16)),  # of whoever holds the lease: fresh with each begin and each take-over
    Column("burnt", Word),  # what burning the processor's key came to: fresh | used
    Column("settles_at", UtcDateTime),  # from when a list at the processor has what a used key did
    Column("created_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index("uq_intents_key", "tenant_id", "operation", "key_digest", unique=True),
    partial_index("ix_intents_due", "lease_until", where=text(STILL_OPEN)),
    partial_index("ix_intents_ended", "finished_at", where=text("state = 'done'")),
    Index("ix_intents_customer", "tenant_id", "customer_id"),
    Index("ix_intents_resource", "tenant_id", "resource_id"),
    of_tenant(),
)
