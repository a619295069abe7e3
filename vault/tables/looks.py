"""What was seen and done: the audit log's entries, and the tree over them (vault/tlog)."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, SmallInteger, String, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Id, Word
from vault.tables.base import metadata, partial_index

# None of them points to `tenants`: the deployment has a log too, under its own id.
audit_entries = Table(
    "audit_entries",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("lane", String(32), primary_key=True),
    Column("counter", BigInteger, primary_key=True),
    Column("leaf", Text, nullable=False),  # the canonical entry; the columns below are copies for queries
    Column("mac", LargeBinary(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", Word, nullable=False),
    Column("client_id", Id),
    Column("customer_id", Id),
    Column("resource_id", Id),
    Column("position", BigInteger),  # its place in the log, once it has one
    Index("ix_audit_entries_customer", "tenant_id", "customer_id", "at"),  # as exports have them, placed or not
    partial_index(
        "ix_audit_entries_placed",
        "tenant_id",
        "customer_id",
        "position",
        where=text("position IS NOT NULL AND customer_id IS NOT NULL"),
    ),
    partial_index(
        "uq_audit_entries_position", "tenant_id", "position", where=text("position IS NOT NULL"), unique=True
    ),
    partial_index("ix_audit_entries_waiting", "tenant_id", "lane", "counter", where=text("position IS NULL")),
)

audit_logs = Table(
    "audit_logs",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("generation", SmallInteger, nullable=False),  # one more each time that an older log was restored
    Column("size", BigInteger, nullable=False),
    Column("checkpoint", LargeBinary, nullable=False),  # the signed note; empty before the first
    Column("anchored_size", BigInteger, nullable=False),
    Column("waiting_since", UtcDateTime),  # since when something is signed and not anchored
)

audit_tiles = Table(
    "audit_tiles",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("hashes", LargeBinary, nullable=False),  # of 32 bytes; 256 where the tile is full
)
