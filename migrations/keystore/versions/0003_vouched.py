"""Which two databases the erasure ledger vouched for last: while it is away, a process that starts goes by that."""

import sqlalchemy as sa
from alembic import op

revision = "0003_vouched"
down_revision = "0002_rotation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployment", sa.Column("vouched", sa.Text(), nullable=True))
