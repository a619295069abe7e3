"""Who calls: tenants, their clients, and their accounts at processors."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, String, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.tables.base import ids, metadata, of_tenant, partial_index, sealed

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("phone_region", Word, nullable=False, server_default=text("''")),  # where a number without country is from
)

clients = Table(
    "clients",
    metadata,
    *ids("client_id"),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # sorted, a space between them; bound into the key's digest
    Column("live", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("last_entry_id", Id),
    of_tenant(),
)

client_keys = Table(
    "client_keys",
    metadata,
    *ids("key_id"),
    Column("client_id", Id, nullable=False),
    Column("digest", Digest, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("networks", Text),  # from where it may come: sorted, a space between them; empty: from anywhere
    Column("certificate", String(64)),  # SHA-256, in hex, of the one that must come with it
    Column("mac", Digest),  # binds all above; empty in a row from before there were terms
    Column("last_used_at", UtcDateTime),  # to the hour; only to be read by people
    Index("ix_client_keys_client", "tenant_id", "client_id"),
    ForeignKeyConstraint(["tenant_id", "client_id"], ["clients.tenant_id", "clients.client_id"]),
)

DIFFERING = "differences > 0"
"""In SQL, of the accounts whose last reconciliation found something: word for word, or the index is not used."""
_living, _differing = text("deleted_at IS NULL"), text(DIFFERING)

processor_accounts = Table(
    "processor_accounts",
    metadata,
    *ids("account_id"),
    Column("kind", Word, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    *sealed("credentials"),
    Column("reconcile_at", UtcDateTime),  # the next time that the worker compares it with us; its lease too
    Column("reconciled_at", UtcDateTime),
    Column("differences", Integer),  # that the last comparison found
    Column("proven_at", UtcDateTime),  # since when its key certainly opens this account; empty: that is not known
    Column("named", Digest),  # of the processor's own id of it, in keys of obligations; empty: they have ours
    Column("known_on", Text),  # on which instance of this database it was last walked through; empty: never
    Column("wanted_at", UtcDateTime),  # since when an order waits for that
    Column("walk_at", UtcDateTime),  # the next try of a walk; its lease too
    Column("is_default", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    partial_index(
        "uq_processor_accounts_default",
        "tenant_id",
        "live",
        where=text("is_default AND deleted_at IS NULL"),
        unique=True,
    ),
    partial_index("ix_processor_accounts_known_on", "known_on", where=_living),
    partial_index("ix_processor_accounts_differing", "differences", where=_differing),
    of_tenant(),
)
