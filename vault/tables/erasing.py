"""What keeps a customer from being erased, and how far an erasure has come."""

from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, LargeBinary, String, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Id, Word
from vault.tables.base import ids, metadata, of_account, of_customer, partial_index, sealed

holds = Table(
    "holds",
    metadata,
    *ids("hold_id"),
    Column("customer_id", Id, nullable=False),
    Column("reason", Word, nullable=False),
    Column("classes", Text, nullable=False),  # of records, a space between them
    Column("until", UtcDateTime),
    Column("client_id", Id, nullable=False),
    Column("actor", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("lift_entry_id", Id),  # what will lift it, from its decision on
    Column("lifted_at", UtcDateTime),  # empty until the ledger and both databases have that
    Index("ix_holds_customer", "tenant_id", "customer_id", "created_at", "hold_id"),
    of_customer(),
)

erasures = Table(
    "erasures",
    metadata,
    *ids("erasure_id"),
    Column("request_id", Id, nullable=False),
    Column("customer_id", Id, nullable=False),
    Column("state", Word, nullable=False),  # decided | shredded | certified | redacting | completed
    Column("lease_until", UtcDateTime, nullable=False),
    Column("dek_id", LargeBinary(16), nullable=False),  # the request's own, for what the processor must still be told
    Column("intent_entry_id", Id, nullable=False),
    Column("done_entry_id", Id),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("shredded_at", UtcDateTime),
    Column("completed_at", UtcDateTime),
    Index("uq_erasures_customer", "tenant_id", "customer_id", unique=True),
    Index("ix_erasures_requested", "tenant_id", "requested_at"),
    partial_index("ix_erasures_open", "lease_until", where=text("state <> 'completed'")),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
    of_customer(),
)

erasure_recipients = Table(
    "erasure_recipients",
    metadata,
    *ids("erasure_id"),
    Column("recipient_id", String(80), primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("what", Word, nullable=False),  # customer | payment_method | redaction
    *sealed("reference"),  # under the request's DEK; empty once the recipient has answered, or where a restore lost it
    Column("result", Word, nullable=False),  # docs/ledger.md
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("waits_for", Word),  # docs/ledger.md; empty: for an answer
    Column("looked_for", Word),  # of what was not found: name | tag
    ForeignKeyConstraint(["tenant_id", "erasure_id"], ["erasures.tenant_id", "erasures.erasure_id"]),
    of_account(),
)
