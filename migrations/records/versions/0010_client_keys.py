"""What an API key is bound to besides its client: an end, networks, a certificate; and when it was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0010_client_keys"
down_revision = "0009_audit_log"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("client_keys", sa.Column("networks", sa.Text(), nullable=True))
    op.add_column("client_keys", sa.Column("certificate", sa.String(64), nullable=True))
    op.add_column("client_keys", sa.Column("mac", sa.LargeBinary(), nullable=True))
    op.add_column("client_keys", sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_client_keys_client", "client_keys", ["tenant_id", "client_id"], unique=False)
