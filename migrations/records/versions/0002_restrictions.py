"""Why and since when a customer is restricted."""

import sqlalchemy as sa
from alembic import op

revision = "0002_restrictions"
down_revision = "0001_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("customers", sa.Column("restriction_ground", sa.String(length=40), nullable=True))
    op.add_column("customers", sa.Column("restricted_at", sa.DateTime(timezone=True), nullable=True))
