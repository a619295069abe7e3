"""What is followed at processors, and whose turn it is among webhook endpoints."""

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
    (
        "ix_event_deliveries_due",
        "event_deliveries",
        ["tenant_id", "endpoint_id", "next_attempt_at"],
        "state = 'pending'",
    ),
)


def upgrade() -> None:
    op.add_column("tokens", sa.Column("setup_digest", sa.LargeBinary(), nullable=True))
    op.add_column("tokens", sa.Column("next_look_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("webhook_endpoints", sa.Column("next_call_at", sa.DateTime(timezone=True), nullable=True))
    op.drop_index("ix_event_deliveries_due", "event_deliveries")
    for name, table, columns, which in PARTIAL:
        where = sa.text(which)
        op.create_index(name, table, columns, unique=False, sqlite_where=where, postgresql_where=where)
