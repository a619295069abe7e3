"""Keys by obligation: what charges send them with, leases that are fenced, and on which database accounts are known."""

import sqlalchemy as sa
from alembic import op

revision = "0011_keys_by_obligation"
down_revision = "0010_client_keys"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
FALSE = sa.text("false")


def upgrade() -> None:
    op.drop_table("heartbeat")
    op.create_table(
        "beats",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("instance", name=op.f("pk_beats")),
    )
    op.add_column("intents", sa.Column("exceptions", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("intents", sa.Column("word", sa.LargeBinary(16), nullable=True))
    op.add_column("intents", sa.Column("burnt", sa.String(40), nullable=True))
    op.add_column("intents", sa.Column("settles_at", MOMENT, nullable=True))
    op.drop_index("ix_intents_due", "intents")
    still = sa.text("state IN ('pending', 'manual')")
    op.create_index("ix_intents_due", "intents", ["lease_until"], sqlite_where=still, postgresql_where=still)
    op.add_column("charges", sa.Column("key_number", sa.Integer(), nullable=True))
    op.add_column("charges", sa.Column("recovered", sa.Boolean(), server_default=FALSE, nullable=False))
    op.drop_index("ix_charges_obligation", "charges")
    numbered = ["tenant_id", "obligation_digest", "account_id", "key_number"]
    op.create_index("uq_charges_key", "charges", numbered, unique=True)
    with op.batch_alter_table("charges") as charges:
        for name, kind in (("customer_id", 40), ("token_id", 40), ("initiator", 40)):
            charges.alter_column(name, existing_type=sa.String(kind), nullable=True)
    op.drop_index("ix_processor_accounts_behind", "processor_accounts")
    for name in ("look_from", "settled_at", "look_at"):
        op.drop_column("processor_accounts", name)
    op.add_column("processor_accounts", sa.Column("proven_at", MOMENT, nullable=True))
    op.add_column("erasure_recipients", sa.Column("looked_for", sa.String(40), nullable=True))
    op.add_column("processor_accounts", sa.Column("named", sa.LargeBinary(), nullable=True))
    op.add_column("processor_accounts", sa.Column("known_on", sa.Text(), nullable=True))
    op.add_column("processor_accounts", sa.Column("wanted_at", MOMENT, nullable=True))
    op.add_column("processor_accounts", sa.Column("walk_at", MOMENT, nullable=True))
    for name, column, where in (
        ("known_on", "known_on", "deleted_at IS NULL"),
        ("differing", "differences", "differences > 0"),
    ):
        rows = sa.text(where)
        op.create_index(
            f"ix_processor_accounts_{name}", "processor_accounts", [column], sqlite_where=rows, postgresql_where=rows
        )
