"""Rights requests: their clocks, decisions and targets; which subscriptions stood in an erasure's way."""

import sqlalchemy as sa
from alembic import op

revision = "0005_rights"
down_revision = "0004_packages"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OPEN = "state IN ('waiting', 'blocked')"


def upgrade() -> None:
    _requests()
    _targets()
    _approvals()
    _recipients()
    op.drop_index("ix_erasures_open", "erasures")
    still = sa.text("state <> 'completed'")
    op.create_index("ix_erasures_open", "erasures", ["lease_until"], sqlite_where=still, postgresql_where=still)
    op.create_index("ix_erasures_requested", "erasures", ["tenant_id", "requested_at"])


def _requests() -> None:
    for column in (
        sa.Column("live", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("protocol", sa.String(length=40), server_default="panless", nullable=False),
        sa.Column("external_id", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=True),
        sa.Column("verification", sa.String(length=40), nullable=True),
        sa.Column("verified_at", MOMENT, nullable=True),
        sa.Column("ground", sa.String(length=40), nullable=True),
        sa.Column("approvals_needed", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("cancel_subscriptions", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("extended_due_at", MOMENT, nullable=True),
        sa.Column("extension_reason", sa.String(length=40), nullable=True),
        sa.Column("denial_reason", sa.String(length=40), nullable=True),
        sa.Column("notice_sent_at", MOMENT, nullable=True),
    ):
        op.add_column("rights_requests", column)
    still = sa.text("completed_at IS NULL")
    op.create_index(
        "ix_rights_requests_open", "rights_requests", ["due_at"], sqlite_where=still, postgresql_where=still
    )
    op.create_index(
        "ix_rights_requests_received", "rights_requests", ["tenant_id", "live", "received_at", "request_id"]
    )
    op.create_index(
        "uq_rights_requests_external", "rights_requests", ["tenant_id", "live", "protocol", "external_id"], unique=True
    )


def _targets() -> None:
    op.create_table(
        "rights_targets",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("until", MOMENT, nullable=True),
        sa.Column("next_look_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["rights_requests.tenant_id", "rights_requests.request_id"],
            name=op.f("fk_rights_targets_tenant_id_request_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_rights_targets_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", "customer_id", name=op.f("pk_rights_targets")),
    )
    op.create_index("ix_rights_targets_customer", "rights_targets", ["tenant_id", "customer_id"])
    op.create_index(
        "ix_rights_targets_open",
        "rights_targets",
        ["state"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.execute(
        "UPDATE rights_requests SET live = (SELECT c.live FROM erasures e JOIN customers c"
        " ON c.tenant_id = e.tenant_id AND c.customer_id = e.customer_id"
        " WHERE e.tenant_id = rights_requests.tenant_id AND e.request_id = rights_requests.request_id)"
        " WHERE EXISTS (SELECT 1 FROM erasures e"
        " WHERE e.tenant_id = rights_requests.tenant_id AND e.request_id = rights_requests.request_id)"
    )
    op.execute(
        "INSERT INTO rights_targets (tenant_id, request_id, customer_id, reasons, state, next_look_at)"
        " SELECT tenant_id, request_id, customer_id, '',"
        " CASE state WHEN 'completed' THEN 'done' ELSE 'executing' END, requested_at FROM erasures"
    )


def _approvals() -> None:
    op.create_table(
        "rights_approvals",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("approved_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["rights_requests.tenant_id", "rights_requests.request_id"],
            name=op.f("fk_rights_approvals_tenant_id_request_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", "actor", name=op.f("pk_rights_approvals")),
    )


def _recipients() -> None:
    op.add_column("erasure_recipients", sa.Column("waits_for", sa.String(length=40), nullable=True))
