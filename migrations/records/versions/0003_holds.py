"""Legal holds."""

import sqlalchemy as sa
from alembic import op

revision = "0003_holds"
down_revision = "0002_restrictions"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("hold_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("classes", sa.Text(), nullable=False),
        sa.Column("until", MOMENT, nullable=True),
        sa.Column("client_id", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("lift_entry_id", sa.String(length=40), nullable=True),
        sa.Column("lifted_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_holds_tenant_id_customer_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "hold_id", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_customer", "holds", ["tenant_id", "customer_id", "created_at", "hold_id"], unique=False)
