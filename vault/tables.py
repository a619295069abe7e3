"""The records: every table of the records database, as data.

`tenant_id` leads every primary and foreign key, so that no join can cross tenants. What is about a person stands in
columns of type `Sealed` (the record format of keys/envelope.py), each with its version beside it, or in `blind_index`.
In clear are our own ids, moments, states, amounts and keyed digests.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from keys.utc import UtcDateTime
from vault.columns import Digest, Id, Sealed, Word

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _sealed(name: str) -> list[Column[object]]:
    """A sealed value and the version of it that its context names; both empty once the value is destroyed."""
    return [Column(name, Sealed), Column(f"{name}_version", Integer, nullable=False, server_default=text("1"))]


def _of_tenant() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"])


def _of_customer() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["tenant_id", "customer_id"], ["customers.tenant_id", "customers.customer_id"])


def _of_account() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", "account_id"], ["processor_accounts.tenant_id", "processor_accounts.account_id"]
    )


# --- what this database is, and how far it has followed the erasure ledger ---

deployment = Table(
    "deployment",
    metadata,
    Column("deployment_id", Id, primary_key=True),
    Column("created_at", UtcDateTime, nullable=False),
)

guard = Table(
    "guard",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

ledger_outbox = Table(
    "ledger_outbox",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("entry_id", Id, primary_key=True),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("body", Text, nullable=False),  # the entry as it will be signed, less seq, prev_hash and signature
    Column("seq", BigInteger),  # its place in the ledger, once it is applied
    Index(
        "ix_ledger_outbox_pending", "decided_at", sqlite_where=text("seq IS NULL"), postgresql_where=text("seq IS NULL")
    ),
)

# --- who calls ---

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

clients = Table(
    "clients",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("client_id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # sorted, a space between them; bound into the key's digest
    Column("live", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("last_entry_id", Id),
    _of_tenant(),
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("key_id", Id, primary_key=True),
    Column("client_id", Id, nullable=False),
    Column("digest", Digest, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    ForeignKeyConstraint(["tenant_id", "client_id"], ["clients.tenant_id", "clients.client_id"]),
)

processor_accounts = Table(
    "processor_accounts",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("account_id", Id, primary_key=True),
    Column("kind", Word, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("label", Text, nullable=False),
    *_sealed("credentials"),
    Column("is_default", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deleted_at", UtcDateTime),
    Index(
        "uq_processor_accounts_default",
        "tenant_id",
        "live",
        unique=True,
        sqlite_where=text("is_default AND deleted_at IS NULL"),
        postgresql_where=text("is_default AND deleted_at IS NULL"),
    ),
    _of_tenant(),
)

# --- whose cards ---

customers = Table(
    "customers",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),  # active | erasing | erased
    Column("dek_id", LargeBinary(16), nullable=False),  # the incarnation that an erasure destroys
    *_sealed("contact"),
    Column("contact_usable", Boolean, nullable=False, server_default=text("true")),  # false: a correction was lost
    Column("restricted", Boolean, nullable=False, server_default=text("false")),
    Column("restriction_ground", Word),
    Column("restricted_at", UtcDateTime),
    Column("version", Integer, nullable=False, server_default=text("0")),  # of what the ledger says of it
    Column("last_entry_id", Id),
    Column("created_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
    _of_tenant(),
)

blind_index = Table(
    "blind_index",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("field", Word, primary_key=True),  # email | phone | reference | fingerprint
    Column("form", Word, primary_key=True),  # raw | sha256
    Column("digest", Digest, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("token_id", Id, nullable=False, server_default=text("''")),
    Column("live", Boolean, nullable=False),
    Column("key_id", LargeBinary(16), nullable=False),  # the index DEK that made the digest
    Column("normalization", SmallInteger, nullable=False),
    Index("ix_blind_index_customer", "tenant_id", "customer_id"),
    # One customer per reference, one token per customer and card: what makes concurrent twins meet.
    Index(
        "uq_blind_index_one",
        "tenant_id",
        "live",
        "field",
        "digest",
        unique=True,
        sqlite_where=text("form = 'raw' AND field IN ('reference', 'fingerprint')"),
        postgresql_where=text("form = 'raw' AND field IN ('reference', 'fingerprint')"),
    ),
    _of_customer(),
)

processor_references = Table(
    "processor_references",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("owner_id", Id, primary_key=True),  # a customer or a token
    Column("account_id", Id, primary_key=True),
    Column("customer_id", Id, nullable=False),
    *_sealed("reference"),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_processor_references_customer", "tenant_id", "customer_id"),
    _of_customer(),
    _of_account(),
)

LOST = "lost"
"""The state of a token that was made and deleted after the backup that these records come from: only its id is left."""

tokens = Table(
    "tokens",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("token_id", Id, primary_key=True),
    Column("customer_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("state", Word, nullable=False),  # pending | requires_action | active | failed | detached | expired | lost
    Column("usage", Word, nullable=False),
    Column("live", Boolean, nullable=False),
    *_sealed("card"),
    *_sealed("metadata"),
    *_sealed("outcome"),  # why it failed, or what the person must do next
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_tokens_customer", "tenant_id", "customer_id", "created_at", "token_id"),
    _of_customer(),
    _of_account(),
)

# --- what they paid ---

UNPAID_STATES = ("declined", "voided", "failed")
"""States in which a charge definitely took no money, so that its obligation is free again."""

OPEN_STATES = ("pending", "processing", "requires_action", "unknown", "authorized")
"""States in which nobody can say yet whether money moved, or will."""

_taken = text("obligation_digest IS NOT NULL AND state NOT IN ('declined', 'voided', 'failed')")

charges = Table(
    "charges",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("charge_id", Id, primary_key=True),
    Column("customer_id", Id, nullable=False),
    Column("token_id", Id, nullable=False),
    Column("account_id", Id, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),
    Column("amount", BigInteger, nullable=False),  # minor units
    Column("currency", String(3), nullable=False),
    Column("amount_captured", BigInteger, nullable=False, server_default=text("0")),
    Column("amount_refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("capture_method", Word, nullable=False),
    Column("initiator", Word, nullable=False),
    Column("reason", Word),
    Column("obligation_digest", Digest),
    *_sealed("retained"),  # under the tenant's retention DEK: obligation, processor reference, network transaction id
    *_sealed("details"),  # under the customer's DEK: metadata, statement descriptor, decline, next action
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(
        "uq_charges_obligation",
        "tenant_id",
        "obligation_digest",
        unique=True,
        sqlite_where=_taken,
        postgresql_where=_taken,
    ),
    Index("ix_charges_obligation", "tenant_id", "obligation_digest"),
    Index("ix_charges_customer", "tenant_id", "customer_id", "created_at", "charge_id"),
    Index("ix_charges_token", "tenant_id", "token_id", "created_at", "charge_id"),
    Index("ix_charges_created", "tenant_id", "created_at", "charge_id"),
    Index("ix_charges_state", "tenant_id", "state", "created_at", "charge_id"),
    _of_customer(),
    ForeignKeyConstraint(["tenant_id", "token_id"], ["tokens.tenant_id", "tokens.token_id"]),
    _of_account(),
)

refunds = Table(
    "refunds",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("refund_id", Id, primary_key=True),
    Column("charge_id", Id, nullable=False),
    Column("state", Word, nullable=False),  # pending | unknown | succeeded | failed
    Column("amount", BigInteger, nullable=False),
    Column("reason", Word),
    *_sealed("retained"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_refunds_charge", "tenant_id", "charge_id", "created_at"),
    ForeignKeyConstraint(["tenant_id", "charge_id"], ["charges.tenant_id", "charges.charge_id"]),
)

# --- what was begun ---

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
    *_sealed("parameters"),  # what the worker needs to look up or send again
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
    _of_tenant(),
)

# --- what was seen and done ---

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
    Index("ix_audit_entries_customer", "tenant_id", "customer_id", "at"),
    Index("ix_audit_entries_at", "tenant_id", "at"),
    _of_tenant(),
)

# --- what people asked for ---

rights_requests = Table(
    "rights_requests",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("request_id", Id, primary_key=True),
    Column("type", Word, nullable=False),
    Column("regulation", Word, nullable=False),
    Column("state", Word, nullable=False),  # vault/rights.py
    Column("client_id", Id, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("live", Boolean, nullable=False, server_default=text("false")),
    Column("protocol", Word, nullable=False, server_default="panless"),  # by which it came: panless | opendsr
    Column("external_id", String(64)),  # what the controller calls it there
    Column("actor", String(64)),
    Column("verification", Word),  # how the controller says that it verified the person
    Column("verified_at", UtcDateTime),
    Column("ground", Word),  # of a restriction
    Column("approvals_needed", Integer, nullable=False, server_default=text("1")),
    Column("cancel_subscriptions", Boolean, nullable=False, server_default=text("false")),
    Column("extended_due_at", UtcDateTime),
    Column("extension_reason", Word),
    Column("denial_reason", Word),
    Column("notice_sent_at", UtcDateTime),  # of the extension or the denial
    Index("ix_rights_requests_due", "tenant_id", "state", "due_at"),
    Index(
        "ix_rights_requests_open",
        "due_at",
        sqlite_where=text("completed_at IS NULL"),
        postgresql_where=text("completed_at IS NULL"),
    ),
    Index("ix_rights_requests_received", "tenant_id", "live", "received_at", "request_id"),
    Index("uq_rights_requests_external", "tenant_id", "live", "protocol", "external_id", unique=True),
    _of_tenant(),
)

rights_targets = Table(
    "rights_targets",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("request_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("state", Word, nullable=False),  # waiting | blocked | executing | done
    Column("reasons", Text, nullable=False),  # what blocks it, a space between them
    Column("until", UtcDateTime),  # when that ends, where it is known
    Column("next_look_at", UtcDateTime, nullable=False),  # by the worker; its lease too
    Index("ix_rights_targets_customer", "tenant_id", "customer_id"),
    Index(
        "ix_rights_targets_open",
        "state",
        sqlite_where=text("state IN ('waiting', 'blocked')"),
        postgresql_where=text("state IN ('waiting', 'blocked')"),
    ),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
    _of_customer(),
)

rights_approvals = Table(
    "rights_approvals",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("request_id", Id, primary_key=True),
    Column("actor", String(64), primary_key=True),  # the human that the client named, or else the client
    Column("client_id", Id, nullable=False),
    Column("approved_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)

callbacks = Table(
    "callbacks",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("request_id", Id, primary_key=True),
    Column("name", String(64), primary_key=True),  # among those of the request
    Column("protocol", Word, nullable=False),  # opendsr | fides: how it is told
    *_sealed("address"),  # under the tenant's DEK for secrets; empty once nothing more will be told
    Column("told", Word, nullable=False),  # the request's state that was told last
    Column("trying", Word, nullable=False),  # the one that is being told, over and over where need be
    Column("attempts", Integer, nullable=False, server_default=text("0")),  # to tell that
    Column("failing_since", UtcDateTime),
    Column("next_attempt_at", UtcDateTime, nullable=False),  # the lease of an attempt, too
    Index(
        "ix_callbacks_open",
        "next_attempt_at",
        sqlite_where=text("address IS NOT NULL"),
        postgresql_where=text("address IS NOT NULL"),
    ),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)

holds = Table(
    "holds",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("hold_id", Id, primary_key=True),
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
    _of_customer(),
)

erasures = Table(
    "erasures",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("erasure_id", Id, primary_key=True),
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
    Index(
        "ix_erasures_open",
        "lease_until",
        sqlite_where=text("state <> 'completed'"),
        postgresql_where=text("state <> 'completed'"),
    ),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
    _of_customer(),
)

erasure_recipients = Table(
    "erasure_recipients",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("erasure_id", Id, primary_key=True),
    Column("recipient_id", String(80), primary_key=True),
    Column("account_id", Id, nullable=False),
    Column("what", Word, nullable=False),  # customer | payment_method | redaction
    *_sealed("reference"),  # under the request's DEK; empty once the recipient has answered, or where a restore lost it
    Column("result", Word, nullable=False),  # docs/ledger.md
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
    Column("waits_for", Word),  # somebody's decision: subscriptions
    ForeignKeyConstraint(["tenant_id", "erasure_id"], ["erasures.tenant_id", "erasures.erasure_id"]),
    _of_account(),
)

# --- what they are handed ---

packages = Table(
    "packages",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("package_id", Id, primary_key=True),
    Column("request_id", Id, nullable=False),
    Column("kind", Word, nullable=False),  # access | portability
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),  # building | ready | taken | expired | erased
    Column("dek_id", LargeBinary(16)),  # its own; empty before the first chunk, and once the key is destroyed
    Column("link_digest", Digest),  # keyed; of the link that was given out last
    Column("chunks", Integer, nullable=False, server_default=text("0")),  # how many are written, in order from 0
    Column("progress", BigInteger, nullable=False, server_default=text("0")),  # how many rows of its files they hold
    Column("part", Integer, nullable=False, server_default=text("0")),  # which part the next chunk is of
    Column("after", Text),  # behind which row of that part it begins: moments and our own ids
    Column("lease_until", UtcDateTime, nullable=False),  # who builds it, or streams it out, has it until then
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Index("ix_packages_request", "tenant_id", "request_id", "created_at"),
    Index(
        "ix_packages_open",
        "state",
        sqlite_where=text("state = 'building' OR dek_id IS NOT NULL"),
        postgresql_where=text("state = 'building' OR dek_id IS NOT NULL"),
    ),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)

package_customers = Table(
    "package_customers",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("package_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Index("ix_package_customers_customer", "tenant_id", "customer_id"),
    ForeignKeyConstraint(["tenant_id", "package_id"], ["packages.tenant_id", "packages.package_id"]),
    _of_customer(),
)

package_chunks = Table(
    "package_chunks",
    metadata,
    Column("tenant_id", Id, primary_key=True),
    Column("package_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *_sealed("content"),  # under the package's DEK: the file's name and a piece of it
    ForeignKeyConstraint(["tenant_id", "package_id"], ["packages.tenant_id", "packages.package_id"]),
)
