"""Packages: what a person is handed for access or portability, in sealed chunks."""

import sqlalchemy as sa
from alembic import op

revision = "0004_packages"
down_revision = "0003_holds"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
OPEN = "state = 'building' OR dek_id IS NOT NULL"


def upgrade() -> None:
    op.create_table(
        "packages",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("package_id", sa.String(length=40), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("dek_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("link_digest", sa.LargeBinary(), nullable=True),
        sa.Column("chunks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("progress", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("part", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("lease_until", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "request_id"],
            ["rights_requests.tenant_id", "rights_requests.request_id"],
            name=op.f("fk_packages_tenant_id_request_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "package_id", name=op.f("pk_packages")),
    )
    op.create_index("ix_packages_request", "packages", ["tenant_id", "request_id", "created_at"])
    op.create_index(
        "ix_packages_open",
        "packages",
        ["state"],
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_table(
        "package_customers",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("package_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "customer_id"],
            ["customers.tenant_id", "customers.customer_id"],
            name=op.f("fk_package_customers_tenant_id_customer_id"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "package_id"],
            ["packages.tenant_id", "packages.package_id"],
            name=op.f("fk_package_customers_tenant_id_package_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "package_id", "customer_id", name=op.f("pk_package_customers")),
    )
    op.create_index("ix_package_customers_customer", "package_customers", ["tenant_id", "customer_id"])
    op.create_table(
        "package_chunks",
        sa.Column("tenant_id", sa.String(length=40), nullable=False),
        sa.Column("package_id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=True),
        sa.Column("content_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "package_id"],
            ["packages.tenant_id", "packages.package_id"],
            name=op.f("fk_package_chunks_tenant_id_package_id"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "package_id", "number", name=op.f("pk_package_chunks")),
    )
