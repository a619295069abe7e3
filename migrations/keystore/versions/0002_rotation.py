"""Since when a retired KEK has no DEK left. The index of DEKs by KEK goes.

Rewrapping walks a tenant's DEKs by their primary key, once; that index cost each new DEK and each move more. And pages
keep room, so that a DEK that moves or goes stays on its page and no index has to hear of it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002_rotation"
down_revision = "0001_keystore"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keks", sa.Column("emptied_at", sa.DateTime(timezone=True), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE deks SET (fillfactor = 80)")
    op.drop_index("ix_deks_tenant_id_kek_id", table_name="deks")
