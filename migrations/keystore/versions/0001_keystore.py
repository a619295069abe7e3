"""The keystore: deployment, watermark, KEKs, their wraps, DEKs."""

import sqlalchemy as sa
from alembic import op

revision = "0001_keystore"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("deployment_id", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", name="pk_deployment"),
    )
    op.create_table(
        "guard",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_guard_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_guard"),
    )
    op.create_table(
        "keks",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.LargeBinary(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("retired_at", MOMENT, nullable=True),
        sa.Column("destroyed_at", MOMENT, nullable=True),
        sa.CheckConstraint("state IN ('active', 'retired', 'destroyed')", name=op.f("ck_keks_state")),
        sa.PrimaryKeyConstraint("tenant_id", "kek_id", name="pk_keks"),
        sa.UniqueConstraint("tenant_id", "epoch", name="uq_keks_tenant_id_epoch"),
    )
    op.create_table(
        "kek_wraps",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.LargeBinary(), nullable=False),
        sa.Column("root_key_id", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "kek_id"], ["keks.tenant_id", "keks.kek_id"], name="fk_kek_wraps_keks"),
        sa.PrimaryKeyConstraint("tenant_id", "kek_id", "root_key_id", name="pk_kek_wraps"),
    )
    op.create_table(
        "deks",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("dek_id", sa.LargeBinary(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("destroyed_at", MOMENT, nullable=True),
        sa.Column("destroyed_by_seq", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("(wrapped IS NULL) = (destroyed_at IS NOT NULL)", name=op.f("ck_deks_tombstone")),
        sa.ForeignKeyConstraint(["tenant_id", "kek_id"], ["keks.tenant_id", "keks.kek_id"], name="fk_deks_keks"),
        sa.PrimaryKeyConstraint("tenant_id", "dek_id", name="pk_deks"),
    )
    op.create_index("ix_deks_tenant_id_subject_id", "deks", ["tenant_id", "subject_id"])
    op.create_index("ix_deks_tenant_id_kek_id", "deks", ["tenant_id", "kek_id"])


def downgrade() -> None:
    for table in ("deks", "kek_wraps", "keks", "guard", "deployment"):
        op.drop_table(table)
