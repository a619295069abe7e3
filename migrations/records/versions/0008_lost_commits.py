"""Which database the records lie in, and since when a processor account may have payments whose commits are lost."""

import sqlalchemy as sa
from alembic import op

revision = "0008_lost_commits"
down_revision = "0007_money"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "heartbeat",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("history", sa.Text(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_heartbeat_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_heartbeat")),
    )
    # Records that are in use get their row here: the first look after the upgrade begins now.
    op.execute("INSERT INTO heartbeat (id, instance, history, at) SELECT 1, '', '', CURRENT_TIMESTAMP FROM guard")
    op.add_column("processor_accounts", sa.Column("look_from", MOMENT, nullable=True))
    op.add_column("processor_accounts", sa.Column("settled_at", MOMENT, nullable=True))
    op.add_column("processor_accounts", sa.Column("look_at", MOMENT, nullable=True))
    op.create_index(
        "ix_processor_accounts_behind",
        "processor_accounts",
        ["tenant_id", "live"],
        unique=False,
        sqlite_where=sa.text("look_from IS NOT NULL"),
        postgresql_where=sa.text("look_from IS NOT NULL"),
    )
