"""Whom to tell how a rights request stands: OpenDSR's status callbacks, a paused run of Fides."""

import sqlalchemy as sa
from alembic import op

revision = "0006_opendsr"
down_revision = "0005_rights"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OPEN = "address IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "callbacks",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("protocol", sa.String(length=40), nullable=False),
        sa.Column("address", sa.LargeBinary(), nullable=True),
        sa.Column("address_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("told", sa.String(length=40), nullable=False),
        sa.Column("trying", sa.String(length=40), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failing_since", MOMENT, nullable=True),
        sa.Column("next_attempt_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["rights_requests.tenant_id", "rights_requests.request_id"],
            name=op.f("fk_callbacks_tenant_id_request_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "request_id", "name", name=op.f("pk_callbacks")),
    )
    op.create_index(
        "ix_callbacks_open",
        "callbacks",
        ["next_attempt_at"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
