"""What ended long ago is found by when it ended, however much is remembered."""

import sqlalchemy as sa
from alembic import op

revision = "0017_forgetting"
down_revision = "0016_looks_of_a_customer"
branch_labels = None
depends_on = None


def upgrade() -> None:
    where = sa.text("state = 'done'")
    op.create_index(
        "ix_intents_ended", "intents", ["finished_at"], unique=False, sqlite_where=where, postgresql_where=where
    )
