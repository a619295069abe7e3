"""Since when a retired KEK has no DEK left, and an index that walks the DEKs of one KEK in order."""

import sqlalchemy as sa
from alembic import op

revision = "0002_rotation"
down_revision = "0001_keystore"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keks", sa.Column("emptied_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_deks_tenant_id_kek_id", table_name="deks")
    op.create_index("ix_deks_tenant_id_kek_id_dek_id", "deks", ["tenant_id", "kek_id", "dek_id"], unique=False)
