"""What this database is, and how far it has followed the erasure ledger."""

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, SmallInteger, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Id
from vault.tables.base import ids, metadata, partial_index

deployment = Table(
    "deployment",
    metadata,
    Column("deployment_id", Id, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("configurations", Text),  # what each kind of process was last set up with, as keyed digests
    Column("vouched", Text),  # which two databases the ledger vouched for last
)

guard = Table(
    "guard",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

beats = Table(
    "beats",
    metadata,
    Column("instance", Text, primary_key=True),  # a database that these records lie in, or lay in: see `instance`
    Column("since", UtcDateTime, nullable=False),  # when the worker first saw it
    Column("at", UtcDateTime, nullable=False),  # when it was last alive for certain
)

ledger_outbox = Table(
    "ledger_outbox",
    metadata,
    *ids("entry_id"),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),  # the entry as it will be signed, less seq, prev_hash and signature
    Column("seq", BigInteger),  # its place in the ledger, once it is applied
    partial_index("ix_ledger_outbox_pending", "decided_at", where=text("seq IS NULL")),
)
