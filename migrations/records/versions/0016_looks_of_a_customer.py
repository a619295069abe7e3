"""The audit entries about one customer, newest first, however many there are."""

import sqlalchemy as sa
from alembic import op

revision = "0016_looks_of_a_customer"
down_revision = "0015_vouched"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("position IS NOT NULL AND customer_id IS NOT NULL")
    columns = ["tenant_id", "customer_id", "position"]
    op.create_index(
        "ix_audit_entries_placed", "audit_entries", columns, unique=False, sqlite_where=where, postgresql_where=where
    )
