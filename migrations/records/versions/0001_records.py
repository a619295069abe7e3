"""The records: deployment and watermark, clients, customers, tokens, charges, intents, audit, rights.

One list of tables, in the order in which they refer to each other; what has run somewhere is not taken apart.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001_records"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("deployment_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", name=op.f("pk_deployment")),
    )
    op.create_table(
        "guard",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_guard_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_guard")),
    )
    op.create_table(
        "ledger_outbox",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("entry_id", sa.String(length=40), nullable=False),
        sa.Column("decided_at", MOMENT, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "entry_id", name=op.f("pk_ledger_outbox")),
    )
    op.create_index(
        "ix_ledger_outbox_pending",
        "ledger_outbox",
        ["decided_at"],
        unique=False,
        sqlite_where=sa.text("seq IS NULL"),
        postgresql_where=sa.text("seq IS NULL"),
    )
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("lane", sa.String(length=32), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("leaf", sa.Text(), nullable=False),
        sa.Column("mac", sa.LargeBinary(length=32), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=True),
        sa.Column("customer_id", sa.String(length=40), nullable=True),
        sa.Column("resource_id", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_audit_entries_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "lane", "counter", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_at", "audit_entries", ["tenant_id", "at"], unique=False)
    op.create_index("ix_audit_entries_customer", "audit_entries", ["tenant_id", "customer_id", "at"], unique=False)
    op.create_table(
        "clients",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_entry_id", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_clients_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "client_id", name=op.f("pk_clients")),
    )
    op.create_table(
        "customers",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("dek_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("contact", sa.LargeBinary(), nullable=True),
        sa.Column("contact_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("contact_usable", sa.Boolean(), server_default=sa.text("(true)"), nullable=False),
        sa.Column("restricted", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_entry_id", sa.String(length=40), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("erased_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_customers_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "customer_id", name=op.f("pk_customers")),
    )
    op.create_table(
        "intents",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("intent_id", sa.String(length=40), nullable=False),
        sa.Column("operation", sa.String(length=40), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("resource_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=True),
        sa.Column("account_id", sa.String(length=40), nullable=True),
        sa.Column("processor_key", sa.String(length=80), nullable=True),
        sa.Column("parameters", sa.LargeBinary(), nullable=True),
        sa.Column("parameters_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_intents_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "intent_id", name=op.f("pk_intents")),
    )
    op.create_index("ix_intents_customer", "intents", ["tenant_id", "customer_id"], unique=False)
    op.create_index(
        "ix_intents_due",
        "intents",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index("ix_intents_resource", "intents", ["tenant_id", "resource_id"], unique=False)
    op.create_index("uq_intents_key", "intents", ["tenant_id", "operation", "key_digest"], unique=True)
    op.create_table(
        "processor_accounts",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=True),
        sa.Column("credentials_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("deleted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_processor_accounts_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", name=op.f("pk_processor_accounts")),
    )
    op.create_index(
        "uq_processor_accounts_default",
        "processor_accounts",
        ["tenant_id", "live"],
        unique=True,
        sqlite_where=sa.text("is_default AND deleted_at IS NULL"),
        postgresql_where=sa.text("is_default AND deleted_at IS NULL"),
    )
    op.create_table(
        "rights_requests",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("regulation", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("submitted_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_rights_requests_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", name=op.f("pk_rights_requests")),
    )
    op.create_index("ix_rights_requests_due", "rights_requests", ["tenant_id", "state", "due_at"], unique=False)
    op.create_table(
        "blind_index",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("field", sa.String(length=40), nullable=False),
        sa.Column("form", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("token_id", sa.String(length=40), server_default=sa.text("('')"), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("normalization", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_blind_index_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "field", "form", "digest", "customer_id", name=op.f("pk_blind_index")),
    )
    op.create_index("ix_blind_index_customer", "blind_index", ["tenant_id", "customer_id"], unique=False)
    op.create_index(
        "uq_blind_index_one",
        "blind_index",
        ["tenant_id", "live", "field", "digest"],
        unique=True,
        sqlite_where=sa.text("form = 'raw' AND field IN ('reference', 'fingerprint')"),
        postgresql_where=sa.text("form = 'raw' AND field IN ('reference', 'fingerprint')"),
    )
    op.create_table(
        "client_keys",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("key_id", sa.String(length=40), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "client_id"],
            ["clients.tenant_id", "clients.client_id"],
            name=op.f("fk_client_keys_tenant_id_client_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", name=op.f("pk_client_keys")),
    )
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("erasure_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("dek_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("intent_entry_id", sa.String(length=40), nullable=False),
        sa.Column("done_entry_id", sa.String(length=40), nullable=True),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("shredded_at", MOMENT, nullable=True),
        sa.Column("completed_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_erasures_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["rights_requests.tenant_id", "rights_requests.request_id"],
            name=op.f("fk_erasures_tenant_id_request_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "erasure_id", name=op.f("pk_erasures")),
    )
    op.create_index(
        "ix_erasures_open",
        "erasures",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state <> 'completed'"),
        postgresql_where=sa.text("state <> 'completed'"),
    )
    op.create_index("uq_erasures_customer", "erasures", ["tenant_id", "customer_id"], unique=True)
    op.create_table(
        "processor_references",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.LargeBinary(), nullable=True),
        sa.Column("reference_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["processor_accounts.tenant_id", "processor_accounts.account_id"],
            name=op.f("fk_processor_references_tenant_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_processor_references_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "owner_id", "account_id", name=op.f("pk_processor_references")),
    )
    op.create_index(
        "ix_processor_references_customer", "processor_references", ["tenant_id", "customer_id"], unique=False
    )
    op.create_table(
        "tokens",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("token_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("usage", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("card", sa.LargeBinary(), nullable=True),
        sa.Column("card_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("metadata", sa.LargeBinary(), nullable=True),
        sa.Column("metadata_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=True),
        sa.Column("outcome_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["processor_accounts.tenant_id", "processor_accounts.account_id"],
            name=op.f("fk_tokens_tenant_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_tokens_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "token_id", name=op.f("pk_tokens")),
    )
    op.create_index(
        "ix_tokens_customer", "tokens", ["tenant_id", "customer_id", "created_at", "token_id"], unique=False
    )
    op.create_table(
        "charges",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("charge_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("token_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_captured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("amount_refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("capture_method", sa.String(length=40), nullable=False),
        sa.Column("initiator", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("obligation_digest", sa.LargeBinary(), nullable=True),
        sa.Column("retained", sa.LargeBinary(), nullable=True),
        sa.Column("retained_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("details", sa.LargeBinary(), nullable=True),
        sa.Column("details_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["processor_accounts.tenant_id", "processor_accounts.account_id"],
            name=op.f("fk_charges_tenant_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_charges_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "token_id"],
            ["tokens.tenant_id", "tokens.token_id"],
            name=op.f("fk_charges_tenant_id_token_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "charge_id", name=op.f("pk_charges")),
    )
    op.create_index("ix_charges_created", "charges", ["tenant_id", "created_at", "charge_id"], unique=False)
    op.create_index(
        "ix_charges_customer", "charges", ["tenant_id", "customer_id", "created_at", "charge_id"], unique=False
    )
    op.create_index("ix_charges_obligation", "charges", ["tenant_id", "obligation_digest"], unique=False)
    op.create_index("ix_charges_state", "charges", ["tenant_id", "state", "created_at", "charge_id"], unique=False)
    op.create_index("ix_charges_token", "charges", ["tenant_id", "token_id", "created_at", "charge_id"], unique=False)
    op.create_index(
        "uq_charges_obligation",
        "charges",
        ["tenant_id", "obligation_digest"],
        unique=True,
        sqlite_where=sa.text("obligation_digest IS NOT NULL AND state NOT IN ('declined', 'voided', 'failed')"),
        postgresql_where=sa.text("obligation_digest IS NOT NULL AND state NOT IN ('declined', 'voided', 'failed')"),
    )
    op.create_table(
        "erasure_recipients",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("erasure_id", sa.String(length=40), nullable=False),
        sa.Column("recipient_id", sa.String(length=80), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("reference", sa.LargeBinary(), nullable=True),
        sa.Column("reference_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("result", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("answered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["processor_accounts.tenant_id", "processor_accounts.account_id"],
            name=op.f("fk_erasure_recipients_tenant_id_account_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "erasure_id"],
            ["erasures.tenant_id", "erasures.erasure_id"],
            name=op.f("fk_erasure_recipients_tenant_id_erasure_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "erasure_id", "recipient_id", name=op.f("pk_erasure_recipients")),
    )
    op.create_table(
        "refunds",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("refund_id", sa.String(length=40), nullable=False),
        sa.Column("charge_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("retained", sa.LargeBinary(), nullable=True),
        sa.Column("retained_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "charge_id"],
            ["charges.tenant_id", "charges.charge_id"],
            name=op.f("fk_refunds_tenant_id_charge_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "refund_id", name=op.f("pk_refunds")),
    )
    op.create_index("ix_refunds_charge", "refunds", ["tenant_id", "charge_id", "created_at"], unique=False)
