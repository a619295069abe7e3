"""Who approves is a person where somebody vouches for it, else the client."""

import sqlalchemy as sa
from alembic import op

revision = "0012_identities"
down_revision = "0011_keys_by_obligation"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "rights_approvals", sa.Column("vouched", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
