"""The audit log as a tree: each entry's place in it, its tiles, its checkpoint; the deployment has a log too."""

import sqlalchemy as sa
from alembic import op

revision = "0009_audit_log"
down_revision = "0008_lost_commits"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
PLACED = sa.text("position IS NOT NULL")
WAITING = sa.text("position IS NULL")


def upgrade() -> None:
    op.drop_index("ix_audit_entries_at", table_name="audit_entries")
    with op.batch_alter_table("audit_entries") as batch:
        batch.add_column(sa.Column("position", sa.BigInteger(), nullable=True))
        batch.drop_constraint("fk_audit_entries_tenant_id", type_="foreignkey")
    op.create_index(
        "uq_audit_entries_position",
        "audit_entries",
        ["tenant_id", "position"],
        unique=True,
        sqlite_where=PLACED,
        postgresql_where=PLACED,
    )
    op.create_index(
        "ix_audit_entries_waiting",
        "audit_entries",
        ["tenant_id", "lane", "counter"],
        unique=False,
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_table(
        "audit_logs",
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("generation", sa.SmallInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.LargeBinary(), nullable=False),
        sa.Column("anchored_size", sa.BigInteger(), nullable=False),
        sa.Column("waiting_since", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_audit_logs")),
    )
    op.create_table(
        "audit_tiles",
        sa.Column("tenant_id", sa.String(40), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "level", "number", name=op.f("pk_audit_tiles")),
    )
    op.add_column("deployment", sa.Column("configurations", sa.Text(), nullable=True))
