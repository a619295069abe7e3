"""Identities by newer rules: what is to be indexed anew, in which region a phone was read. Who approves: a person."""

import sqlalchemy as sa
from alembic import op

revision = "0012_identities"
down_revision = "0011_keys_by_obligation"
branch_labels = None
depends_on = None

OLD_FORMS = sa.text("normalization < 2 AND field IN ('email', 'phone')")
REGIONAL = sa.text("region IS NOT NULL")


def upgrade() -> None:
    op.add_column(
        "tenants", sa.Column("phone_region", sa.String(length=40), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("blind_index", sa.Column("region", sa.String(length=40), nullable=True))
    _index("ix_blind_index_old", "customer_id", OLD_FORMS)
    _index("ix_blind_index_region", "region", REGIONAL)
    op.add_column(
        "rights_approvals", sa.Column("vouched", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def _index(name: str, column: str, which: sa.TextClause) -> None:
    op.create_index(
        name, "blind_index", ["tenant_id", column], unique=False, sqlite_where=which, postgresql_where=which
    )
