"""One intent, one charge: steps of a charge, what processors tell us (webhooks, disputes), what we tell tenants."""

import sqlalchemy as sa
from alembic import op

revision = "0007_money"
down_revision = "0006_opendsr"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _events()
    _inbox()
    _disputes()
    _columns()


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("resource_id", sa.String(length=40), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_events_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", name=op.f("pk_events")),
    )
    op.create_index("ix_events_created", "events", ["tenant_id", "live", "created_at", "event_id"], unique=False)
    op.create_index(
        "ix_events_pending",
        "events",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_table(
        "webhook_endpoints",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("address_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("secrets", sa.LargeBinary(), nullable=True),
        sa.Column("secrets_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_webhook_endpoints_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "endpoint_id", name=op.f("pk_webhook_endpoints")),
    )
    op.create_table(
        "event_deliveries",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("endpoint_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=40), nullable=True),
        sa.Column("first_attempt_at", MOMENT, nullable=True),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhook_endpoints.tenant_id", "webhook_endpoints.endpoint_id"],
            name=op.f("fk_event_deliveries_tenant_id_endpoint_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["events.tenant_id", "events.event_id"],
            name=op.f("fk_event_deliveries_tenant_id_event_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "event_id", "endpoint_id", name=op.f("pk_event_deliveries")),
    )
    op.create_index(
        "ix_event_deliveries_due",
        "event_deliveries",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "ix_event_deliveries_endpoint", "event_deliveries", ["tenant_id", "endpoint_id", "event_id"], unique=False
    )


def _inbox() -> None:
    op.create_table(
        "webhook_inbox",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=40), nullable=False),
        sa.Column("event_digest", sa.LargeBinary(), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("named", sa.LargeBinary(), nullable=True),
        sa.Column("named_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["processor_accounts.tenant_id", "processor_accounts.account_id"],
            name=op.f("fk_webhook_inbox_tenant_id_account_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "account_id", "event_digest", name=op.f("pk_webhook_inbox")),
    )
    op.create_index(
        "ix_webhook_inbox_pending",
        "webhook_inbox",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=sa.text("state = 'pending'"),
        postgresql_where=sa.text("state = 'pending'"),
    )


def _disputes() -> None:
    op.create_table(
        "disputes",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("dispute_id", sa.String(length=40), nullable=False),
        sa.Column("charge_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("due_at", MOMENT, nullable=True),
        sa.Column("reference_digest", sa.LargeBinary(), nullable=False),
        sa.Column("retained", sa.LargeBinary(), nullable=True),
        sa.Column("retained_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "charge_id"],
            ["charges.tenant_id", "charges.charge_id"],
            name=op.f("fk_disputes_tenant_id_charge_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "dispute_id", name=op.f("pk_disputes")),
    )
    op.create_index("ix_disputes_charge", "disputes", ["tenant_id", "charge_id", "created_at"], unique=False)
    op.create_index("uq_disputes_reference", "disputes", ["tenant_id", "reference_digest"], unique=True)


def _columns() -> None:
    op.add_column("charges", sa.Column("reference_digest", sa.LargeBinary(), nullable=True))
    op.add_column("charges", sa.Column("step", sa.String(length=40), nullable=True))
    op.add_column("charges", sa.Column("step_amount", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_charges_awaiting",
        "charges",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("state = 'requires_action'"),
        postgresql_where=sa.text("state = 'requires_action'"),
    )
    op.create_index(
        "ix_charges_declined",
        "charges",
        ["tenant_id", "token_id", "created_at"],
        unique=False,
        sqlite_where=sa.text("state = 'declined'"),
        postgresql_where=sa.text("state = 'declined'"),
    )
    op.create_index(
        "ix_charges_reference",
        "charges",
        ["tenant_id", "reference_digest"],
        unique=False,
        sqlite_where=sa.text("reference_digest IS NOT NULL"),
        postgresql_where=sa.text("reference_digest IS NOT NULL"),
    )
    op.add_column("processor_accounts", sa.Column("reconcile_at", MOMENT, nullable=True))
    op.add_column("processor_accounts", sa.Column("reconciled_at", MOMENT, nullable=True))
    op.add_column("processor_accounts", sa.Column("differences", sa.Integer(), nullable=True))
    op.add_column("processor_references", sa.Column("reference_digest", sa.LargeBinary(), nullable=True))
    op.create_index(
        "ix_processor_references_reference", "processor_references", ["tenant_id", "reference_digest"], unique=False
    )
    op.add_column("refunds", sa.Column("origin", sa.String(length=40), server_default="panless", nullable=False))
    op.add_column("refunds", sa.Column("reference_digest", sa.LargeBinary(), nullable=True))
    op.add_column("refunds", sa.Column("next_look_at", MOMENT, nullable=True))
    op.create_index(
        "ix_refunds_pending",
        "refunds",
        ["next_look_at"],
        unique=False,
        sqlite_where=sa.text("next_look_at IS NOT NULL"),
        postgresql_where=sa.text("next_look_at IS NOT NULL"),
    )
    op.create_index("uq_refunds_reference", "refunds", ["tenant_id", "reference_digest"], unique=True)
    op.add_column("tokens", sa.Column("blocked_code", sa.String(length=40), nullable=True))
