"""What is followed at processors: storings that wait for their person, authorizations, events that nothing fitted."""

import sqlalchemy as sa
from alembic import op

revision = "0013_followed"
down_revision = "0012_identities"
branch_labels = None
depends_on = None

PARTIAL = (
    ("ix_tokens_setup", "tokens", ["tenant_id", "setup_digest"], "setup_digest IS NOT NULL"),
    ("ix_tokens_awaiting", "tokens", ["created_at"], "state = 'requires_action'"),
    ("ix_charges_authorized", "charges", ["updated_at"], "state = 'authorized'"),
    ("ix_webhook_inbox_left", "webhook_inbox", ["received_at"], "state IN ('unmatched', 'given_up')"),
)


def upgrade() -> None:
    op.add_column("tokens", sa.Column("setup_digest", sa.LargeBinary(), nullable=True))
    op.add_column("tokens", sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=True))
    for name, table, columns, which in PARTIAL:
        where = sa.text(which)
        op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
