"""What was paid, and what was given back."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKeyConstraint, Index, Integer, String, Table, text

from rows.clock import UtcDateTime
from rows.columns import Digest, Id, Word
from vault.charge_states import TAKEN
from vault.tables.base import ids, metadata, of_account, of_customer, partial_index, sealed

_taken = text(TAKEN)
_known = text("reference_digest IS NOT NULL")
_declined = text("state = 'declined'")
_awaiting = text("state = 'requires_action'")
_authorized = text("state = 'authorized'")

charges = Table(
    "charges",
    metadata,
    *ids("charge_id"),
    Column("customer_id", Id),  # empty, like the token, where these records lost them: see `recovered`
    Column("token_id", Id),
    Column("account_id", Id, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("state", Word, nullable=False),
    Column("amount", BigInteger, nullable=False),  # minor units
    Column("currency", String(3), nullable=False),
    Column("amount_captured", BigInteger, nullable=False, server_default=text("0")),
    Column("amount_refunded", BigInteger, nullable=False, server_default=text("0")),
    Column("capture_method", Word, nullable=False),
    Column("initiator", Word),
    Column("reason", Word),
    Column("obligation_digest", Digest),
    Column("key_number", Integer),  # n: which of the obligation's keys this one has; empty once it gave it back
    Column("recovered", Boolean, nullable=False, server_default=text("false")),  # written again from the processor
    Column("reference_digest", Digest),  # of the processor's id, keyed: what a webhook is matched by
    Column("step", Word),  # capture | void | abandon, while its outcome is open: one at a time
    Column("step_amount", BigInteger),
    *sealed("retained"),  # under the tenant's retention DEK: obligation, processor reference, network transaction id
    *sealed("details"),  # under the customer's DEK: metadata, statement descriptor, decline, next action
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    partial_index("uq_charges_obligation", "tenant_id", "obligation_digest", where=_taken, unique=True),
    Index("uq_charges_key", "tenant_id", "obligation_digest", "account_id", "key_number", unique=True),
    Index("ix_charges_customer", "tenant_id", "customer_id", "created_at", "charge_id"),
    Index("ix_charges_token", "tenant_id", "token_id", "created_at", "charge_id"),
    Index("ix_charges_created", "tenant_id", "live", "created_at", "charge_id"),
    Index("ix_charges_state", "tenant_id", "live", "state", "created_at", "charge_id"),
    partial_index("ix_charges_reference", "tenant_id", "reference_digest", where=_known),
    partial_index("ix_charges_declined", "tenant_id", "token_id", "created_at", where=_declined),
    partial_index("ix_charges_awaiting", "created_at", where=_awaiting),
    partial_index("ix_charges_authorized", "updated_at", where=_authorized),
    of_customer(),
    ForeignKeyConstraint(["tenant_id", "token_id"], ["tokens.tenant_id", "tokens.token_id"]),
    of_account(),
)

_looked_at = text("next_look_at IS NOT NULL")

refunds = Table(
    "refunds",
    metadata,
    *ids("refund_id"),
    Column("charge_id", Id, nullable=False),
    Column("state", Word, nullable=False),  # pending | unknown | succeeded | failed
    Column("amount", BigInteger, nullable=False),
    Column("reason", Word),
    Column("origin", Word, nullable=False, server_default="panless"),  # panless | processor: made elsewhere
    Column("reference_digest", Digest),
    Column("next_look_at", UtcDateTime),  # at the processor, while it says pending
    *sealed("retained"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_refunds_charge", "tenant_id", "charge_id", "created_at"),
    Index("uq_refunds_reference", "tenant_id", "reference_digest", unique=True),
    partial_index("ix_refunds_pending", "next_look_at", where=_looked_at),
    ForeignKeyConstraint(["tenant_id", "charge_id"], ["charges.tenant_id", "charges.charge_id"]),
)

CLOSED_DISPUTES = ("won", "lost", "warning_closed", "prevented")
"""States in which it is said who keeps the money. In every other one, those that nobody knows yet too, it is open."""

disputes = Table(
    "disputes",
    metadata,
    *ids("dispute_id"),
    Column("charge_id", Id, nullable=False),
    Column("live", Boolean, nullable=False, server_default=text("false")),  # as its charge is
    Column("state", Word, nullable=False),  # the processor's word; CLOSED_DISPUTES are over
    Column("amount", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("reason", Word, nullable=False),
    Column("due_at", UtcDateTime),  # until when evidence is taken
    Column("reference_digest", Digest, nullable=False),
    *sealed("retained"),  # the processor's id of it
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("uq_disputes_reference", "tenant_id", "reference_digest", unique=True),
    Index("ix_disputes_created", "tenant_id", "live", "created_at", "dispute_id"),
    Index("ix_disputes_charge", "tenant_id", "charge_id", "created_at"),
    ForeignKeyConstraint(["tenant_id", "charge_id"], ["charges.tenant_id", "charges.charge_id"]),
)
