"""What people asked for, who approved it, and who is told how it stands."""

from sqlalchemy import Boolean, Column, ForeignKeyConstraint, Index, Integer, String, Table, Text, text

from rows.clock import UtcDateTime
from rows.columns import Id, Word
from vault.tables.base import ids, metadata, of_customer, of_tenant, partial_index, sealed

_unanswered = text("completed_at IS NULL")

rights_requests = Table(
    "rights_requests",
    metadata,
    *ids("request_id"),
    Column("type", Word, nullable=False),
    Column("regulation", Word, nullable=False),
    Column("state", Word, nullable=False),  # vault/requests/rights.py
    Column("client_id", Id, nullable=False),
    Column("submitted_at", UtcDateTime, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("completed_at", UtcDateTime),
    Column("live", Boolean, nullable=False, server_default=text("false")),
    Column("protocol", Word, nullable=False, server_default="panless"),  # by which it came: panless | opendsr
    Column("external_id", String(64)),  # what the controller calls it there
    Column("actor", String(64)),
    Column("verification", Word),  # how the controller says that it verified the person
    Column("verified_at", UtcDateTime),
    Column("ground", Word),  # of a restriction
    Column("approvals_needed", Integer, nullable=False, server_default=text("1")),
    Column("cancel_subscriptions", Boolean, nullable=False, server_default=text("false")),
    Column("extended_due_at", UtcDateTime),
    Column("extension_reason", Word),
    Column("denial_reason", Word),
    Column("notice_sent_at", UtcDateTime),  # of the extension or the denial
    partial_index("ix_rights_requests_open", "tenant_id", "live", "received_at", "request_id", where=_unanswered),
    Index("ix_rights_requests_received", "tenant_id", "live", "received_at", "request_id"),
    Index("ix_rights_requests_state", "tenant_id", "live", "state", "received_at", "request_id"),
    Index("ix_rights_requests_type", "tenant_id", "live", "type", "received_at", "request_id"),
    Index("uq_rights_requests_external", "tenant_id", "live", "protocol", "external_id", unique=True),
    of_tenant(),
)

rights_targets = Table(
    "rights_targets",
    metadata,
    *ids("request_id", "customer_id"),
    Column("state", Word, nullable=False),  # waiting | blocked | executing | done
    Column("reasons", Text, nullable=False),  # what blocks it, a space between them
    Column("until", UtcDateTime),  # when that ends, where it is known
    Column("next_look_at", UtcDateTime, nullable=False),  # by the worker; its lease too
    Index("ix_rights_targets_customer", "tenant_id", "customer_id"),
    partial_index("ix_rights_targets_open", "state", where=text("state IN ('waiting', 'blocked')")),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
    of_customer(),
)

rights_approvals = Table(
    "rights_approvals",
    metadata,
    *ids("request_id"),
    Column("actor", String(64), primary_key=True),  # whom an issuer vouches for or the client named, or else the client
    Column("client_id", Id, nullable=False),
    Column(
        "vouched", Boolean, nullable=False, server_default=text("false")
    ),  # by an issuer; else only the client counts
    Column("approved_at", UtcDateTime, nullable=False),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)

callbacks = Table(
    "callbacks",
    metadata,
    *ids("request_id"),
    Column("name", String(64), primary_key=True),  # among those of the request
    Column("protocol", Word, nullable=False),  # opendsr | fides: how it is told
    *sealed("address"),  # under the tenant's DEK for secrets; empty once nothing more will be told
    Column("told", Word, nullable=False),  # the request's state that was told last
    Column("trying", Word, nullable=False),  # the one that is being told, over and over where need be
    Column("attempts", Integer, nullable=False, server_default=text("0")),  # to tell that
    Column("failing_since", UtcDateTime),
    Column("next_attempt_at", UtcDateTime, nullable=False),  # the lease of an attempt, too
    partial_index("ix_callbacks_open", "next_attempt_at", where=text("address IS NOT NULL")),
    ForeignKeyConstraint(["tenant_id", "request_id"], ["rights_requests.tenant_id", "rights_requests.request_id"]),
)
